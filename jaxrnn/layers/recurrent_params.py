"""The initial parameters of a recurrent layer."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.cells import LinearCell
from jaxrnn.cells.layer_norm import Gains
from jaxrnn.layers.initializers import Chrono, initializer
from jaxrnn.recurrence import BlockDiagonal, LowRank, RecurrentParams
from jaxrnn.typing import Initializer, Key


def draw_params(layer: Any, key: Key, input_size: int) -> RecurrentParams:
    """Draw the matrices, the biases and the cell's own parameters of a `Recurrent`."""
    cell = layer.cell
    w_ih_key, w_hh_key, b_ih_key, b_hh_key, cell_key = jax.random.split(key, 5)
    own = distinct(jax.tree.map(_to_float32, cell.init_params(cell_key)))
    if cell.reads_inputs:
        return RecurrentParams(None, None, None, None, own)
    init_kernel = initializer(layer.kernel_init, cell.hidden_size)
    b_ih = _bias(layer, b_ih_key)
    if isinstance(own, Gains):  # whose gates are normalised with `b_ih`, and then biased
        own = own._replace(bias=_set_forget_bias(layer, b_ih_key, own.bias))
    else:
        by_gate = b_ih.reshape(len(cell.gates), cell.hidden_size)
        b_ih = _set_forget_bias(layer, b_ih_key, by_gate).reshape(-1)
    return RecurrentParams(
        w_ih=_kernel(layer, init_kernel, w_ih_key, input_size, cell.hidden_size),
        w_hh=None if isinstance(cell, LinearCell) else _recurrent_kernel(layer, w_hh_key),
        b_ih=b_ih,
        b_hh=_bias(layer, b_hh_key) if cell.hidden_bias else None,
        cell=own,
    )


def _to_float32(array: Any) -> Any:
    """Cast float64, which JAX draws with x64 unless told not to, to the dtype of parameters."""
    array = jnp.asarray(array)
    return array.astype(jnp.float32) if array.dtype == jnp.float64 else array


def distinct(tree: Any) -> Any:
    """Copy arrays that a cell gave more than once: each may be the buffer of another result."""
    seen: set[int] = set()

    def copy_again(leaf: Any) -> Any:
        if id(leaf) in seen:
            return jnp.copy(leaf)
        seen.add(id(leaf))
        return leaf

    return jax.tree.map(copy_again, tree)


def _kernel(layer: Any, init: Initializer, key: Key, num_rows: int, width: int) -> jax.Array:
    keys = jax.random.split(key, len(layer.cell.gates))
    return jnp.concatenate([init(k, (num_rows, width), jnp.float32) for k in keys], axis=1)


def _recurrent_kernel(layer: Any, key: Key) -> Any:
    size, heads = layer.cell.hidden_size, layer.heads
    width = size // heads
    chosen = layer.kernel_init if layer.recurrent_init is None else layer.recurrent_init
    init = initializer(chosen, width)
    if layer.projection_size is not None:
        down_key, up_key = jax.random.split(key)
        down = init(down_key, (size, layer.projection_size), jnp.float32)
        return LowRank(down, _kernel(layer, init, up_key, layer.projection_size, size))
    if heads == 1:
        return _kernel(layer, init, key, size, size)
    keys = jax.random.split(key, heads)
    blocks = jax.vmap(lambda k: _kernel(layer, init, k, width, width))(keys)
    return BlockDiagonal(blocks.reshape(heads, width, len(layer.cell.gates), width))


def _bias(layer: Any, key: Key) -> jax.Array:
    size = layer.cell.hidden_size
    return initializer(layer.bias_init, size)(key, (len(layer.cell.gates) * size,), jnp.float32)


def _set_forget_bias(layer: Any, key: Key, biases: Any) -> Any:
    """Return biases `[G, H]` in which those that `forget_gate_bias` is about are set."""
    gates, forget = layer.cell.gates, layer.forget_gate_bias
    if forget is None:
        return biases
    if isinstance(forget, Chrono):
        forget = forget(jax.random.fold_in(key, 1), (layer.cell.hidden_size,), jnp.float32)
        if "input" in gates:
            biases = biases.at[gates.index("input")].set(-forget)
    return biases.at[gates.index("forget")].set(forget)
