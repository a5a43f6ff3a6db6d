"""Standard output that is full, closed or not able to encode a character."""

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any


class Guarded:
    """A stream that passes its first write error to a function, and then discards all output.

    Characters that its encoding lacks are written as "?".
    """

    def __init__(self, stream: Any, on_error: Callable[[OSError], None]) -> None:
        self._wrapped = stream  # the name by which tqdm compares streams
        self._on_error = on_error

    def __eq__(self, other: object) -> bool:
        """Compare like tqdm's wrappers: `tqdm.write` clears a bar on the terminal it writes to."""
        return bool(self._wrapped == getattr(other, "_wrapped", other))

    __hash__ = None  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def isatty(self) -> bool:
        """Return whether the stream is a terminal; a closed stream is not."""
        with contextlib.suppress(AttributeError, OSError, ValueError):
            return bool(self._wrapped.isatty())
        return False

    def write(self, text: str) -> int:
        """Write the text, or discard it after an error."""
        encoding = getattr(self._wrapped, "encoding", None) or "utf-8"
        self._try(self._wrapped.write, text.encode(encoding, "replace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Flush the stream, or do nothing after an error."""
        self._try(self._wrapped.flush)

    def _try(self, act: Callable[..., Any], *arguments: Any) -> None:
        try:
            act(*arguments)
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            closed = OSError(errno.EBADF, "it is closed")
            _silence(self._wrapped)
            self._on_error(error if isinstance(error, OSError) else closed)


def unfailing(stream: Any) -> Guarded:
    """Return a stream that discards all output once it cannot be written to."""
    return Guarded(stream, lambda error: None)


@contextlib.contextmanager
def named_output() -> Iterator[None]:
    """Make errors of standard output name it; characters that it cannot encode become "?"."""

    def name(error: OSError) -> None:
        raise OSError(error.errno, error.strerror, "standard output") from error

    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed by the parent process
            setattr(sys, stream, open(os.devnull, "w"))  # noqa: SIM115, open until it exits
    before = sys.stdout
    sys.stdout = Guarded(before, name)  # type: ignore[assignment]
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout = before


@contextlib.contextmanager
def outlived_output() -> Iterator[None]:
    """Continue without standard output if it fails, and report that once on standard error."""

    def note(error: OSError) -> None:
        print(f"warning: standard output: {error.strerror}; continuing without it", file=sys.stderr)

    before = sys.stdout, sys.stderr
    sys.stderr = unfailing(sys.stderr)  # type: ignore[assignment]
    sys.stdout = Guarded(getattr(sys.stdout, "_wrapped", sys.stdout), note)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdout, sys.stderr = before


def _silence(stream: Any) -> None:
    """Send a stream to the null device, including what it has buffered."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
