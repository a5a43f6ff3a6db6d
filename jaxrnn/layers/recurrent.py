"""One cell over time, as a layer."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.cells import Cell
from jaxrnn.layers.initializers import initializer
from jaxrnn.layers.layer import Layer
from jaxrnn.recurrence import RecurrentParams, unroll
from jaxrnn.typing import Initializer, Key


def recurrent(
    cell: Cell,
    *,
    kernel_init: str | Initializer = "uniform",
    bias_init: str | Initializer = "uniform",
    implementation: str | None = None,
    scan_unroll: int = 1,
) -> Layer:
    """A recurrent layer: `jaxrnn.unroll` of a cell, with parameters to learn.

    Args:
        cell: such as `jaxrnn.lstm(256)`.
        kernel_init: for `w_ih` and `w_hh`, drawn gate by gate (so "orthogonal" makes the block of
            each gate orthogonal): "normal", "uniform" (+-1/sqrt(H)), "orthogonal", "zeros" or a
            function (key, shape, dtype) -> array.
        bias_init: likewise for the biases.
        implementation, scan_unroll: as for `jaxrnn.unroll`.

    Returns:
        A causal Layer of output size H, whose params are a `RecurrentParams`.

    Raises:
        TypeError: `cell` is not a Cell.
        ValueError: no initialiser has that name.
    """
    if not isinstance(cell, Cell):
        raise TypeError(f"cell must be a Cell, such as jaxrnn.lstm(256), got {cell!r}")
    hidden_size = cell.hidden_size
    init_kernel = initializer(kernel_init, hidden_size)
    init_bias = initializer(bias_init, hidden_size)

    def kernel(key: Key, num_rows: int) -> jax.Array:
        gate_keys = jax.random.split(key, cell.num_gates)
        shape = (num_rows, hidden_size)
        return jnp.concatenate([init_kernel(k, shape, jnp.float32) for k in gate_keys], axis=1)

    def bias(key: Key) -> jax.Array:
        return init_bias(key, (cell.num_gates * hidden_size,), jnp.float32)

    def init(key: Key, input_size: int) -> RecurrentParams:
        w_ih_key, w_hh_key, b_ih_key, b_hh_key, cell_key = jax.random.split(key, 5)
        return RecurrentParams(
            w_ih=kernel(w_ih_key, input_size),
            w_hh=kernel(w_hh_key, hidden_size),
            b_ih=bias(b_ih_key),
            b_hh=bias(b_hh_key) if cell.hidden_bias else None,
            cell=cell.init_params(cell_key),
        )

    def initial_carry(params: RecurrentParams, batch_size: int) -> Any:
        return cell.initial_carry(batch_size, params.w_hh.dtype)

    def apply(
        params: RecurrentParams,
        inputs: Any,
        carry: Any,
        *,
        lengths: Any = None,
        resets: Any = None,
        reset_carry: Any = None,
        key: Key | None = None,
    ) -> tuple[Any, Any]:
        return unroll(
            cell,
            params,
            inputs,
            carry,
            lengths=lengths,
            resets=resets,
            reset_carry=reset_carry,
            implementation=implementation,
            scan_unroll=scan_unroll,
        )

    def output_size(input_size: int) -> int:
        return hidden_size

    return Layer("recurrent", output_size, init, initial_carry, apply, parts=(cell,))
