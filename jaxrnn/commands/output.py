"""Standard output that cannot be written to, or not in its encoding."""

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any


class Guarded:
    """A stream that hands what goes wrong in writing to a function, and is silent from then on.

    What its encoding lacks is shown as "?".
    """

    def __init__(self, stream: Any, on_error: Callable[[OSError], None]) -> None:
        self._wrapped = stream  # tqdm's own name, by which it compares streams
        self._on_error = on_error

    def __eq__(self, other: object) -> bool:
        """As tqdm's wrappers: `tqdm.write` clears a bar that is on the terminal it writes to."""
        return bool(self._wrapped == getattr(other, "_wrapped", other))

    __hash__ = None  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def isatty(self) -> bool:
        """Whether it is a terminal; a stream that is closed is none."""
        with contextlib.suppress(AttributeError, OSError, ValueError):
            return bool(self._wrapped.isatty())
        return False

    def write(self, text: str) -> int:
        """Write, or let it go."""
        encoding = getattr(self._wrapped, "encoding", None) or "utf-8"
        self._try(self._wrapped.write, text.encode(encoding, "replace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Hand everything to the system, or let it go."""
        self._try(self._wrapped.flush)

    def _try(self, act: Callable[..., Any], *arguments: Any) -> None:
        try:
            act(*arguments)
        except (OSError, ValueError) as error:  # ValueError: it is closed
            closed = OSError(errno.EBADF, "it is closed")
            _silence(self._wrapped)
            self._on_error(error if isinstance(error, OSError) else closed)


def unfailing(stream: Any) -> Guarded:
    """A stream that is silent once it cannot be written to."""
    return Guarded(stream, lambda error: None)


@contextlib.contextmanager
def named_output() -> Iterator[None]:
    """Within this block standard output names itself in errors, and shows "?" for what it lacks."""

    def name(error: OSError) -> None:
        raise OSError(error.errno, error.strerror, "standard output") from error

    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed by who started this process
            setattr(sys, stream, open(os.devnull, "w"))  # noqa: SIM115, for as long as it lives
    before = sys.stdout
    sys.stdout = Guarded(before, name)  # type: ignore[assignment]
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout = before


@contextlib.contextmanager
def outlived_output() -> Iterator[None]:
    """Within this block output that cannot be written is given up, and standard error says so."""

    def note(error: OSError) -> None:
        print(f"warning: standard output: {error.strerror}; going on without it", file=sys.stderr)

    before = sys.stdout, sys.stderr
    sys.stderr = unfailing(sys.stderr)  # type: ignore[assignment]
    sys.stdout = Guarded(getattr(sys.stdout, "_wrapped", sys.stdout), note)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdout, sys.stderr = before


def _silence(stream: Any) -> None:
    """Let a stream write to nowhere, also what it still holds back."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
