"""What a run leaves in its folder at the end: a curve and a summary."""

import contextlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, all of it or nothing; a number that is not finite becomes null."""
    replace_text(path, json.dumps(plain(content), ensure_ascii=False, indent=2) + "\n")


def plot_perplexity(rows: list[dict[str, Any]], title: str, path: Path) -> None:
    """Draw training and held-out perplexity against the epoch, on a logarithmic scale."""
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
            axes.plot(*zip(*points, strict=True), style, marker=marker, label=label)
    axes.set(xlabel="epoch", ylabel="perplexity per token", yscale="log", title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    plain_labels(axes.yaxis)
    axes.grid(which="both", alpha=0.3)
    if axes.has_data():
        axes.legend()
    beside = path.with_name(f"{path.stem}.new{path.suffix}")
    with errors_name(path):
        figure.savefig(beside, dpi=150)
        os.replace(beside, path)


def plain_labels(axis: Any) -> None:
    """Of a logarithmic axis: 200 in place of 2 x 10^2."""
    from matplotlib.ticker import LogFormatter

    axis.set_major_formatter(LogFormatter())
    axis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))


def plain(content: dict[str, Any]) -> dict[str, Any]:
    """A dictionary with None for numbers that are not finite, which JSON has no word for."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in content.items()
    }


def replace_text(path: Path, text: str) -> None:
    """Write a file beside its place, then rename: a reader sees the old text or the new."""
    beside = path.with_name(path.name + ".new")
    with errors_name(path):
        beside.unlink(missing_ok=True)  # to write to a pipe could take for ever
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)


@contextlib.contextmanager
def errors_name(path: Path) -> Iterator[None]:
    """Within it an OSError names the file; Python does not say which one was too large."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
