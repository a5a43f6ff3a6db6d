"""The gated recurrent unit."""

from typing import Any

import jax.numpy as jnp
from jax.nn import sigmoid

from jaxrnn.cells.cell import Cell, HiddenCarry, LoopParams, StepCell, zero_carry
from jaxrnn.matmul import matmul
from jaxrnn.typing import Gates

GATES = ("reset", "update", "candidate")


def gru_update(
    cell_params: Any, input_gates: Gates, hidden_gates: Gates, carry: HiddenCarry
) -> HiddenCarry:
    """Take one step of `gru`."""
    (i_r, i_z, i_n), (h_r, h_z, h_n) = input_gates, hidden_gates
    r = sigmoid(i_r + h_r)
    z = sigmoid(i_z + h_z)
    n = jnp.tanh(i_n + r * h_n)
    return HiddenCarry((1 - z) * n + z * carry.hidden)


def gru_reset_before_step(
    params: LoopParams, input_gates: Gates, carry: HiddenCarry
) -> HiddenCarry:
    """Take one step of `gru(H, reset_after=False)`."""
    hidden, (i_r, i_z, i_n) = carry.hidden, input_gates
    w_rz, w_n = jnp.split(params.w_hh, [2 * hidden.shape[-1]], axis=-1)
    h_r, h_z = jnp.split(matmul(hidden, w_rz), 2, axis=-1)
    r, z = sigmoid(i_r + h_r), sigmoid(i_z + h_z)
    n = jnp.tanh(i_n + matmul(r * hidden, w_n))
    return HiddenCarry((1 - z) * n + z * hidden)


def gru(hidden_size: int, *, reset_after: bool = True) -> Cell | StepCell:
    """Return a gated recurrent unit (GRU).

        r  = sigmoid(i_r + h_r)         i = x W_ih + b_ih
        z  = sigmoid(i_z + h_z)         h = hidden W_hh + b_hh
        n  = tanh(i_n + r * h_n)
        h' = (1 - z) * n + z * hidden

    Args:
        hidden_size: H.
        reset_after: True applies r after the recurrent product, as above and as PyTorch, cuDNN and
            Flax do.  That cell has a `b_hh`, because r scales the product and its bias.  False
            applies r before it, `n = tanh(i_n + (r * hidden) W_n)`, as "Dive into Deep Learning",
            Haiku and the paper's later versions do.  That is a `StepCell`, slower to train.

    Returns:
        A cell with the gates r, z, n and the carry `HiddenCarry(hidden)`.

    Raises:
        TypeError: `hidden_size` is not an integer.
        ValueError: `hidden_size` is below 1.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.gru(256).gates
        ('reset', 'update', 'candidate')

    Reference:
        Cho et al., Learning phrase representations using RNN encoder-decoder, 2014,
        arXiv:1406.1078.  Version 1 of the paper resets after the product.
    """
    zeros = zero_carry(HiddenCarry, hidden_size)
    if not reset_after:
        return StepCell(
            "gru_reset_before",
            hidden_size,
            gates=GATES,
            initial_carry=zeros,
            step=gru_reset_before_step,
        )
    return Cell(
        "gru", hidden_size, gates=GATES, initial_carry=zeros, update=gru_update, hidden_bias=True
    )
