"""Keras 3's recurrent layers to and from ours, whatever backend Keras runs on."""

from typing import Any

import jax
import numpy as np

from jaxrnn.cells import BaseCell, gru, lstm, rnn
from jaxrnn.cells.elman import ACTIVATIONS
from jaxrnn.interop.keras.reading import GATE_ORDERS, Reading, read, refusal, reorder_gates
from jaxrnn.interop.optional import import_optional
from jaxrnn.interop.weights import cell_to_port, check_layer, check_params
from jaxrnn.layers import (
    Bidirectional,
    Directions,
    Dropout,
    Layer,
    Recurrent,
    Stack,
    bidirectional,
    dropout,
    recurrent,
    stack,
)
from jaxrnn.recurrence import BlockDiagonal, LowRank, RecurrentParams
from jaxrnn.typing import HostArray, Params


def from_keras(source: Any) -> tuple[Layer, Params]:
    """The layer and the parameters of a Keras layer, or of several one upon the other.

    It has Keras's outputs and gradients, from inputs `[T, B, D]` where Keras has `[B, T, D]`, and
    with `lengths` where it has a mask, whose padding must come last: `lengths = mask.sum(axis=1)`.
    In the padding our outputs are zero, as a Bidirectional's; a layer in one direction repeats its
    last valid output there, unless it has `zero_output_for_mask`.

    The carry has Keras's states in their order: `[h]` is `HiddenCarry(hidden)`, `[h, c]` is
    `LSTMCarry(hidden, memory)`, a Bidirectional's are those of `forward`, then of `backward`.  The
    output of a last layer with `return_sequences=False` is the `hidden` of its carry.

    Args:
        source: a built SimpleRNN (with tanh, relu or sigmoid), GRU or LSTM (with tanh and sigmoid),
            an RNN of such a cell, a Bidirectional of one of these (`merge_mode="concat"`), a
            Dropout or a SpatialDropout1D; or a Sequential or a list of these.  InputLayers are
            passed over.  The `dropout` of a recurrent layer becomes a `dropout` layer before it,
            the `recurrent_dropout` of a SimpleRNN that of `recurrent`.  A layer or a cell that is
            used twice becomes two copies.

    Returns:
        (layer, params): one `recurrent`, `bidirectional` or `dropout`, or a `stack` of several.
        Biases that Keras has not are zeros.  What is no part of the function stays behind:
        initialisers, regularizers, constraints, seeds, `trainable`, `unroll`, `use_cudnn`.

    Raises:
        ModuleNotFoundError: keras, or the backend that it was told to use, is not installed.
        TypeError: `source` is neither a layer of Keras nor a list of such.
        ValueError: a layer is not built, or does what no layer of ours does; the message says what.
    """
    layers = _leaves(source)
    if not layers:
        raise ValueError(f"source must hold at least one layer, got {source!r}")
    pairs = [pair for layer in layers for pair in _convert(layer)]
    for layer in layers[:-1]:
        if not getattr(layer, "return_sequences", True):
            raise refusal(layer, "return_sequences=False leaves no sequence to the layer above")
    _check_dtypes(layers)
    return _join(pairs)


def to_keras(layer: Layer, params: Params) -> Any:
    """A Keras layer with these parameters, built, that returns sequences and no states.

    Its states are our carry, see `from_keras`; for them set its `return_state` (of a Bidirectional
    also that of its `forward_layer` and `backward_layer`).

    Args:
        layer: `recurrent` of `rnn` (with `jnp.tanh`, `jax.nn.relu` or `jax.nn.sigmoid`), `gru` or
            `lstm`; `bidirectional` of one of these, with or without a variational `dropout` before
            it; or a `stack` of these and of `dropout`.
        params: its parameters, of float32, as those of the Keras layer will be; in other types
            Keras's initialisers and activations fail or round, depending on its backend.

    Returns:
        A SimpleRNN, GRU, LSTM or Bidirectional; for a stack a Sequential, in which `dropout` is
        Dropout, or SpatialDropout1D where it is variational.

    Raises:
        ModuleNotFoundError: keras, or the backend that it was told to use, is not installed.
        TypeError: `layer` is not a Layer, or `params` are not its parameters.
        ValueError: a parameter is of a wrong shape, or Keras has no such layer.
    """
    keras = import_optional("keras", "to_keras")
    check_layer("a Keras layer", layer)
    leaves = jax.tree.leaves(params)
    # The first leaf of a recurrent layer's parameters is w_ih [D, G*H].
    input_size = next((np.shape(leaf)[0] for leaf in leaves if np.ndim(leaf)), 1)
    check_params(layer, params, input_size)
    dtypes = sorted({str(leaf.dtype) for leaf in leaves})
    if dtypes != ["float32"]:
        raise ValueError(f"params must be arrays of float32, got {' and '.join(dtypes) or 'none'}")
    pairs = _make(layer, params)
    made = pairs[0][0]
    if isinstance(layer, Stack):
        made = keras.Sequential([part for part, _ in pairs])
    made.build((None, None, input_size))
    for part, weights in pairs:
        part.set_weights(weights)
    return made


def _leaves(source: Any) -> list[Any]:
    """The layers of a list or a Sequential, in their order, without their InputLayers."""
    keras = import_optional("keras", "from_keras")
    if isinstance(source, list | tuple) or type(source) is keras.Sequential:
        parts = getattr(source, "layers", source)
        return [leaf for part in parts for leaf in _leaves(part)]
    if not isinstance(source, keras.layers.Layer):
        raise TypeError(f"source must be a Keras layer or a list of such, got {source!r}")
    if isinstance(source, keras.Model):
        raise refusal(
            source,
            f"a {type(source).__name__} may be any graph: pass its layers in a list, in the order"
            " in which they are called, and twice what is called twice",
        )
    return [] if isinstance(source, keras.layers.InputLayer) else [source]


def _convert(layer: Any) -> list[tuple[Layer, Params]]:
    """A Keras layer as one of ours, or two where it drops units of its inputs."""
    from keras import layers

    if type(layer) is layers.Bidirectional:
        return [_convert_bidirectional(layer)]
    if type(layer) is layers.SpatialDropout1D:
        return [(dropout(layer.rate, variational=True), ())]
    if type(layer) is layers.Dropout:
        if layer.noise_shape not in (None, (None, 1, None)):
            raise refusal(layer, f"noise_shape={layer.noise_shape} is not None or (None, 1, None)")
        return [(dropout(layer.rate, variational=layer.noise_shape is not None), ())]
    if type(layer) is layers.Masking:
        raise refusal(layer, "Masking finds lengths in the inputs: leave it out, give `lengths`")
    return _pairs(*read(layer, backwards=False))


def _convert_bidirectional(layer: Any) -> tuple[Layer, Params]:
    if layer.merge_mode != "concat":
        reason = f"merge_mode={layer.merge_mode!r} does not put the outputs side by side"
        raise refusal(layer, reason)
    ahead, forward = read(layer.forward_layer, backwards=False)
    behind, backward = read(layer.backward_layer, backwards=True)
    if ahead != behind:
        raise refusal(layer, f"its two layers differ: {ahead} and {behind}")
    either, forward_params = _join(_pairs(ahead, forward))
    _, backward_params = _join(_pairs(behind, backward))
    return bidirectional(either), Directions(forward_params, backward_params)


def _pairs(reading: Reading, params: RecurrentParams) -> list[tuple[Layer, Params]]:
    runs = recurrent(reading.cell, recurrent_dropout=reading.recurrent_dropout)
    pairs: list[tuple[Layer, Params]] = [(runs, params)]
    if reading.dropout:
        pairs.insert(0, (dropout(reading.dropout, variational=True), ()))
    return pairs


def _join(pairs: list[tuple[Layer, Params]]) -> tuple[Layer, Params]:
    if len(pairs) == 1:
        return pairs[0]
    return stack([layer for layer, _ in pairs]), tuple(params for _, params in pairs)


def _check_dtypes(layers: list[Any]) -> None:
    dtypes = sorted(set().union(*map(_dtypes, layers)))
    if len(dtypes) > 1:
        raise ValueError(
            f"source must compute and keep weights in one dtype, got {' and '.join(dtypes)}: a"
            " mixed policy rounds the states too, which `recurrent(cell, dtype=...)` does not"
        )
    if jax.dtypes.canonicalize_dtype(dtypes[0]) != dtypes[0]:
        raise ValueError(f"source has weights of {dtypes[0]}, which JAX has with jax_enable_x64")


def _dtypes(layer: Any) -> set[str]:
    names = ("cell", "forward_layer", "backward_layer")
    inner = [getattr(layer, name) for name in names if hasattr(layer, name)]
    return {layer.compute_dtype, layer.variable_dtype}.union(*map(_dtypes, inner))


def _make(layer: Layer, params: Params) -> list[tuple[Any, list[HostArray]]]:
    """The Keras layers, not built, and the weights of each."""
    from keras import layers

    if isinstance(layer, Stack):
        return [pair for part, own in layer.parts(params) for pair in _make(part, own)]
    if isinstance(layer, Dropout):
        kind = layers.SpatialDropout1D if layer.variational else layers.Dropout
        return [(kind(layer.rate, dtype="float32"), [])]
    if isinstance(layer, Recurrent):
        return [(_make_recurrent(cell_to_port("a Keras layer", layer)), _weights(layer, params))]
    if isinstance(layer, Bidirectional):
        rate, either, directions = _split(layer.layer, params)
        weights = [weight for own in directions for weight in _weights(either, own)]
        runs = _make_recurrent(cell_to_port("a Keras layer", either), dropout=rate)
        return [(layers.Bidirectional(runs, dtype="float32"), weights)]
    raise _impossible(f"Keras has none for {layer}")


def _split(either: Layer, params: Directions) -> tuple[float, Recurrent, Directions]:
    """What runs in either direction as a rate of dropout, a recurrent layer and its params."""
    if isinstance(either, Recurrent):
        return 0.0, either, params
    match either:
        case Stack(layers=(Dropout() as before, Recurrent() as runs)):
            if before.variational and before.rate < 1:  # at 1 Keras drops nothing
                return before.rate, runs, Directions(*(own for _, own in params))
    raise _impossible(
        "Bidirectional wraps one recurrent layer, which may drop inputs, the same at every step"
    )


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
    raise _impossible(f"Keras has no cell with the equations of {cell.name}")


def _weights(layer: Recurrent, params: RecurrentParams) -> list[HostArray]:
    """In Keras's order: kernel, recurrent_kernel, bias."""
    if isinstance(params.w_hh, LowRank):
        raise _impossible("its hidden is projected (projection_size), which Keras's never is")
    if isinstance(params.w_hh, BlockDiagonal):
        raise _impossible("its hidden is read in parts (num_heads), by Keras's as a whole")
    bias = params.b_ih if params.b_hh is None else np.stack([params.b_ih, params.b_hh])
    order = GATE_ORDERS[len(layer.cell.gates)]
    return [reorder_gates(weight, order) for weight in (params.w_ih, params.w_hh, bias)]


def _impossible(reason: str) -> ValueError:
    return ValueError(f"layer cannot become a Keras layer: {reason}")
