"""One cell over time, as a layer."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.cells import Cell, StepCell
from jaxrnn.checks import FLOAT32_MAX, check_number, check_positive_integer
from jaxrnn.layers.dropout import dropout_mask
from jaxrnn.layers.initializers import initializer
from jaxrnn.layers.layer import Layer
from jaxrnn.recurrence import BlockDiagonal, LowRank, Masked, RecurrentParams, unroll
from jaxrnn.recurrence.arguments import check_options
from jaxrnn.typing import DType, Initializer, Key


def recurrent(
    cell: Cell | StepCell,
    *,
    kernel_init: str | Initializer = "uniform",
    recurrent_init: str | Initializer | None = None,
    bias_init: str | Initializer = "uniform",
    forget_gate_bias: float | None = None,
    projection_size: int | None = None,
    num_heads: int = 1,
    recurrent_dropout: float = 0.0,
    implementation: str | None = None,
    scan_unroll: int | None = None,
    remat_every: int | None = None,
    dtype: DType | None = None,
) -> Layer:
    """A recurrent layer: `jaxrnn.unroll` of a cell, with parameters to learn.

    Args:
        cell: such as `jaxrnn.lstm(256)`.
        kernel_init: for `w_ih`, drawn gate by gate (so "orthogonal" makes the block of each gate
            orthogonal): "normal", "uniform" (+-1/sqrt(H)), "orthogonal", "zeros" or a function
            (key, shape, dtype) -> array.
        recurrent_init: likewise for `w_hh`, gate by gate and head by head (where "uniform" is
            +-1/sqrt(H / num_heads)); None means `kernel_init`.
        bias_init: likewise for the biases.
        forget_gate_bias: the bias that forget gates begin with instead; 1 keeps them open, so that
            memory lasts (Jozefowicz, Zaremba and Sutskever, An empirical exploration of recurrent
            network architectures, 2015, section 2.2).
        projection_size: P, the width of a projection of the hidden that the gates and the layers
            above read in its place: `w_hh` is a `LowRank`, PyTorch's `proj_size`.
        num_heads: parts of the hidden that the gates read each by itself: `w_hh` is a
            `BlockDiagonal` where there is more than one, diagonal where there are H.
        recurrent_dropout: the rate at which units of the hidden that the gates read are dropped,
            the same ones at every step (Gal and Ghahramani, A theoretically grounded application of
            dropout in recurrent neural networks, 2016, arXiv:1512.05287), where a `key` is given.
        implementation, scan_unroll, remat_every, dtype: as for `jaxrnn.unroll`.

    Returns:
        A causal Layer of output size H, or P, whose params are a `RecurrentParams` and whose parts
        are (cell, recurrent_dropout, dtype).

    Raises:
        TypeError: `cell` is not a cell, or a number of the wrong type.
        ValueError: no initialiser has that name, a number is out of range, or the options exclude
            one another.
    """
    dtype = check_options(cell, implementation, scan_unroll, remat_every, dtype)
    _check_weights(cell, projection_size, num_heads, recurrent_dropout, forget_gate_bias)
    hidden_size, gates = cell.hidden_size, cell.num_gates
    init_kernel = initializer(kernel_init, hidden_size)
    recurrent_init = kernel_init if recurrent_init is None else recurrent_init
    init_recurrent = initializer(recurrent_init, hidden_size // num_heads)
    init_bias = initializer(bias_init, hidden_size)

    def kernel(init: Initializer, key: Key, num_rows: int, width: int) -> jax.Array:
        shape = (num_rows, width)
        by_gate = [init(k, shape, jnp.float32) for k in jax.random.split(key, gates)]
        return jnp.concatenate(by_gate, axis=1)

    def recurrent_kernel(key: Key) -> Any:
        if projection_size is not None:
            down_key, up_key = jax.random.split(key)
            down = init_recurrent(down_key, (hidden_size, projection_size), jnp.float32)
            return LowRank(down, kernel(init_recurrent, up_key, projection_size, hidden_size))
        if num_heads > 1:
            width = hidden_size // num_heads
            keys = jax.random.split(key, num_heads)
            heads = [kernel(init_recurrent, k, width, width) for k in keys]
            return BlockDiagonal(jnp.stack(heads).reshape(num_heads, width, gates, width))
        return kernel(init_recurrent, key, hidden_size, hidden_size)

    def bias(key: Key) -> jax.Array:
        return init_bias(key, (gates * hidden_size,), jnp.float32)

    def input_bias(key: Key) -> jax.Array:
        if forget_gate_bias is None or cell.forget_gate is None:
            return bias(key)
        forget = slice(cell.forget_gate * hidden_size, (cell.forget_gate + 1) * hidden_size)
        return bias(key).at[forget].set(forget_gate_bias)

    def init(key: Key, input_size: int) -> RecurrentParams:
        w_ih_key, w_hh_key, b_ih_key, b_hh_key, cell_key = jax.random.split(key, 5)
        return RecurrentParams(
            w_ih=kernel(init_kernel, w_ih_key, input_size, hidden_size),
            w_hh=recurrent_kernel(w_hh_key),
            b_ih=input_bias(b_ih_key),
            b_hh=bias(b_hh_key) if cell.hidden_bias else None,
            cell=cell.init_params(cell_key),
        )

    def initial_carry(params: RecurrentParams, batch_size: int) -> Any:
        return cell.initial_carry(batch_size, params.w_ih.dtype)

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
        if key is not None and recurrent_dropout > 0:
            shape = (inputs.shape[1], hidden_size)
            mask = dropout_mask(key, recurrent_dropout, shape, params.w_ih.dtype)
            params = params._replace(w_hh=Masked(params.w_hh, mask))
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
            remat_every=remat_every,
            dtype=dtype,
        )

    def output_size(input_size: int) -> int:
        return hidden_size if projection_size is None else projection_size

    parts = (cell, recurrent_dropout, dtype)
    return Layer("recurrent", output_size, init, initial_carry, apply, parts=parts)


def _check_weights(
    cell: Cell | StepCell,
    projection_size: int | None,
    num_heads: int,
    recurrent_dropout: float,
    forget_gate_bias: float | None,
) -> None:
    if forget_gate_bias is not None:
        check_number("forget_gate_bias", forget_gate_bias, low=-FLOAT32_MAX, high=FLOAT32_MAX)
        if cell.forget_gate is None:
            raise ValueError(f"forget_gate_bias needs a cell with a forget gate, got {cell.name}")
    check_number("recurrent_dropout", recurrent_dropout, low=0.0, high=1.0)
    check_positive_integer("num_heads", num_heads)
    if cell.hidden_size % num_heads:
        raise ValueError(f"num_heads must divide hidden_size = {cell.hidden_size}, got {num_heads}")
    if projection_size is not None:
        check_positive_integer("projection_size", projection_size)
        if num_heads > 1:
            raise ValueError("num_heads and projection_size were both given: choose one")
    plain = projection_size is None and num_heads == 1 and recurrent_dropout == 0
    if isinstance(cell, StepCell) and not plain:
        raise ValueError(
            f"the StepCell {cell.name} multiplies by w_hh itself: projection_size, num_heads and"
            " recurrent_dropout need a Cell"
        )
