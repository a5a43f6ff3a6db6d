"""The features of every cell, with the reason where one lacks a feature.

    python -m benchmarks.cell_features

prints the matrix of docs/cells.md.  `tests/test_every_cell.py` runs every feature with every cell
that has it, and checks that what is missing is refused.
"""

from collections.abc import Callable
from typing import NamedTuple

import jaxrnn
from jaxrnn.cells import BaseCell, LinearCell
from jaxrnn.model_config import CELLS as BY_NAME

CELLS: dict[str, Callable[[int], BaseCell]] = {
    **BY_NAME,
    "relu": lambda size: jaxrnn.rnn(size, "relu"),
    "gru_reset_before": lambda size: jaxrnn.gru(size, reset_after=False),
    "mgu_of_flax": lambda size: jaxrnn.mgu(size, as_in_flax=True),
    "slstm_of_two_heads": lambda size: jaxrnn.slstm(size, num_heads=2),
    "positive_min_gru": lambda size: jaxrnn.min_gru(size, positive=True),
    "positive_min_lstm": lambda size: jaxrnn.min_lstm(size, positive=True),
    "qrnn_f": lambda size: jaxrnn.qrnn(size, pooling="f"),
    "qrnn_ifo": lambda size: jaxrnn.qrnn(size, pooling="ifo"),
}
"""The public cells, by name, and their variants; H must be even."""

CALLS = {
    "relu": 'rnn(H, "relu")',
    "gru_reset_before": "gru(H, reset_after=False)",
    "mgu_of_flax": "mgu(H, as_in_flax=True)",
    "slstm_of_two_heads": "slstm(H, num_heads=2)",
    "positive_min_gru": "min_gru(H, positive=True)",
    "positive_min_lstm": "min_lstm(H, positive=True)",
    "qrnn_f": 'qrnn(H, pooling="f")',
    "qrnn_ifo": 'qrnn(H, pooling="ifo")',
}
"""How the variants are made."""

Reason = Callable[[str, BaseCell], str | None]
"""(name, cell) -> why the cell does not have a feature, or None if it does."""


def everything(name: str, cell: BaseCell) -> None:
    """Return None: every cell has the feature."""


def no_weights(name: str, cell: BaseCell) -> str | None:
    """Return why no recurrent weights can be disturbed."""
    return "a linear cell has no recurrent weights" if isinstance(cell, LinearCell) else None


def no_forms(name: str, cell: BaseCell) -> str | None:
    """Return why the recurrent weights have one form only."""
    if isinstance(cell, jaxrnn.StepCell):
        return "a `StepCell` multiplies by its recurrent weights itself"
    return no_weights(name, cell)


def no_projection(name: str, cell: BaseCell) -> str | None:
    """Return why the hidden state cannot be projected."""
    if cell.num_heads > 1:
        return "its heads are what the hidden state is divided into instead"
    return no_forms(name, cell)


def no_forget_gate(name: str, cell: BaseCell) -> str | None:
    """Return why there is no forget gate's bias to choose."""
    return None if "forget" in cell.gates else 'it has no gate of the name "forget"'


def no_scan(name: str, cell: BaseCell) -> str | None:
    """Return why the library has no derivative of its own."""
    return "only JAX can differentiate a `StepCell`" if isinstance(cell, jaxrnn.StepCell) else None


def no_native(name: str, cell: BaseCell) -> str | None:
    """Return why there is no native code."""
    reason = jaxrnn.implementations(cell)["native"]
    if cell.num_heads > 1:
        return "it multiplies by a matrix, not by the blocks of heads"
    if reason == "available":
        return None
    if "norm" in name:
        return "its units read each other, because they are normalised together"
    return reason.replace(f"the cell {cell.name} is not eligible: it", "it").replace(
        f" {cell.name}", ""
    )


def no_tree(name: str, cell: BaseCell) -> str | None:
    """Return why the recurrence cannot be evaluated in parallel over time."""
    return None if isinstance(cell, LinearCell) else "the cell is not linear in its state"


def no_cudnn(name: str, cell: BaseCell) -> str | None:
    """Return why cuDNN cannot run the cell; this machine's lack of a GPU is none."""
    return None if name == "lstm" else "of these cells it has a kernel for the LSTM only"


FEATURES: dict[str, Reason] = {
    "values and gradients, as of a loop in NumPy": everything,
    "inputs of token ids": everything,
    "`lengths`, NaN in the padding": everything,
    "`resets`, `reset_carry`": everything,
    "`reverse`, `bidirectional`, `stack`": everything,
    "`jaxrnn.step` by step, chunk by chunk": everything,
    "`return_carries`": everything,
    "`remat_every`": everything,
    "`dtype=bfloat16`": everything,
    "`vmap`, forward mode, second derivatives": everything,
    "pickling, equality": everything,
    "export": everything,
    "`zoneout`": everything,
    "`weight_drop`": no_weights,
    "`recurrent_dropout`": no_forms,
    "`num_heads`": no_forms,
    "`projection_size`": no_projection,
    "`forget_gate_bias`, `chrono`": no_forget_gate,
    'implementation "scan"': no_scan,
    'implementation "autodiff"': everything,
    'implementation "native"': no_native,
    'implementation "associative_scan"': no_tree,
    'implementation "cudnn"': no_cudnn,
    "`jaxrnn train` by name, without arguments": everything,
}
"""What cells can do, and why one cannot."""


def reason(feature: str, name: str) -> str | None:
    """Return why a cell does not have a feature, or None if it does."""
    return FEATURES[feature](name, CELLS[name](4))


class Row(NamedTuple):
    """Cells that have the same features."""

    names: list[str]
    reasons: dict[str, str | None]
    """Why they do not have a feature, or None if they do."""


def rows() -> list[Row]:
    """Group the cells by what they lack, in the order of `CELLS`."""
    groups: dict[tuple[str | None, ...], Row] = {}
    for name in CELLS:
        reasons = {feature: reason(feature, name) for feature in FEATURES}
        groups.setdefault(tuple(reasons.values()), Row([], reasons)).names.append(name)
    return list(groups.values())


def matrix() -> str:
    """Return the Markdown: a list of what all cells have, and a table of the rest."""
    groups, notes = rows(), dict[str, int]()
    partial = [each for each in FEATURES if any(group.reasons[each] for group in groups)]
    lines = ["Every cell has:", ""]
    lines += [f"- {each}" for each in FEATURES if each not in partial]
    heads = [each.replace("implementation ", "") for each in partial]
    lines += ["", "Some lack an option of `recurrent`, or an implementation:", ""]
    lines += [f"| | {' | '.join(heads)} |", "|---|" + "---|" * len(partial)]
    for group in groups:
        marks = []
        for feature in partial:
            why = group.reasons[feature]
            marks.append("yes" if why is None else f"- ({notes.setdefault(why, len(notes) + 1)})")
        cells = ", ".join(f"`{CALLS.get(name, name)}`" for name in group.names)
        lines.append(f"| {cells} | {' | '.join(marks)} |")
    footnotes = (f"{number}. {why[0].upper()}{why[1:]}." for why, number in notes.items())
    return "\n".join([*lines, "", *footnotes])


if __name__ == "__main__":
    print(matrix())
