"""The cells of Flax beside ours: what each computes, and where it keeps its weights."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx
from flax.nnx.nn import dtypes

from jaxrnn.cells import BaseCell, gru, lstm, rnn
from jaxrnn.recurrence import RecurrentParams


class Blocks(NamedTuple):
    """The parts of a Flax cell that hold the gate blocks, in the order of our cell's."""

    inputs: tuple[str, ...]
    """Their kernels, side by side, are `w_ih`."""
    hidden: tuple[str, ...]
    """Likewise `w_hh`."""
    biased: tuple[str, ...]
    """The parts of either kind that have a bias."""
    factory: Callable[..., Any]
    """What makes our cell."""


_LSTM = Blocks(("ii", "if", "ig", "io"), ("hi", "hf", "hg", "ho"), ("hi", "hf", "hg", "ho"), lstm)
_GRU = Blocks(("ir", "iz", "in"), ("hr", "hz", "hn"), ("ir", "iz", "in", "hn"), gru)
BLOCKS: dict[type, Blocks] = {
    nnx.SimpleCell: Blocks(("dense_i",), ("dense_h",), ("dense_i",), rnn),
    nnx.GRUCell: Blocks(("dense_i",), ("dense_h",), ("dense_i",), gru),
    nnx.LSTMCell: _LSTM._replace(inputs=("ii", "if_", "ig", "io")),
    nnx.OptimizedLSTMCell: Blocks(("dense_i",), ("dense_h",), ("dense_h",), lstm),
    linen.SimpleCell: Blocks(("i",), ("h",), ("i",), rnn),
    linen.GRUCell: _GRU,
    linen.LSTMCell: _LSTM,
    linen.OptimizedLSTMCell: _LSTM,
}

# What a cell may be told to compute: the values that agree with ours, and why no other does.
OPTIONS: dict[str, tuple[tuple[Any, ...], str]] = {
    "gate_fn": ((jax.nn.sigmoid, jax.lax.logistic), "gates of ours are sigmoids"),
    "activation_fn": ((jnp.tanh, jax.lax.tanh), "gru and lstm have tanh there"),
    "residual": ((False,), "rnn adds no hidden before its activation"),
    "carry_init": (
        (None, jax.nn.initializers.zeros),
        "ours start from zeros: port the cell without it, and pass its carry or learn one",
    ),
    "promote_dtype": ((dtypes.promote_dtype,), "ours have no such function"),
}


def name_of(module: Any) -> str:
    """`nnx.GRUCell`, `linen.GRUCell`, ..."""
    return f"{'nnx' if isinstance(module, nnx.Module) else 'linen'}.{type(module).__name__}"


def cells_in(module: Any) -> list[tuple[str, Any]]:
    """Each direction's cell, with the prefix that the names of its weights have."""
    if type(module) in (nnx.RNN, linen.RNN):
        if module.reverse:
            raise ValueError(
                "an RNN with reverse=True has no port, no layer runs backward only: port its cell"
                " and run that with jaxrnn.unroll(..., reverse=True), whose outputs are in the"
                " order of keep_order=True"
            )
        return [("cell.", module.cell)]
    if type(module) in (nnx.Bidirectional, linen.Bidirectional):
        if module.merge_fn is not type(module).merge_fn:
            raise ValueError(
                "a Bidirectional with a merge_fn has no port: ours lays outputs side by side"
            )
        forward, backward = map(_cell_of_direction, (module.forward_rnn, module.backward_rnn))
        # Linen stores the weights of a shared cell once, under the direction that runs first.
        stored = "forward_rnn" if backward is forward else "backward_rnn"
        return [("forward_rnn.cell.", forward), (f"{stored}.cell.", backward)]
    if type(module) in (nnx.Sequential, linen.Sequential):
        raise ValueError(
            f"{name_of(module)} has no port: port its layers one by one, and put them in a"
            " jaxrnn.stack (linen stores the weights of a cell that several layers share once,"
            " under the first of them)"
        )
    return [("", module)]


def _cell_of_direction(over_time: Any) -> Any:
    """The cell of an RNN whose own `reverse` the Bidirectional around it overrides."""
    if type(over_time) not in (nnx.RNN, linen.RNN):
        name = type(over_time).__name__
        raise ValueError(f"a Bidirectional of {name} has no port, only one of RNN has")
    return over_time.cell


def our_cell(flax_cell: Any) -> BaseCell:
    """The cell of ours with the same equations, or raise."""
    blocks = BLOCKS.get(type(flax_cell))
    if blocks is None:
        if isinstance(flax_cell, nnx.RNNCellBase | linen.RNNCellBase):
            known = ", ".join(dict.fromkeys(kind.__name__ for kind in BLOCKS))
            raise ValueError(f"{name_of(flax_cell)} has no port, only {known} have")
        raise TypeError(f"module must be a recurrent cell of Flax, or an RNN, got {flax_cell!r}")
    simple = blocks.factory is rnn
    for option, (same, why) in OPTIONS.items():
        value = getattr(flax_cell, option, same[0])
        if value not in same and not (simple and option == "activation_fn"):
            raise ValueError(
                f"{name_of(flax_cell)} with {option}={_shown(value)} has no port: {why}"
            )
    linen_cell = isinstance(flax_cell, linen.Module)
    features = flax_cell.features if linen_cell else flax_cell.hidden_features
    return rnn(features, flax_cell.activation_fn) if simple else blocks.factory(features)


def _shown(value: Any) -> Any:
    return getattr(value, "__name__", value)


def flax_cell(
    library: Any, cell: BaseCell, activation: Callable[[Any], Any], optimized_lstm: bool
) -> tuple[Any, dict[str, Any]]:
    """The class in `library` with the equations of our cell, and its options, or raise."""
    size = cell.hidden_size
    if cell == lstm(size):
        return (library.OptimizedLSTMCell if optimized_lstm else library.LSTMCell), {}
    if cell == gru(size):
        return library.GRUCell, {}
    if cell == rnn(size, activation):
        return library.SimpleCell, {"activation_fn": activation}
    why = {
        "rnn": f"its activation is another than activation={_shown(activation)}: pass it",
        "gru_reset_before": "Flax's GRUCell resets after the recurrent product",
    }.get(cell.name, "Flax has no cell with its equations")
    raise ValueError(f"the cell {cell.name} has no port: {why}")


def shapes_of(
    kind: type, cell: BaseCell, prefix: str, weights: Mapping[str, Any]
) -> dict[str, Any]:
    """The shapes that the weights must have; the input size is that of a kernel among them."""
    blocks, size = BLOCKS[kind], cell.hidden_size
    width = len(cell.gates) * size // len(blocks.inputs)
    kernels = [np.shape(weights.get(f"{prefix}{part}.kernel", ())) for part in blocks.inputs]
    input_size = next((shape[0] for shape in kernels if len(shape) == 2), 1)
    shapes: dict[str, tuple[int, ...]] = {}
    for parts, num_rows in ((blocks.inputs, input_size), (blocks.hidden, size)):
        for part in parts:
            shapes[f"{prefix}{part}.kernel"] = (num_rows, width)
            if part in blocks.biased:
                shapes[f"{prefix}{part}.bias"] = (width,)
    return shapes


def our_params(
    kind: type, cell: BaseCell, prefix: str, weights: Mapping[str, Any]
) -> RecurrentParams:
    """Put the gate blocks side by side; a part without a bias has one of zeros."""

    def side_by_side(parts: tuple[str, ...]) -> tuple[jax.Array, jax.Array]:
        kernels = [jnp.asarray(weights[f"{prefix}{part}.kernel"]) for part in parts]
        biases = [
            jnp.asarray(weights.get(f"{prefix}{part}.bias", jnp.zeros_like(kernel[0])))
            for part, kernel in zip(parts, kernels, strict=True)
        ]
        return jnp.concatenate(kernels, axis=1), jnp.concatenate(biases)

    w_ih, b_ih = side_by_side(BLOCKS[kind].inputs)
    w_hh, b_hh = side_by_side(BLOCKS[kind].hidden)
    if cell.hidden_bias:
        return RecurrentParams(w_ih, w_hh, b_ih, b_hh)
    return RecurrentParams(w_ih, w_hh, b_ih + b_hh)


def flax_weights(kind: type, params: RecurrentParams) -> dict[str, jax.Array]:
    """Split the gate blocks over the parts of the Flax cell, or raise where a bias has no place."""
    blocks = BLOCKS[kind]
    weights = {}
    b_ih, b_hh = _biases_in_place(blocks, params)
    sides = ((blocks.inputs, params.w_ih, b_ih), (blocks.hidden, params.w_hh, b_hh))
    for parts, kernel, bias in sides:
        kernels = jnp.split(jnp.asarray(kernel), len(parts), axis=1)
        biases = jnp.split(bias, len(parts))
        for part, own_kernel, own_bias in zip(parts, kernels, biases, strict=True):
            weights[f"{part}.kernel"] = own_kernel
            if part in blocks.biased:
                weights[f"{part}.bias"] = own_bias
            elif own_bias.any():  # all other cells have a place for every bias
                raise ValueError(
                    "nnx.GRUCell adds no bias to the hidden gate n, and params.b_hh has one there:"
                    " to_linen has a place for it"
                )
    return weights


def _biases_in_place(blocks: Blocks, params: RecurrentParams) -> tuple[jax.Array, jax.Array]:
    """`b_ih` and `b_hh` summed wherever the equations add both, on the side that has a bias."""
    b_ih = jnp.asarray(params.b_ih)
    if blocks.factory is lstm:
        return jnp.zeros_like(b_ih), b_ih
    if params.b_hh is None:
        return b_ih, jnp.zeros_like(b_ih)
    b_hh = jnp.asarray(params.b_hh)
    summed = 2 * b_hh.shape[0] // 3  # the columns of r and z
    return b_ih.at[:summed].add(b_hh[:summed]), b_hh.at[:summed].set(0)
