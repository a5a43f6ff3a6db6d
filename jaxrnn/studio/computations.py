"""Computations, one at a time: each is an iterator of pieces, and can be cancelled between two."""

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

from anyio import to_thread
from starlette.responses import Response, StreamingResponse


class BusyError(Exception):
    """Another computation is running."""


class Computations:
    """The place where one computation at a time may run."""

    def __init__(self) -> None:
        self.running: threading.Event | None = None
        """Set to cancel the computation that is running."""

    def cancel(self) -> bool:
        """Cancel what is running after its next piece; return whether something is."""
        if self.running is None:
            return False
        self.running.set()
        return True

    async def answer(self, pieces: Iterator[bytes], media_type: str) -> Response:
        """Start a computation; return the response that sends its pieces as they come.

        Errors before the first piece are raised here.

        Raises:
            BusyError: another one is running.
        """
        if self.running is not None:
            raise BusyError("another computation is running: wait for it, or cancel it")
        self.running = threading.Event()
        try:
            first = await to_thread.run_sync(next, pieces, None)
        except BaseException:
            self.running = None
            raise
        return _Answer(self, first, pieces, media_type)


class _Answer(StreamingResponse):
    """The pieces of a computation, which ends with the response, whether or not it was read."""

    def __init__(
        self,
        computations: Computations,
        first: bytes | None,
        pieces: Iterator[bytes],
        media_type: str,
    ) -> None:
        super().__init__(self._pieces(first, pieces), media_type=media_type)
        self._computations = computations

    async def _pieces(self, piece: bytes | None, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
        running = self._computations.running
        while piece is not None and running is not None and not running.is_set():
            yield piece
            piece = await to_thread.run_sync(next, pieces, None)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the pieces."""
        try:
            await super().__call__(scope, receive, send)
        finally:  # a thread that was at work has finished its piece: anyio waits for it
            self._computations.running = None
