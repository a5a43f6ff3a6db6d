"""Reading of a Keras layer in one direction: checks that ours do the same, and its weights."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.cells import BaseCell, gru, lstm, rnn
from jaxrnn.cells.elman import ACTIVATIONS
from jaxrnn.interop.weights import check_entries
from jaxrnn.recurrence import RecurrentParams
from jaxrnn.typing import HostArray

GATE_ORDERS = {1: (0,), 3: (1, 0, 2), 4: (0, 1, 2, 3)}
"""Order of the gate blocks by number of gates, the same both ways.

Keras's GRU has z, r, h where ours has r, z, n; swapping the first two is its own inverse.
"""


MERGES = {"concat": "concat", "sum": "sum", "ave": "mean", "mul": "product"}
"""Our `merge` of `bidirectional` for each `merge_mode` of Keras."""


class Reading(NamedTuple):
    """The function of a Keras layer in one direction."""

    cell: BaseCell
    """Our cell with the same equations."""
    dropout: float
    """Rate of dropout on the inputs, with one mask for all steps."""
    recurrent_dropout: float
    """Rate of dropout on the hidden state."""


def read(layer: Any, *, backwards: bool) -> tuple[Reading, RecurrentParams]:
    """Return what a Keras layer does in one direction, and its parameters, or raise."""
    from keras import layers

    # Exactly these types, because a subclass may override anything.
    if type(layer) not in (layers.SimpleRNN, layers.GRU, layers.LSTM, layers.RNN):
        raise refusal(layer, f"jaxrnn has no {type(layer).__name__}")
    if not layer.built:
        raise refusal(layer, "it is not built: call it once, or call build((None, None, D))")
    cell = _cell(layer)
    _check_options(layer, backwards)
    reading = Reading(cell, layer.cell.dropout, layer.cell.recurrent_dropout)
    return reading, _params(layer, cell)


def _cell(layer: Any) -> BaseCell:
    """Return our cell with the equations of the Keras layer's cell, or raise."""
    from keras import activations, layers

    theirs = layer.cell
    if type(theirs) is layers.SimpleRNNCell:
        for name in ACTIVATIONS:
            if theirs.activation is activations.get(name):
                return rnn(theirs.units, name)
        expected = ", ".join(ACTIVATIONS)
        raise refusal(layer, f"its activation {theirs.activation!r} is not one of {expected}")
    if type(theirs) not in (layers.GRUCell, layers.LSTMCell):
        raise refusal(layer, f"jaxrnn has no {type(theirs).__name__}")
    for name, expected in (("activation", "tanh"), ("recurrent_activation", "sigmoid")):
        if getattr(theirs, name) is not activations.get(expected):
            raise refusal(layer, f"its {name} {getattr(theirs, name)!r} is not {expected}")
    if type(theirs) is layers.LSTMCell:
        return lstm(theirs.units)
    return gru(theirs.units, reset_after=theirs.reset_after)


def _check_options(layer: Any, backwards: bool) -> None:
    """Raise if a recurrent Keras layer does what ours cannot."""
    cell = layer.cell
    gated = hasattr(cell, "recurrent_activation")
    by_gate = gated and cell.dropout > 0 and cell.implementation == 1
    zeroed = layer.zero_output_for_mask and not layer.return_sequences
    checks = [
        (
            layer.go_backwards != backwards,
            "go_backwards=True returns the outputs in reverse, jaxrnn's stay in their places",
        ),
        (layer.stateful, "stateful=True keeps the state inside: set it to False, pass the carry"),
        (zeroed, "zero_output_for_mask=True returns zeros as a padded sequence's last output"),
        (gated and cell.recurrent_dropout > 0, "recurrent_dropout draws a mask for each gate"),
        (by_gate, "dropout with implementation=1 draws a mask for each gate"),
        (gated and cell.dropout == 1, "dropout=1 drops nothing in Keras"),
    ]
    wrong = [reason for applies, reason in checks if applies]
    if wrong:
        raise refusal(layer, "; ".join(wrong))


def _params(layer: Any, cell: BaseCell) -> RecurrentParams:
    from keras import ops

    # get_weights() warns with NumPy 2.
    weights = {w.name: ops.convert_to_numpy(w.value) for w in layer.cell.weights}
    width = len(cell.gates) * cell.hidden_size
    input_size = np.shape(weights.get("kernel", [()]))[0]
    shapes: dict[str, tuple[int, ...]] = {
        "kernel": (input_size, width),
        "recurrent_kernel": (cell.hidden_size, width),
        "bias": (2, width) if cell.hidden_bias else (width,),
    }
    if not layer.cell.use_bias:
        weights["bias"] = np.zeros(shapes["bias"], layer.cell.variable_dtype)
    check_entries(f"the Keras layer {layer.name!r}", weights, shapes)
    order = GATE_ORDERS[len(cell.gates)]
    w_ih, w_hh, bias = (jnp.asarray(reorder_gates(weights[name], order)) for name in shapes)
    b_ih, b_hh = bias if cell.hidden_bias else (bias, None)
    return RecurrentParams(w_ih, w_hh, b_ih, b_hh)


def check_dtypes(layers: list[Any]) -> None:
    """Raise unless all layers compute and keep weights in one dtype that JAX has now."""
    dtypes = sorted(set().union(*map(_dtypes, layers)))
    if len(dtypes) > 1:
        raise ValueError(
            f"source must compute and keep weights in one dtype, got {' and '.join(dtypes)}: a"
            " mixed policy also rounds the states, which `recurrent(cell, dtype=...)` does not"
        )
    if jax.dtypes.canonicalize_dtype(dtypes[0]) != dtypes[0]:
        raise ValueError(f"source has {dtypes[0]} weights, which JAX needs jax_enable_x64 for")


def _dtypes(layer: Any) -> set[str]:
    names = ("cell", "forward_layer", "backward_layer")
    inner = [getattr(layer, name) for name in names if hasattr(layer, name)]
    return {layer.compute_dtype, layer.variable_dtype}.union(*map(_dtypes, inner))


def reorder_gates(matrix: Any, order: Sequence[int]) -> HostArray:
    """Reorder the gate blocks of the last axis: block k of the result was `order[k]`."""
    blocks = np.split(np.asarray(matrix), len(order), axis=-1)
    return np.concatenate([blocks[k] for k in order], axis=-1)


def refusal(layer: Any, reason: str) -> ValueError:
    """Return the error that says why a Keras layer cannot be ported."""
    return ValueError(f"the Keras layer {layer.name!r} cannot be ported: {reason}")
