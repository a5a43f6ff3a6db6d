"""Standard output that cannot be written to, or not in its encoding."""

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any


class Guarded:
    """A stream that hands what goes wrong in writing to a function, and is silent from then on."""

    def __init__(self, stream: Any, on_error: Callable[[OSError], None]) -> None:
        self.stream, self.on_error = stream, on_error

    def write(self, text: str) -> int:
        """Write, or let it go."""
        self._try(lambda: self.stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Hand everything to the system, or let it go."""
        self._try(self.stream.flush)

    def _try(self, act: Callable[[], Any]) -> None:
        try:
            act()
        except OSError as error:
            silence(self.stream)
            self.on_error(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def named_output() -> Iterator[None]:
    """Within this block standard output names itself in errors, and shows "?" for what it lacks."""

    def name(error: OSError) -> None:
        raise OSError(error.errno, error.strerror, "standard output") from error

    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed by who started this process
            setattr(sys, stream, open(os.devnull, "w"))  # noqa: SIM115, for as long as it lives
    before = sys.stdout
    if isinstance(before, io.TextIOWrapper):
        before.reconfigure(errors="replace")
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
    sys.stderr = Guarded(sys.stderr, lambda error: None)  # type: ignore[assignment]
    sys.stdout = Guarded(getattr(sys.stdout, "stream", sys.stdout), note)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdout, sys.stderr = before


def silence(stream: Any) -> None:
    """Let a stream write to nowhere, also what it still holds back."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
