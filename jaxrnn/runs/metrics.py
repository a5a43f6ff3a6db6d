"""The metrics of a run, epoch by epoch: `metrics.jsonl`, and TensorBoard events.

A line of `metrics.jsonl` is a JSON object.  Its last entry, "sum", is a checksum of the others, so
a flipped bit is detected.
"""

import contextlib
import hashlib
import json
import time
import warnings
from pathlib import Path
from typing import Any

from jaxrnn.checks import check_regular_file
from jaxrnn.runs.files import errors_name, plain, replace_text

MAX_BYTES = 1 << 30
"""A larger log is not read."""

WITHOUT_SUM = {
    "epoch",
    "step",
    "perplexity",
    "tokens_per_second",
    "seconds",
    "skipped_steps",
    "held_out_perplexity",
    "held_out_bits_per_token",
    "unigram_perplexity",
    "held_out_unknown_share",
}
"""The only entries in logs of versions that wrote no checksums."""


class MetricsLog:
    """`metrics.jsonl` and `tensorboard/` of a run, one row per epoch; a context manager."""

    def __init__(self, run_dir: Path, finished_epochs: int = 0) -> None:
        """Open the log; a resumed run keeps only the rows of its finished epochs."""
        from tensorboardX.event_file_writer import EventsWriter  # not needed by `import jaxrnn`
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        run_dir.mkdir(parents=True, exist_ok=True)
        self._path = path = run_dir / "metrics.jsonl"
        self.rows = [row for row in read_metrics(run_dir) if row["epoch"] <= finished_epochs]
        last = self.rows[-1]["epoch"] if self.rows else 0
        if last < finished_epochs:
            warnings.warn(f"{path} lacks epochs {last + 1} to {finished_epochs}", stacklevel=2)
        replace_text(path, "".join(map(_line, self.rows)))
        self._file = path.open("a", encoding="utf-8")
        # Written in this thread: on a full disk tensorboardX's own thread would die, and its queue
        # then block forever.
        (run_dir / "tensorboard").mkdir(exist_ok=True)
        self._events = EventsWriter(str(run_dir / "tensorboard" / "events"))
        restart = SessionLog(status=SessionLog.START)
        self._write_events([Event(step=finished_epochs + 1, session_log=restart)])

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # An error already on its way says more than a second failure to write.
        with contextlib.suppress(*([] if kind is None else [OSError])):
            self._file.close()
        with contextlib.suppress(*([] if kind is None else [OSError])):
            self._events.close()

    def _write_events(self, events: list[Any]) -> None:
        with errors_name(self._path.with_name("tensorboard")):
            for event in events:
                event.wall_time = time.time()
                self._events.write_event(event)
            self._events.flush()

    def add(self, row: dict[str, Any]) -> None:
        """Add the metrics of the epoch `row["epoch"]`."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        self.rows.append(plain(row))
        with errors_name(self._path):
            self._file.write(_line(self.rows[-1]))
            self._file.flush()
        numbers = {
            name: x for name, x in self.rows[-1].items() if name != "epoch" and x is not None
        }
        self._write_events(
            [Event(step=row["epoch"], summary=scalar(*each)) for each in numbers.items()]
        )


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """Read the rows of a run's log, one per epoch, up to the first damaged one.

    A last line that was cut off is ignored; any other damage is a warning.

    Raises:
        ValueError: the log is not a regular file, or too large.
    """
    path = run_dir / "metrics.jsonl"
    if not path.exists():
        return []
    check_regular_file(path, MAX_BYTES)
    lines = path.read_bytes().splitlines(keepends=True)
    rows: list[dict[str, Any]] = []
    sums = any(b'"sum"' in line for line in lines)
    for number, line in enumerate(lines, 1):
        row = _read_line(line, sums)
        if row is not None and row["epoch"] > (rows[-1]["epoch"] if rows else 0):
            rows.append(row)
            continue
        if number < len(lines) or line.endswith(b"\n"):
            warnings.warn(f"line {number} of {path} is damaged: keeping those before", stacklevel=3)
        break
    return rows


def _line(row: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(row).encode()).hexdigest()
    return json.dumps(row | {"sum": digest[:16]}) + "\n"


def _read_line(line: bytes, sums: bool) -> dict[str, Any] | None:
    """Return the row of a line, or None unless writing the row gives the same bytes."""
    try:
        row: dict[str, Any] = json.loads(line)
        if sums:
            del row["sum"]
            intact = _line(row).encode() == line
        else:
            intact = f"{json.dumps(row)}\n".encode() == line and row.keys() <= WITHOUT_SUM
        return row if intact and type(row["epoch"]) is int else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
