"""The gated recurrent unit."""

from typing import Any

import jax.numpy as jnp

from jaxrnn.cells.cell import Cell, HiddenCarry, check_hidden_size, sigmoid, zero_carry


def gru_update(cell_params: Any, input_gates: Any, hidden_gates: Any, carry: Any) -> HiddenCarry:
    """One step of `gru`."""
    i_r, i_z, i_n = jnp.split(input_gates, 3, axis=-1)
    h_r, h_z, h_n = jnp.split(hidden_gates, 3, axis=-1)
    r = sigmoid(i_r + h_r)
    z = sigmoid(i_z + h_z)
    n = jnp.tanh(i_n + r * h_n)
    return HiddenCarry((1 - z) * n + z * carry.hidden)


def gru(hidden_size: int) -> Cell:
    """The gated recurrent unit that resets after the recurrent product, as PyTorch and cuDNN.

        r  = sigmoid(i_r + h_r)         i = x W_ih + b_ih
        z  = sigmoid(i_z + h_z)         h = hidden W_hh + b_hh
        n  = tanh(i_n + r * h_n)
        h' = (1 - z) * n + z * hidden

    Args:
        hidden_size: H.

    Returns:
        A cell with the gate blocks r, z, n and the carry `HiddenCarry(hidden)`.  It has a `b_hh`,
        because r scales the recurrent product with its bias.

    Raises:
        TypeError: `hidden_size` is not an integer.
        ValueError: `hidden_size` is below 1.

    Reference: Cho et al., Learning phrase representations using RNN encoder-decoder, 2014,
        arXiv:1406.1078; the reset after the product: version 1 of the paper.
    """
    hidden_size = check_hidden_size(hidden_size)
    initial_carry = zero_carry(HiddenCarry, hidden_size)
    return Cell("gru", hidden_size, 3, initial_carry, gru_update, hidden_bias=True)
