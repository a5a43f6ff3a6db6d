"""What a run leaves in its folder: numbers by line, TensorBoard events, a curve, a summary."""

import contextlib
import json
import math
import os
import re
import textwrap
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class MetricsLog:
    """`metrics.jsonl` and `tensorboard/` of a run, a row an epoch; a context manager."""

    def __init__(self, run_dir: Path, finished_epochs: int = 0) -> None:
        """Open the log; a run that is resumed keeps the rows of its finished epochs only."""
        from tensorboardX.event_file_writer import EventsWriter  # not needed by `import jaxrnn`
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        run_dir.mkdir(parents=True, exist_ok=True)
        self._path = path = run_dir / "metrics.jsonl"
        self.rows = [row for row in _read_rows(path) if row["epoch"] <= finished_epochs]
        _replace(path, "".join(json.dumps(row) + "\n" for row in self.rows))
        self._file = path.open("a", encoding="utf-8")
        # Written in this thread: where the disk is full, tensorboardX's own would die, and its
        # queue then block for ever.
        (run_dir / "tensorboard").mkdir(exist_ok=True)
        self._events = EventsWriter(str(run_dir / "tensorboard" / "events"))
        restart = SessionLog(status=SessionLog.START)
        self._write_events([Event(step=finished_epochs + 1, session_log=restart)])

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # An error that is on its way says more than that the rest cannot be written either.
        with contextlib.suppress(*([] if kind is None else [OSError])):
            self._file.close()
        with contextlib.suppress(*([] if kind is None else [OSError])):
            self._events.close()

    def _write_events(self, events: list[Any]) -> None:
        with _errors_name(self._path.with_name("tensorboard")):
            for event in events:
                event.wall_time = time.time()
                self._events.write_event(event)
            self._events.flush()

    def add(self, row: dict[str, Any]) -> None:
        """Add the numbers of an epoch; `row["epoch"]` says which."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        self.rows.append(_plain(row))
        with _errors_name(self._path):
            self._file.write(json.dumps(self.rows[-1]) + "\n")
            self._file.flush()
        numbers = {name: value for name, value in row.items() if name != "epoch"}
        self._write_events(
            [Event(step=row["epoch"], summary=scalar(*each)) for each in numbers.items()]
        )


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, all of it or nothing; a number that is not finite becomes null."""
    _replace(path, json.dumps(_plain(content), ensure_ascii=False, indent=2) + "\n")


def plot_perplexity(rows: list[dict[str, Any]], title: str, path: Path) -> None:
    """Draw training and held-out perplexity against the epoch, on a logarithmic scale.

    The epoch that did best on the held-out text is marked.  Without a number there is no picture.
    """
    from matplotlib.figure import Figure  # not needed by `import jaxrnn`
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for name, label, style in (
        ("perplexity", "training", "-"),
        ("held_out_perplexity", "held out", "--"),
        ("unigram_perplexity", "held out, unigram model", ":"),
    ):
        points = [(row["epoch"], row[name]) for row in rows if row.get(name) is not None]
        if points:
            marker = "." if len(points) < 5 else ""
            (line,) = axes.plot(*zip(*points, strict=True), style, marker=marker, label=label)
        if points and name == "held_out_perplexity":
            epoch, least = min(points, key=lambda point: point[1])
            shown = f"{least:.4g}" if least < 1000 else f"{least:,.0f}"
            label = f"best held out: {shown}, epoch {epoch}"
            axes.plot(epoch, least, "o", color=line.get_color(), label=label)
    if not axes.has_data():
        return
    axes.set(xlabel="epoch", ylabel="perplexity per token", yscale="log")
    # The title may be a file's name: no formula, and Chinese as code points, which have no font.
    title = re.sub("[\u2e80-\uffff]", lambda c: f"\\u{ord(c[0]):04x}", title)
    axes.set_title(textwrap.fill(title, 60), parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    plain_labels(axes.yaxis)
    axes.yaxis.set_major_formatter("{x:,.10g}")
    axes.grid(which="both", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2)  # wherever the curves run
    beside = path.with_name(f"{path.stem}.new{path.suffix}")
    with _errors_name(path):
        figure.savefig(beside, dpi=150)
        os.replace(beside, path)


def plain_labels(axis: Any) -> None:
    """Of a logarithmic axis: 200 in place of 2 x 10^2."""
    from matplotlib.ticker import LogFormatter

    axis.set_major_formatter(LogFormatter())
    axis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    """JSON has no word for NaN and infinity."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in content.items()
    }


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a log, which may have been cut off within the last, up to a damaged one."""
    rows: list[dict[str, Any]] = []
    if not path.exists():
        return rows
    lines = path.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            whole = isinstance(row["epoch"], int)
        except (ValueError, TypeError, KeyError):
            whole = False
        if whole and line.endswith(b"\n"):
            rows.append(row)
            continue
        if number < len(lines) or line.endswith(b"\n"):
            warnings.warn(f"line {number} of {path} is damaged: kept those before", stacklevel=3)
        break
    return rows


def _replace(path: Path, text: str) -> None:
    """Write beside the file, then rename: a reader sees the old text or the new."""
    beside = path.with_name(path.name + ".new")
    with _errors_name(path):
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)


@contextlib.contextmanager
def _errors_name(path: Path) -> Iterator[None]:
    """Python does not say which file was too large for the disk."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
