"""The pictures of the museum's page: the curves of the first seed, rows of one task together."""

from pathlib import Path

from experiments.museum.row import Row
from experiments.shared.pictures import new_figure
from jaxrnn.runs.files import replacing


def draw(rows: list[Row], path: Path) -> None:
    """Draw the curves of the rows that share a picture."""
    figure, (axes,) = new_figure(width=6.0, height=3.2)
    for row in rows:
        for title, points in row.curves().items():
            axes.plot(*zip(*points, strict=True), label=title)
    x_label, y_label = rows[0].axes
    axes.set(xlabel=x_label, ylabel=y_label)
    if "squared" in y_label:
        axes.set_yscale("log")
    figure.legend(loc="outside lower center", ncols=min(3, len(axes.lines)))
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)


def description(rows: list[Row]) -> str:
    """Return the picture in words, for those who cannot see it."""
    ends = [
        f"{title} ends at {points[-1][1]:.3g}"
        for row in rows
        for title, points in row.curves().items()
    ]
    x_label, y_label = rows[0].axes
    return f"{y_label} against {x_label}: {', '.join(ends)}"
