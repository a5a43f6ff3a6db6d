"""Flax's cells and their jaxrnn counterparts: what each computes and where its weights are."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx
from flax.nnx.nn import dtypes

from jaxrnn.cells import BaseCell, gru, lstm, mgu, rnn
from jaxrnn.cells.elman import ACTIVATIONS
from jaxrnn.interop.weights import check_layer, sum_biases
from jaxrnn.layers import Bidirectional, Recurrent
from jaxrnn.recurrence import RecurrentParams


class Blocks(NamedTuple):
    """The parts of a Flax cell that hold the gate blocks, in the gate order of our cell."""

    inputs: tuple[str, ...]
    """Parts whose kernels, concatenated, are `w_ih`."""
    hidden: tuple[str, ...]
    """Parts whose kernels, concatenated, are `w_hh`."""
    biased: tuple[str, ...]
    """Parts of both kinds that have a bias."""
    factory: Callable[..., Any]
    """The function that makes our cell."""


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
    linen.MGUCell: Blocks(
        ("if", "in"), ("hf", "hn"), ("if", "in", "hn"), functools.partial(mgu, as_in_flax=True)
    ),
}

OPTIONS: dict[str, tuple[tuple[Any, ...], str]] = {
    "gate_fn": ((jax.nn.sigmoid, jax.lax.logistic), "jaxrnn's gates are sigmoids"),
    "activation_fn": ((jnp.tanh, jax.lax.tanh), "gru, lstm and mgu use tanh"),
    "reset_gate": ((True,), "the gate of mgu always scales the recurrent product, too"),
    "residual": ((False,), "rnn does not add its hidden state before the activation"),
    "carry_init": (
        (None, jax.nn.initializers.zeros),
        "jaxrnn starts from zeros: port the cell without it, then pass its carry or learn one",
    ),
    "promote_dtype": ((dtypes.promote_dtype,), "jaxrnn's cells have no such function"),
}
"""Options of Flax cells: the values that match our equations, and why no other value does."""


def name_of(module: Any) -> str:
    """Return the module's name for messages, such as `nnx.GRUCell`."""
    return f"{'nnx' if isinstance(module, nnx.Module) else 'linen'}.{type(module).__name__}"


def cells_in(module: Any) -> list[tuple[str, Any]]:
    """Return one (prefix of its weights' names, cell) per direction."""
    if type(module) in (nnx.RNN, linen.RNN):
        if module.reverse and not module.keep_order:
            raise ValueError(
                "an RNN with reverse=True returns the last step's output first, jaxrnn's stay in"
                " their places: port the one with keep_order=True"
            )
        return [("cell.", module.cell)]
    if type(module) in (nnx.Bidirectional, linen.Bidirectional):
        if module.merge_fn is not type(module).merge_fn:
            raise ValueError(
                "a Bidirectional with a merge_fn cannot be ported: port one without it, and give"
                " jaxrnn.bidirectional the merge"
            )
        forward, backward = map(_cell_of_direction, (module.forward_rnn, module.backward_rnn))
        # Linen stores the weights of a shared cell once, under the direction that runs first.
        stored = "forward_rnn" if backward is forward else "backward_rnn"
        return [("forward_rnn.cell.", forward), (f"{stored}.cell.", backward)]
    if type(module) in (nnx.Sequential, linen.Sequential):
        raise ValueError(
            f"{name_of(module)} cannot be ported: port its layers one by one and put them in a"
            " jaxrnn.stack (linen stores the weights of a cell that several layers share only"
            " under the first of them)"
        )
    return [("", module)]


def runs_backward(module: Any) -> bool:
    """Return whether a module is an RNN that reads the last step first."""
    return type(module) in (nnx.RNN, linen.RNN) and module.reverse


def _cell_of_direction(over_time: Any) -> Any:
    """Return the cell of an RNN inside a Bidirectional, which overrides the RNN's `reverse`."""
    if type(over_time) not in (nnx.RNN, linen.RNN):
        name = type(over_time).__name__
        raise ValueError(f"a Bidirectional of {name} cannot be ported, only one of RNN can")
    return over_time.cell


def our_cell(flax_cell: Any) -> BaseCell:
    """Return our cell with the same equations, or raise."""
    blocks = BLOCKS.get(type(flax_cell))
    if blocks is None:
        if isinstance(flax_cell, nnx.RNNCellBase | linen.RNNCellBase):
            known = ", ".join(dict.fromkeys(kind.__name__ for kind in BLOCKS))
            raise ValueError(f"{name_of(flax_cell)} cannot be ported, only {known} can")
        raise TypeError(f"module must be a recurrent Flax cell or an RNN, got {flax_cell!r}")
    simple = blocks.factory is rnn
    for option, (matching, why) in OPTIONS.items():
        value = getattr(flax_cell, option, matching[0])
        if value not in matching and not (simple and option == "activation_fn"):
            raise ValueError(
                f"{name_of(flax_cell)} with {option}={_display(value)} cannot be ported: {why}"
            )
    linen_cell = isinstance(flax_cell, linen.Module)
    features = flax_cell.features if linen_cell else flax_cell.hidden_features
    return rnn(features, flax_cell.activation_fn) if simple else blocks.factory(features)


def _display(value: Any) -> Any:
    return getattr(value, "__name__", value)


def one_direction(layer: Any) -> Recurrent:
    """Return the layer itself, or the one inside `bidirectional`; raise unless it is recurrent."""
    check_layer("a Flax cell", layer)
    over_time = layer.layer if isinstance(layer, Bidirectional) else layer
    if not isinstance(over_time, Recurrent):
        raise ValueError(
            f"{over_time} cannot be ported, only recurrent(cell) and bidirectional of that"
            " can: port the layers of a stack one by one"
        )
    return over_time


def flax_cell(
    library: Any,
    cell: BaseCell,
    activation: str | Callable[[Any], Any],
    optimized_lstm: bool,
) -> tuple[Any, dict[str, Any]]:
    """Return the class in `library` with our cell's equations and its options, or raise."""
    size = cell.hidden_size
    if cell == lstm(size):
        return (library.OptimizedLSTMCell if optimized_lstm else library.LSTMCell), {}
    if cell == gru(size):
        return library.GRUCell, {}
    if cell == rnn(size, activation):
        function = ACTIVATIONS[activation] if isinstance(activation, str) else activation
        return library.SimpleCell, {"activation_fn": function}
    is_mgu = cell == mgu(size, as_in_flax=True)
    if is_mgu and library is linen:
        return linen.MGUCell, {}
    why = {
        "rnn": f"its activation is not activation={_display(activation)}: pass the one it has",
        "gru_reset_before": "Flax's GRUCell resets after the recurrent product",
        "mgu": "nnx has no MGUCell: use to_linen"
        if is_mgu
        else "Flax's MGUCell has the equations of mgu(..., as_in_flax=True)",
    }.get(cell.name, "Flax has no cell with its equations")
    raise ValueError(f"the cell {cell.name} cannot be ported: {why}")


def shapes_of(
    kind: type, cell: BaseCell, prefix: str, weights: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the shapes that the weights must have; a kernel among them tells the input size."""
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
    """Concatenate the gate blocks; a part without a bias gets zeros."""

    def concatenate(parts: tuple[str, ...]) -> tuple[jax.Array, jax.Array]:
        kernels = [jnp.asarray(weights[f"{prefix}{part}.kernel"]) for part in parts]
        biases = [
            jnp.asarray(weights.get(f"{prefix}{part}.bias", jnp.zeros_like(kernel[0])))
            for part, kernel in zip(parts, kernels, strict=True)
        ]
        return jnp.concatenate(kernels, axis=1), jnp.concatenate(biases)

    w_ih, b_ih = concatenate(BLOCKS[kind].inputs)
    w_hh, b_hh = concatenate(BLOCKS[kind].hidden)
    if cell.hidden_bias:
        return RecurrentParams(w_ih, w_hh, b_ih, b_hh)
    return RecurrentParams(w_ih, w_hh, b_ih + b_hh)


def flax_weights(kind: type, params: RecurrentParams) -> dict[str, jax.Array]:
    """Split the gate blocks into the Flax cell's parts, or raise if a bias has no place there."""
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
                    "nnx.GRUCell has no bias for the hidden gate n, but params.b_hh is not zero"
                    " there: use to_linen, whose GRUCell has one"
                )
    return weights


def _biases_in_place(blocks: Blocks, params: RecurrentParams) -> tuple[jax.Array, jax.Array]:
    """Return `b_ih` and `b_hh`, summed on the biased side wherever the equations add both."""
    if blocks.factory is lstm:
        b_ih = jnp.asarray(params.b_ih)
        return jnp.zeros_like(b_ih), b_ih
    return sum_biases(params)
