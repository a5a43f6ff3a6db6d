"""Keras 3's recurrent layers to and from jaxrnn's, on any Keras backend."""

from typing import Any

import jax

from jaxrnn.interop.keras.reading import MERGES, Reading, check_dtypes, read, refusal
from jaxrnn.interop.keras.writing import make
from jaxrnn.interop.optional import import_optional
from jaxrnn.interop.weights import check_layer, check_params, input_size_of
from jaxrnn.layers import Directions, Layer, Stack, bidirectional, dropout, recurrent, stack
from jaxrnn.recurrence import RecurrentParams
from jaxrnn.typing import Params


def from_keras(source: Any) -> tuple[Layer, Params]:
    """Convert a Keras layer, or a stack of them, to a layer and its parameters.

    Outputs and gradients are Keras's.  The layer reads `[T, B, D]` where Keras reads `[B, T, D]`,
    and `lengths` where Keras reads a mask.  The mask's padding must come last, so that `lengths` is
    `mask.sum(axis=1)`.  Padded outputs are zero, as with Keras's Bidirectional; its other layers
    repeat the last valid output, unless they have `zero_output_for_mask`.

    The carry holds Keras's states in their order: `[h]` is `HiddenCarry(hidden)`, `[h, c]` is
    `LSTMCarry(hidden, memory)`; a Bidirectional has those of `forward`, then of `backward`.  The
    output of a last layer with `return_sequences=False` is the `hidden` of its carry.

    Args:
        source: a built SimpleRNN (with tanh, relu or sigmoid), GRU or LSTM (with tanh and sigmoid),
            an RNN of such a cell, a Bidirectional of one of these (`merge_mode` not None), a
            Dropout or a SpatialDropout1D; or a Sequential or a list of these.  A layer with
            `go_backwards` may be the last one, without `return_sequences`.  InputLayers are
            skipped.  The `dropout` of a recurrent layer becomes a `dropout` layer before it; the
            `recurrent_dropout` of a SimpleRNN becomes that of `recurrent`.  A layer or cell that is
            used twice becomes two copies.

    Returns:
        (layer, params): one `recurrent`, `bidirectional` or `dropout`, or a `stack` of several.
        Biases that Keras lacks are zero.  Dropped, because the function does not depend on them:
        initialisers, regularizers, constraints, seeds, `trainable`, `unroll`, `use_cudnn`.

    Raises:
        ModuleNotFoundError: keras is not installed, or the backend chosen for it is not.
        TypeError: `source` is neither a Keras layer nor a list of Keras layers.
        ValueError: a layer is not built, or no jaxrnn layer does the same; the message says why.

    Examples:
        >>> import os; os.environ["KERAS_BACKEND"] = "jax"
        >>> import keras
        >>> from jaxrnn.interop.keras import from_keras
        >>> lstm = keras.layers.LSTM(8, recurrent_initializer="glorot_uniform")
        >>> lstm.build((None, None, 4))
        >>> from_keras(lstm)[0]
        Recurrent(lstm(8))
    """
    layers = _leaves(source)
    if not layers:
        raise ValueError(f"source must hold at least one layer, got {source!r}")
    pairs = [pair for layer in layers for pair in _convert(layer)]
    for layer in layers[:-1]:
        if not getattr(layer, "return_sequences", True):
            raise refusal(layer, "return_sequences=False leaves no sequence for the layer above")
    check_dtypes(layers)
    return _join(pairs)


def to_keras(layer: Layer, params: Params) -> Any:
    """Convert a layer to a built Keras layer that returns sequences but no states.

    Its states are our carry, see `from_keras`.  To get them, set `return_state` (of a Bidirectional
    also that of its `forward_layer` and `backward_layer`).

    Args:
        layer: `recurrent` of `rnn` (with `jnp.tanh`, `jax.nn.relu` or `jax.nn.sigmoid`), `gru` or
            `lstm`; `bidirectional` of one of these, with or without a variational `dropout` before
            it; or a `stack` of these and of `dropout`.
        params: its parameters, float32 like those of the Keras layer; in other types Keras's
            initialisers and activations fail or round, depending on its backend.

    Returns:
        A SimpleRNN, GRU, LSTM or Bidirectional; for a stack a Sequential, in which `dropout` is
        Dropout, or SpatialDropout1D where it is variational.

    Raises:
        ModuleNotFoundError: keras is not installed, or the backend chosen for it is not.
        TypeError: `layer` is not a Layer, or `params` are not its parameters.
        ValueError: a parameter has a wrong shape, or Keras has no such layer.

    Examples:
        >>> import os; os.environ["KERAS_BACKEND"] = "jax"
        >>> import jax, jaxrnn
        >>> from jaxrnn.interop.keras import to_keras
        >>> layer = jaxrnn.recurrent(jaxrnn.gru(8))
        >>> params = layer.init(jax.random.key(0), 4)
        >>> with jax.numpy_rank_promotion("allow"):  # which Keras needs
        ...     to_keras(layer, params).units
        8
    """
    keras = import_optional("keras", "to_keras")
    check_layer("a Keras layer", layer)
    input_size = input_size_of(params)
    check_params(layer, params, input_size)
    dtypes = sorted({str(leaf.dtype) for leaf in jax.tree.leaves(params)})
    if dtypes != ["float32"]:
        raise ValueError(f"params must be arrays of float32, got {' and '.join(dtypes) or 'none'}")
    pairs = make(layer, params)
    made = pairs[0][0]
    if isinstance(layer, Stack):
        made = keras.Sequential([part for part, _ in pairs])
    made.build((None, None, input_size))
    for part, weights in pairs:
        part.set_weights(weights)
    return made


def _leaves(source: Any) -> list[Any]:
    """Return the layers of a list or a Sequential in order, without InputLayers."""
    keras = import_optional("keras", "from_keras")
    if isinstance(source, list | tuple) or type(source) is keras.Sequential:
        parts = getattr(source, "layers", source)
        return [leaf for part in parts for leaf in _leaves(part)]
    if not isinstance(source, keras.layers.Layer):
        raise TypeError(f"source must be a Keras layer or a list of them, got {source!r}")
    if isinstance(source, keras.Model):
        raise refusal(
            source,
            f"a {type(source).__name__} may be any graph: pass its layers in a list, in the order"
            " of the calls, one entry per call",
        )
    return [] if isinstance(source, keras.layers.InputLayer) else [source]


def _convert(layer: Any) -> list[tuple[Layer, Params]]:
    """Convert a Keras layer to one of ours, or to two if it drops units of its inputs."""
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
        raise refusal(layer, "Masking reads lengths off the inputs: omit it and pass `lengths`")
    # The last step's output does not tell in which order there would have been others.
    reverse = getattr(layer, "go_backwards", False) and not layer.return_sequences
    return _pairs(*read(layer, backwards=reverse), reverse=reverse)


def _convert_bidirectional(layer: Any) -> tuple[Layer, Params]:
    if layer.merge_mode not in MERGES:
        raise refusal(layer, f"merge_mode={layer.merge_mode!r} does not merge the outputs")
    forward, forward_weights = read(layer.forward_layer, backwards=False)
    backward, backward_weights = read(layer.backward_layer, backwards=True)
    if forward != backward:
        raise refusal(layer, f"its two layers differ: {forward} and {backward}")
    one_way, forward_params = _join(_pairs(forward, forward_weights))
    _, backward_params = _join(_pairs(backward, backward_weights))
    merged = bidirectional(one_way, merge=MERGES[layer.merge_mode])
    return merged, Directions(forward_params, backward_params)


def _pairs(
    reading: Reading, params: RecurrentParams, *, reverse: bool = False
) -> list[tuple[Layer, Params]]:
    rate = reading.recurrent_dropout
    layer = recurrent(reading.cell, recurrent_dropout=rate, reverse=reverse)
    pairs: list[tuple[Layer, Params]] = [(layer, params)]
    if reading.dropout:
        pairs.insert(0, (dropout(reading.dropout, variational=True), ()))
    return pairs


def _join(pairs: list[tuple[Layer, Params]]) -> tuple[Layer, Params]:
    if len(pairs) == 1:
        return pairs[0]
    return stack([layer for layer, _ in pairs]), tuple(params for _, params in pairs)
