"""The perplexity curve of a run, and the style of all figures."""

import re
import textwrap
from pathlib import Path
from typing import Any

from jaxrnn.runs.files import replacing


def plot_perplexity(rows: list[dict[str, Any]], title: str, path: Path) -> None:
    """Draw training, validation and held-out perplexity against the epoch, on a logarithmic scale.

    The best epoch on the validation text is marked.  Without any numbers, no file is written.
    """
    from matplotlib.ticker import MaxNLocator

    figure, (axes,) = new_figure()
    for name, label, style in (
        ("perplexity", "training", "-"),
        ("validation_perplexity", "validation", "-."),
        ("held_out_perplexity", "held out", "--"),
        ("unigram_perplexity", "held out, unigram model", ":"),
    ):
        points = [(row["epoch"], row[name]) for row in rows if row.get(name) is not None]
        if points:
            marker = "." if len(points) < 5 else ""
            (line,) = axes.plot(*zip(*points, strict=True), style, marker=marker, label=label)
        if points and name == "validation_perplexity":
            epoch, least = min(points, key=lambda point: point[1])
            shown = f"{least:.4g}" if least < 1000 else f"{least:,.0f}"
            label = f"best on validation: {shown}, epoch {epoch}"
            axes.plot(epoch, least, "o", color=line.get_color(), label=label)
    if not axes.has_data():
        return
    axes.set(xlabel="epoch", ylabel="perplexity per token", yscale="log")
    # The title may be a file name: it is not a formula, and the font has no Chinese characters.
    title = re.sub("[\u2e80-\uffff]", lambda c: f"\\u{ord(c[0]):04x}", title)
    axes.set_title(textwrap.fill(title, 60), parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    plain_ticks(axes.yaxis)
    figure.legend(loc="outside lower center", ncols=2)  # never on top of a curve
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)


def new_figure(
    columns: int = 1, width: float = 7.0, height: float = 4.2, *, rows: int = 1
) -> tuple[Any, list[Any]]:
    """Return a figure and its axes, row by row, with grids; several rows share their scales."""
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
