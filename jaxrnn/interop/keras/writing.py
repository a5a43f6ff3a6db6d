"""Making of Keras layers that do what ours do."""

from typing import Any

import numpy as np

from jaxrnn.cells import BaseCell, gru, lstm, rnn
from jaxrnn.cells.elman import ACTIVATIONS
from jaxrnn.interop.keras.reading import GATE_ORDERS, MERGES, reorder_gates
from jaxrnn.interop.weights import cell_to_port
from jaxrnn.layers import Bidirectional, Directions, Dropout, Layer, Recurrent, Stack
from jaxrnn.recurrence import BlockDiagonal, LowRank, RecurrentParams
from jaxrnn.typing import HostArray, Params


def make(layer: Layer, params: Params) -> list[tuple[Any, list[HostArray]]]:
    """Make the Keras layers, without building them, and return each with its weights."""
    from keras import layers

    if isinstance(layer, Stack):
        return [pair for part, own in layer.parts(params) for pair in make(part, own)]
    if isinstance(layer, Dropout):
        kind = layers.SpatialDropout1D if layer.variational else layers.Dropout
        return [(kind(layer.rate, dtype="float32"), [])]
    if isinstance(layer, Recurrent):
        return [(_make_recurrent(cell_to_port("a Keras layer", layer)), _weights(layer, params))]
    if isinstance(layer, Bidirectional):
        rate, one_way, directions = _split(layer.layer, params)
        weights = [weight for own in directions for weight in _weights(one_way, own)]
        theirs = _make_recurrent(cell_to_port("a Keras layer", one_way), dropout=rate)
        mode = next(mode for mode, merge in MERGES.items() if merge == layer.merge)
        return [(layers.Bidirectional(theirs, merge_mode=mode, dtype="float32"), weights)]
    raise _refusal(f"Keras has no counterpart of {layer}")


def _split(one_way: Layer, params: Directions) -> tuple[float, Recurrent, Directions]:
    """Split one direction's layer into a rate of dropout and a recurrent layer, with its params."""
    if isinstance(one_way, Recurrent):
        return 0.0, one_way, params
    match one_way:
        case Stack(layers=(Dropout() as before, Recurrent() as runs)):
            if before.variational and before.rate < 1:  # at 1 Keras drops nothing
                return before.rate, runs, Directions(*(own for _, own in params))
    raise _refusal("Bidirectional wraps one recurrent layer, optionally after variational dropout")


def _make_recurrent(cell: BaseCell, **options: Any) -> Any:
    from keras import layers

    size = cell.hidden_size
    kinds: list[tuple[Any, dict[str, Any], BaseCell]] = [
        (layers.LSTM, {}, lstm(size)),
        (layers.GRU, {}, gru(size)),
        (layers.GRU, {"reset_after": False}, gru(size, reset_after=False)),
        *((layers.SimpleRNN, {"activation": name}, rnn(size, name)) for name in ACTIVATIONS),
    ]
    for kind, equations, ours in kinds:
        if cell == ours:
            return kind(size, **equations, **options, return_sequences=True, dtype="float32")
    raise _refusal(f"Keras has no cell with the equations of {cell.name}")


def _weights(layer: Recurrent, params: RecurrentParams) -> list[HostArray]:
    """Return kernel, recurrent_kernel and bias, as Keras orders them."""
    if isinstance(params.w_hh, LowRank):
        raise _refusal("it projects its hidden state (projection_size), which Keras never does")
    if isinstance(params.w_hh, BlockDiagonal):
        raise _refusal("its gates read the hidden state in heads (num_heads), Keras's never do")
    bias = params.b_ih if params.b_hh is None else np.stack([params.b_ih, params.b_hh])
    order = GATE_ORDERS[len(layer.cell.gates)]
    return [reorder_gates(weight, order) for weight in (params.w_ih, params.w_hh, bias)]


def _refusal(reason: str) -> ValueError:
    return ValueError(f"layer cannot become a Keras layer: {reason}")
