"""What a Keras layer does in one direction: whether ours do it too, and its parameters."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxrnn.cells import BaseCell, gru, lstm, rnn
from jaxrnn.cells.elman import ACTIVATIONS
from jaxrnn.interop.weights import check_entries
from jaxrnn.recurrence import RecurrentParams
from jaxrnn.typing import HostArray

# By the number of gates.  Keras's GRU has z, r, h where ours has r, z, n: the same swap either way.
GATE_ORDERS = {1: (0,), 3: (1, 0, 2), 4: (0, 1, 2, 3)}


class Reading(NamedTuple):
    """What a Keras layer does in one direction."""

    cell: BaseCell
    dropout: float
    """The rate at which it drops units of its inputs, the same ones at every step."""
    recurrent_dropout: float


def read(layer: Any, *, backwards: bool) -> tuple[Reading, RecurrentParams]:
    """What a Keras layer does in one direction, and its parameters."""
    from keras import layers

    # Exactly these types: what a subclass overrides cannot be seen.
    if type(layer) not in (layers.SimpleRNN, layers.GRU, layers.LSTM, layers.RNN):
        raise refusal(layer, f"jaxrnn has no {type(layer).__name__}")
    if not layer.built:
        raise refusal(layer, "it is not built: call it once, or its build((None, None, D))")
    cell = _cell(layer)
    _check_options(layer, backwards)
    reading = Reading(cell, layer.cell.dropout, layer.cell.recurrent_dropout)
    return reading, _params(layer, cell)


def _cell(layer: Any) -> BaseCell:
    """Our cell with the equations of the Keras layer's."""
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
    """Raise where a recurrent Keras layer does what ours cannot."""
    cell = layer.cell
    gates = hasattr(cell, "recurrent_activation")
    by_gate = gates and cell.dropout > 0 and cell.implementation == 1
    no_zeros = layer.zero_output_for_mask and not layer.return_sequences
    checks = [
        (layer.go_backwards != backwards, "go_backwards=True returns the outputs in reverse"),
        (layer.stateful, "stateful=True keeps the state inside: hand on the carry, set it False"),
        (no_zeros, "zero_output_for_mask=True returns zeros for a padded sequence's last output"),
        (gates and cell.recurrent_dropout > 0, "recurrent_dropout drops for each gate by itself"),
        (by_gate, "dropout with implementation=1 drops for each gate by itself"),
        (gates and cell.dropout == 1, "dropout=1 drops nothing in Keras"),
    ]
    wrong = [reason for applies, reason in checks if applies]
    if wrong:
        raise refusal(layer, "; ".join(wrong))


def _params(layer: Any, cell: BaseCell) -> RecurrentParams:
    from keras import ops

    # Not get_weights(), which warns with NumPy 2.
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


def reorder_gates(matrix: Any, order: Sequence[int]) -> HostArray:
    """The gate blocks of the last axis in another order: block k of the result was `order[k]`."""
    blocks = np.split(np.asarray(matrix), len(order), axis=-1)
    return np.concatenate([blocks[k] for k in order], axis=-1)


def refusal(layer: Any, reason: str) -> ValueError:
    """The error that says why a Keras layer has no equal here."""
    return ValueError(f"the Keras layer {layer.name!r} cannot be ported: {reason}")
