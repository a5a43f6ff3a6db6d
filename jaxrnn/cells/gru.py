"""The gated recurrent unit."""

from typing import Any

import jax.numpy as jnp
from jax.nn import sigmoid

from jaxrnn.cells.cell import (
    Cell,
    HiddenCarry,
    LoopParams,
    StepCell,
    check_hidden_size,
    zero_carry,
)
from jaxrnn.cells.step_cell import step_cell
from jaxrnn.matrix import times


def gru_update(cell_params: Any, input_gates: Any, hidden_gates: Any, carry: Any) -> HiddenCarry:
    """One step of `gru`."""
    i_r, i_z, i_n = jnp.split(input_gates, 3, axis=-1)
    h_r, h_z, h_n = jnp.split(hidden_gates, 3, axis=-1)
    r = sigmoid(i_r + h_r)
    z = sigmoid(i_z + h_z)
    n = jnp.tanh(i_n + r * h_n)
    return HiddenCarry((1 - z) * n + z * carry.hidden)


def gru_reset_before_step(params: LoopParams, input_gates: Any, carry: HiddenCarry) -> HiddenCarry:
    """One step of `gru(H, reset_after=False)`."""
    hidden = carry.hidden
    gates = 2 * hidden.shape[-1]  # columns of r and z
    i_rz, i_n = jnp.split(input_gates, [gates], axis=-1)
    w_rz, w_n = jnp.split(params.w_hh, [gates], axis=-1)
    r, z = jnp.split(sigmoid(i_rz + times(hidden, w_rz)), 2, axis=-1)
    n = jnp.tanh(i_n + times(r * hidden, w_n))
    return HiddenCarry((1 - z) * n + z * hidden)


def gru(hidden_size: int, *, reset_after: bool = True) -> Cell | StepCell:
    """The gated recurrent unit.

        r  = sigmoid(i_r + h_r)         i = x W_ih + b_ih
        z  = sigmoid(i_z + h_z)         h = hidden W_hh + b_hh
        n  = tanh(i_n + r * h_n)
        h' = (1 - z) * n + z * hidden

    Args:
        hidden_size: H.
        reset_after: True resets after the recurrent product, as above and as PyTorch, cuDNN and
            Flax do; that cell has a `b_hh`, because r scales the product with its bias.  False
            resets before it, `n = tanh(i_n + (r * hidden) W_n)`, as "Dive into Deep Learning",
            Haiku and the paper's later versions do; that is a `StepCell`, slower to train.

    Returns:
        A cell with the gate blocks r, z, n and the carry `HiddenCarry(hidden)`.

    Raises:
        TypeError: `hidden_size` is not an integer.
        ValueError: `hidden_size` is below 1.

    Reference: Cho et al., Learning phrase representations using RNN encoder-decoder, 2014,
        arXiv:1406.1078; the reset after the product: version 1 of the paper.
    """
    hidden_size = check_hidden_size(hidden_size)
    if not reset_after:
        return step_cell("gru_reset_before", hidden_size, gru_reset_before_step, num_gates=3)
    initial_carry = zero_carry(HiddenCarry, hidden_size)
    return Cell("gru", hidden_size, 3, initial_carry, gru_update, hidden_bias=True)
