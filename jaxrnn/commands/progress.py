"""Progress of a command: a bar in a terminal, lines on standard error elsewhere.

A line reads "GRU, seed 2: epoch 12.5 of 40 (31%), 0:12 elapsed, about 0:27 left, perplexity 3.21".
"""

import contextlib
import sys
import threading
from collections.abc import Collection, Iterable, Iterator
from time import monotonic
from types import TracebackType
from typing import Any, TypeVar

from tqdm import tqdm

from jaxrnn.commands.output import unfailing
from jaxrnn.training import Progress, TrainState

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_FRAMES = 0.25
"""Seconds between updates of the bar in a terminal."""


class Bar:
    """Shows the progress of some work; a context manager.

        with Bar("GRU, seed 2", total=40) as bar:
            bar.show(12.5, "perplexity 3.21")

    A terminal gets a bar; any other standard error gets a line at once and then one every ten
    seconds, even if the work does not call `show`.
    """

    def __init__(
        self,
        name: str,
        total: float,
        unit: str = "epoch",
        *,
        done: float = 0,
        words: str = "compiling",
        enabled: bool = True,
    ) -> None:
        """Set up the bar; nothing is shown yet.

        Args:
            name: the name of the work.
            total: how many units the work takes.
            unit: the name of a unit, in the singular.
            done: how many units were done before.
            words: text to show until the first call of `show`.
            enabled: False for a process that shows nothing.
        """
        self.name, self.total, self.unit, self.enabled = name, total, unit, enabled
        self._done, self._words, self._news = done, words, False
        self._first: tuple[float, float] | None = None
        """When `show` was first called, and the units done by then."""
        self._tqdm: Any = None
        self._every = SECONDS_BETWEEN_LINES
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show_until_over, daemon=True)

    def __enter__(self) -> "Bar":
        self._began = self._last = self._last_shown = monotonic()
        self.enabled = self.enabled and sys.stderr is not None
        if self.enabled:
            self._stream = unfailing(sys.stderr)
            if self._stream.isatty():
                with contextlib.suppress(OSError, ValueError):  # tqdm flushes standard output
                    self._tqdm = self._new_tqdm()
                    self._every = SECONDS_BETWEEN_FRAMES
            self._show(at_once=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None
    ) -> None:
        if not self.enabled:
            return
        self._over.set()
        self._thread.join()
        if kind is None and self._news:
            self._show(at_once=True)
        if self._tqdm is not None:
            self._tqdm.close()

    def _new_tqdm(self) -> Any:
        return tqdm(
            total=self.total,
            desc=self.name,
            unit=self.unit,
            file=self._stream,
            dynamic_ncols=True,
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} {unit}s{postfix}",
        )

    def show(self, done: float, words: str = "") -> None:
        """Record that `done` units are done, and other text to show."""
        self._last = monotonic()
        if self._first is None:
            self._first = (self._last, done)
        self._done, self._words, self._news = done, words, True
        self._show()

    def show_training(self, progress: Progress) -> None:
        """Record the progress of a training, whose unit is the epoch."""
        value = progress.perplexity
        shown = f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
        speed = progress.total_tokens / max(progress.seconds, 1e-9)
        done = progress.epoch + progress.batch / max(1, progress.num_batches)
        self.show(done, f"perplexity {shown}, {speed:,.0f} tokens/s")

    def follow(
        self, steps: Iterable[tuple[TrainState, Progress]]
    ) -> Iterator[tuple[TrainState, Progress]]:
        """Pass on what `jaxrnn.train` yields, and show its progress."""
        for state, progress in steps:
            self.show_training(progress)
            yield state, progress

    def _show_until_over(self) -> None:
        """Refresh from a thread, as compilation or a long step may not call `show` for minutes."""
        while not self._over.wait(self._last_shown + self._every - monotonic()):
            self._show()

    def _show(self, *, at_once: bool = False) -> None:
        """Write a line or a frame, if it is time for one."""
        with tqdm.get_lock():
            now = monotonic()
            if self.enabled and (at_once or now - self._last_shown >= self._every):
                self._last_shown, self._news = now, False
                elapsed, left = now - self._began, self._seconds_left(now)
                if self._tqdm is None:
                    self._write_line(elapsed, left)
                else:
                    self._draw_bar(elapsed, left)

    def _write_line(self, elapsed: float, left: float | None) -> None:
        done, total = (f"{_rounded(number):,}" for number in (self._done, self.total))
        share = f"{int(100 * self._done / self.total)}%"
        parts = [f"{self.name}: {self.unit} {done} of {total} ({share})"]
        parts += [f"{_clock(elapsed)} elapsed"]
        parts += [f"about {_clock(left)} left"] if left else []
        parts += [self._words] if self._words else []
        tqdm.write(", ".join(parts), file=self._stream)

    def _draw_bar(self, elapsed: float, left: float | None) -> None:
        times = f"{_clock(elapsed)}<{'?' if left is None else _clock(left)}"
        self._tqdm.n = _rounded(self._done)
        self._tqdm.set_postfix_str(f"{times}, {self._words}".rstrip(", "), refresh=False)
        self._tqdm.refresh(nolock=True)

    def _seconds_left(self, now: float) -> float | None:
        """Extrapolate from the rate since the first `show`; before that, time went to compiling."""
        if self._done >= self.total:
            return 0.0
        first, done_then = self._first or (self._last, self._done)
        done_since, seconds = self._done - done_then, self._last - first
        if not (done_since > 0 and seconds > 0):
            return None
        return max(0.0, (self.total - self._done) * seconds / done_since - (now - self._last))


def track(name: str, items: Collection[Item], unit: str, *, enabled: bool = True) -> Iterator[Item]:
    """Pass on the items and show how many are done; if they are names, also the current one."""
    with Bar(name, len(items), unit, words="", enabled=enabled) as bar:
        for done, item in enumerate(items):
            bar.show(done, item if isinstance(item, str) else "")
            yield item
        bar.show(len(items))


def _rounded(number: float) -> float:
    """Round to two decimals, or to an integer where they would be zeros."""
    rounded = round(number, 2)
    return int(rounded) if rounded == int(rounded) else rounded


def _clock(seconds: float) -> str:
    """Format seconds as 0:12, 12:34 or 1:23:45."""
    return str(tqdm.format_interval(seconds)).removeprefix("0")
