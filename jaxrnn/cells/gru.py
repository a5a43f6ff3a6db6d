"""The gated recurrent unit."""

from typing import Any

import jax.numpy as jnp
from jax.nn import sigmoid
from jax.tree_util import Partial

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


def _gates(input_gates: Any, hidden_gates: Any) -> tuple[Any, Any, Any, Any]:
    """r, z, n, and the hidden half of n, which r scales."""
    i_r, i_z, i_n = jnp.split(input_gates, 3, axis=-1)
    h_r, h_z, h_n = jnp.split(hidden_gates, 3, axis=-1)
    r = sigmoid(i_r + h_r)
    z = sigmoid(i_z + h_z)
    n = jnp.tanh(i_n + r * h_n)
    return r, z, n, h_n


def gru_update(cell_params: Any, input_gates: Any, hidden_gates: Any, carry: Any) -> HiddenCarry:
    """One step of `gru`."""
    _, z, n, _ = _gates(input_gates, hidden_gates)
    return HiddenCarry((1 - z) * n + z * carry.hidden)


def gru_linearize(cell_params: Any, input_gates: Any, hidden_gates: Any, carry: Any) -> Partial:
    """The derivative of `gru_update`, by five coefficients a unit."""
    r, z, n, h_n = _gates(input_gates, hidden_gates)
    by_n = (1 - z) * (1 - n * n)
    by_hidden = [by_n * h_n * r * (1 - r), (carry.hidden - n) * z * (1 - z), by_n * r]
    return Partial(_push, jnp.concatenate(by_hidden, axis=-1), by_n, z)


def _push(
    by_hidden: Any, by_n: Any, z: Any, d_input_gates: Any, d_hidden_gates: Any, d_carry: Any
) -> HiddenCarry:
    by_r, by_z, _ = jnp.split(by_hidden, 3, axis=-1)
    di_r, di_z, di_n = jnp.split(d_input_gates, 3, axis=-1)
    dh_r, dh_z, dh_n = jnp.split(by_hidden * d_hidden_gates, 3, axis=-1)
    d_input = by_r * di_r + by_z * di_z + by_n * di_n
    return HiddenCarry(d_input + dh_r + dh_z + dh_n + z * d_carry.hidden)


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
    return Cell(
        "gru",
        hidden_size,
        3,
        initial_carry,
        gru_update,
        hidden_bias=True,
        linearize=gru_linearize,
    )
