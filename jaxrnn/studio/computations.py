"""Computations, one at a time: each is an iterator of pieces, and can be cancelled between two."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
from anyio import to_thread
from starlette.responses import Response, StreamingResponse


class BusyError(Exception):
    """Another computation is running."""


class Computation:
    """A computation that is running."""

    cancelled = False
    """Whether it is to end after its next piece."""


class Computations:
    """The place where one computation at a time may run."""

    def __init__(self) -> None:
        self.running: Computation | None = None
        """The computation that has the place."""

    def cancel(self) -> None:
        """Let what is running end after its next piece."""
        if self.running is not None:
            self.running.cancelled = True

    async def cancel_and_wait(self) -> bool:
        """Cancel what is running, and return once it has ended; False if nothing was running."""
        running = self.running
        self.cancel()
        while running is not None and self.running is running:
            await anyio.sleep(0.02)
        return running is not None

    def end(self, ended: Computation) -> None:
        """Free the place of a computation that has ended, unless another one has it already."""
        if self.running is ended:
            self.running = None

    async def answer(
        self, pieces: Iterator[bytes], error: Callable[[str], bytes], media_type: str
    ) -> Response:
        """Start a computation; return the response that sends its pieces as they come.

        Errors before the first piece are raised here; later ones are sent.

        Args:
            pieces: the computation.
            error: makes a piece of an error's message.
            media_type: the media type of the pieces.

        Raises:
            BusyError: another one is running.
        """
        if self.running is not None:
            raise BusyError("another computation is running: wait for it, or cancel it")
        self.running = running = Computation()
        try:
            first = await to_thread.run_sync(next, pieces, None)
        except BaseException:
            self.end(running)
            raise
        return _Answer(
            self._rest(running, first, pieces, error), lambda: self.end(running), media_type
        )

    async def _rest(
        self,
        running: Computation,
        piece: bytes | None,
        pieces: Iterator[bytes],
        error: Callable[[str], bytes],
    ) -> AsyncIterator[bytes]:
        """Yield the pieces, and free the place before the response ends."""
        while piece is not None and not running.cancelled:
            yield piece
            try:
                piece = await to_thread.run_sync(next, pieces, None)
            except Exception as failure:  # whatever it is, the page shall show it
                piece, pieces = error(" ".join(str(failure).split())), iter(())
        self.end(running)


class _Answer(StreamingResponse):
    """The pieces of a computation, which ends with the response, whether or not it was read."""

    def __init__(self, pieces: Any, end: Callable[[], None], media_type: str) -> None:
        super().__init__(pieces, media_type=media_type)
        self._end = end

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the pieces."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._end()
