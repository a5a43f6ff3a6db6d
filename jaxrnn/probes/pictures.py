"""Pictures of what probes find: each function returns a matplotlib figure.

Matplotlib is imported when a picture is drawn.  Save one with `figure.savefig("picture.png")`.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxrnn.checks import check_positive_integer, check_shape
from jaxrnn.probes.saturation import Saturation
from jaxrnn.runs.pictures import new_figure
from jaxrnn.typing import AnyArray, Complex, Float

COLUMNS = 80
"""Characters in a line of a coloured text."""

MAX_LABELS = 120
"""Tokens that fit below a heat map."""

VISIBLE = {"\n": "↵", " ": "·", "\t": "→"}
"""Signs for characters that one cannot see."""


def plot_activity(
    values: Float[AnyArray, "T H"], tokens: Sequence[str] = (), *, title: str = ""
) -> Any:
    """Return a heat map of units over time, such as the memory or a gate of a trace.

    Args:
        values: a number per step and unit; the colours are symmetric around zero.
        tokens: what the model read at each step, written below where there is room.
        title: the title.

    Raises:
        ValueError: values are not `[T, H]`, or there is not a token per step.

    Examples:
        >>> import numpy as np
        >>> from jaxrnn import probes
        >>> figure = probes.plot_activity(np.eye(3), "abc")
        >>> [text.get_text() for text in figure.axes[0].get_xticklabels()]
        ['a', 'b', 'c']
    """
    if values.ndim != 2:
        raise ValueError(
            f"values must be [T, H], such as carries.memory[:, 0], got shape {values.shape}"
        )
    num_steps, num_units = values.shape
    width = min(16.0, max(5.0, 0.12 * num_steps + 1.5))
    figure, (axes,) = new_figure(width=width, height=min(9.0, max(2.5, 0.05 * num_units + 1.5)))
    axes.grid(visible=False)
    limit = float(np.abs(np.asarray(values)).max(initial=0.0)) or 1.0
    image = axes.imshow(
        np.asarray(values).T,
        aspect="auto",
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        interpolation="nearest",
    )
    axes.set(ylabel="unit", xlabel="step")
    axes.set_title(title, parse_math=False)
    if len(tokens):
        check_shape("tokens", (len(tokens),), (num_steps,), "[T]")
        if num_steps <= MAX_LABELS:
            fonts, drawable = _fonts(tokens)
            shown = ["".join(map(drawable, token)) for token in tokens]
            axes.set_xticks(range(num_steps), shown, parse_math=False, family=fonts)
            axes.set_xlabel("token read")
    figure.colorbar(image, ax=axes)
    return figure


def plot_saturation(gates: Mapping[str, Saturation]) -> Any:
    """Return a scatter plot for each gate: how often each unit is closed, and how often open.

    Units at the right are nearly always open, units at the top nearly always closed, those at the
    origin never either.

    Args:
        gates: what `saturation` returned.

    Raises:
        ValueError: there is no gate.

    Examples:
        >>> import numpy as np
        >>> from jaxrnn import probes
        >>> forget = probes.Saturation(np.array([0.1, 0.0]), np.array([0.2, 1.0]))
        >>> [axes.get_title() for axes in probes.plot_saturation({"forget": forget}).axes]
        ['forget gate']
    """
    if not gates:
        raise ValueError("gates must hold at least one, got none")
    figure, all_axes = new_figure(len(gates), 3.4 * len(gates), 3.5)
    for axes, (name, shares) in zip(all_axes, gates.items(), strict=True):
        axes.plot([0, 1], [1, 0], color="grey", linewidth=0.8)
        axes.scatter(shares.high, shares.low, s=22, alpha=0.5, linewidths=0, clip_on=False)
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", title=f"{name} gate")
        axes.set(xlabel="share of steps open", ylabel="share of steps closed")
    return figure


def plot_gradient_norms(norms: Mapping[str, Float[AnyArray, "T B"]]) -> Any:
    """Return a plot of gradients against the steps that they have flowed back.

    Args:
        norms: what `gradient_norms` returned; the mean over the batch is drawn.

    Examples:
        >>> import numpy as np
        >>> from jaxrnn import probes
        >>> figure = probes.plot_gradient_norms({"hidden": np.array([[0.25], [0.5], [0.0]])})
        >>> figure.axes[0].lines[0].get_xdata().tolist()
        [2, 1]
    """
    figure, (axes,) = new_figure()
    for name, of_steps in norms.items():
        means = np.asarray(of_steps).mean(axis=1)
        back = np.arange(len(means))[::-1]
        shown = means > 0  # on a logarithmic scale
        axes.plot(back[shown], means[shown], marker="." if shown.sum() < 5 else "", label=name)
    axes.set(xlabel="steps back", ylabel="norm of the gradient", yscale="log")
    if norms:
        axes.legend()
    return figure


def plot_spectrum(eigenvalues: Complex[AnyArray, "K N"]) -> Any:
    """Return a plot of the eigenvalues of fixed points in the complex plane.

    Those inside the unit circle fade, those outside grow; the angle is the rotation per step.

    Args:
        eigenvalues: those of a `fixed_points`.

    Examples:
        >>> import numpy as np
        >>> from jaxrnn import probes
        >>> figure = probes.plot_spectrum(np.array([[0.5, 0.5j]]))
        >>> len(figure.axes[0].collections)
        1
    """
    figure, (axes,) = new_figure(width=5.0, height=4.6)
    angles = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.cos(angles), np.sin(angles), color="grey", linewidth=1)
    for k, values in enumerate(np.asarray(eigenvalues)):
        axes.scatter(values.real, values.imag, s=16, alpha=0.7, label=f"point {k + 1}")
    axes.set(xlabel="real part", ylabel="imaginary part", aspect="equal")
    if 1 < len(eigenvalues) <= 8:
        axes.legend()
    return figure


def plot_text(
    tokens: Sequence[str], values: Float[AnyArray, "T"], *, title: str = "", columns: int = COLUMNS
) -> Any:
    """Return a picture of a text, each token coloured by a number, such as a unit after reading it.

    Args:
        tokens: the tokens of the text.
        values: a number per token: blue below zero, red above.
        title: the title.
        columns: the characters in a line, at most.

    Raises:
        ValueError: there is not a number per token.

    Examples:
        >>> import numpy as np
        >>> from jaxrnn import probes
        >>> figure = probes.plot_text("to be", np.linspace(-1, 1, 5))
        >>> "".join(text.get_text() for text in figure.axes[0].texts)
        'tobe'

    Reference:
        Karpathy, Johnson and Li, Visualizing and understanding recurrent networks, 2015,
        arXiv:1506.02078, figure 2.
    """
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    check_shape("values", values.shape, (len(tokens),), "[T]")
    check_positive_integer("columns", columns)
    values = np.asarray(values)
    cells = list(_cells(tokens, columns))
    fonts, drawable = _fonts(tokens)
    num_lines = 1 + max((line for line, *_ in cells), default=0)
    figure, (axes,) = new_figure(width=0.115 * columns, height=0.24 * num_lines + 0.5)
    axes.set(xlim=(0, columns), ylim=(num_lines, 0))
    axes.axis("off")
    axes.set_title(title, parse_math=False)
    limit = float(np.abs(values).max(initial=0.0)) or 1.0
    for line, column, width, character, token in cells:
        share = float(values[token]) / limit
        colour = colormaps["RdBu_r"](0.5 + 0.45 * share)
        axes.add_patch(Rectangle((column, line), width, 1, color=colour, linewidth=0))
        if not character.isspace():
            ink = "white" if abs(share) > 0.7 else "black"
            axes.text(
                column + width / 2,
                line + 0.55,
                drawable(character),
                color=ink,
                ha="center",
                va="center",
                family=fonts,
                fontsize=9,
                parse_math=False,
            )
    return figure


def _cells(tokens: Sequence[str], columns: int) -> Any:
    """Yield (line, column, width, character, token) of each character of a text."""
    line = column = 0
    for k, token in enumerate(tokens):
        for character in token:
            width = 2 if unicodedata.east_asian_width(character) in "WF" else 1
            if column + width > columns:
                line, column = line + 1, 0
            yield line, column, width, character, k
            column += width
            if character == "\n":
                line, column = line + 1, 0


def _fonts(tokens: Sequence[str]) -> tuple[list[str], Callable[[str], str]]:
    """Return fonts for a text, and a function that replaces characters that they lack."""
    from matplotlib import font_manager

    fonts = ["DejaVu Sans Mono"]
    if any(unicodedata.east_asian_width(c) in "WF" for token in tokens for c in token):
        installed = {font.name for font in font_manager.fontManager.ttflist}
        fonts += sorted(name for name in installed if "CJK" in name)[:1]
    files = (font_manager.get_font(font_manager.findfont(font)) for font in fonts)
    known = set[int]().union(*(file.get_charmap() for file in files))

    def drawable(character: str) -> str:
        character = VISIBLE.get(character, character)
        return character if ord(character) in known else "□"

    return fonts, drawable
