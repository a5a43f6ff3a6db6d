"""What a run leaves in its folder at the end: a curve and a summary."""

import contextlib
import json
import math
import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxrnn.checks import check_regular_file
from jaxrnn.training.integrity import canonical_digest

MAX_BYTES = 1 << 26
"""A larger summary is not read."""


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, all of it or nothing; a number that is not finite becomes null."""
    replace_text(path, json.dumps(plain(content), ensure_ascii=False, indent=2) + "\n")


def write_summary(run_dir: Path, content: dict[str, Any]) -> None:
    """Write `summary.json`, with a sum by which `read_summary` knows it again."""
    content = plain(content)
    write_json(run_dir / "summary.json", content | {"sum": canonical_digest(content)})


def read_summary(run_dir: Path) -> dict[str, Any]:
    """Read what `write_summary` wrote.

    Raises:
        OSError: it is not there.
        ValueError: it is damaged, or of a version that wrote no sums.
    """
    path = run_dir / "summary.json"
    check_regular_file(path, MAX_BYTES)
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        intact = content.pop("sum") == canonical_digest(content)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        intact = False
    if not intact:
        raise ValueError(f"{path} is damaged")
    return content


def plot_perplexity(rows: list[dict[str, Any]], title: str, path: Path) -> None:
    """Draw training and held-out perplexity against the epoch, on a logarithmic scale.

    The epoch that did best on the held-out text is marked.  Without a number there is no picture.
    """
    from matplotlib.ticker import MaxNLocator

    figure, (axes,) = new_figure()
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
    plain_ticks(axes.yaxis)
    figure.legend(loc="outside lower center", ncols=2)  # wherever the curves run
    with replacing(path) as beside:
        figure.savefig(beside, dpi=150)


def new_figure(
    columns: int = 1, width: float = 7.0, height: float = 4.2, *, rows: int = 1
) -> tuple[Any, list[Any]]:
    """Return a figure and its axes with grids, row after row; several rows share their scales."""
    from matplotlib.figure import Figure  # a second to import

    figure = Figure(figsize=(width, height), layout="constrained")
    shared = rows > 1
    all_axes = list(
        figure.subplots(rows, columns, sharex=shared, sharey=shared, squeeze=False).flat
    )
    for axes in all_axes:
        axes.grid(which="both", alpha=0.3)
    return figure, all_axes


def plain_ticks(axis: Any) -> None:
    """Label a logarithmic axis with numbers such as 0.2 and 20,000, not 2e-01 and 2e+04."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        def __call__(self, value: float, position: int | None = None) -> str:
            return f"{value:,.10g}" if super().__call__(value, position) else ""

    axis.set_major_formatter(Plain())
    axis.set_minor_formatter(Plain(minor_thresholds=(2, 0.5)))


def plain(content: Any) -> Any:
    """The same content with None for numbers that are not finite, which JSON has no word for."""
    if isinstance(content, dict):
        return {name: plain(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def replace_text(path: Path, text: str) -> None:
    """Write a text file, all of it or nothing."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Within it, write to the path that it gives; it is renamed at the end.

    A reader sees the old file or the new one.  An OSError names the file; Python does not say which
    one was too large.
    """
    beside = path.with_name(f"{path.stem}.new{path.suffix}")
    with errors_name(path):
        beside.unlink(missing_ok=True)  # to write to a pipe could take for ever
        yield beside
        os.replace(beside, path)


@contextlib.contextmanager
def errors_name(path: Path) -> Iterator[None]:
    """Within it an OSError names the file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
