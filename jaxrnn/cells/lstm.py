"""Long short-term memory."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.nn import sigmoid

from jaxrnn.cells.cell import Cell, check_hidden_size, zero_carry
from jaxrnn.typing import Array, Float


class LSTMCarry(NamedTuple):
    """The carry of an LSTM."""

    hidden: Float[Array, "B H"]
    """The output, h."""
    memory: Float[Array, "B H"]
    """The cell's memory, c."""


def lstm_update(cell_params: Any, input_gates: Any, hidden_gates: Any, carry: Any) -> LSTMCarry:
    """One step of `lstm`."""
    x_i, x_f, x_g, x_o = jnp.split(input_gates, 4, axis=-1)
    h_i, h_f, h_g, h_o = jnp.split(hidden_gates, 4, axis=-1)
    i, f, o = sigmoid(x_i + h_i), sigmoid(x_f + h_f), sigmoid(x_o + h_o)
    memory = f * carry.memory + i * jnp.tanh(x_g + h_g)
    return LSTMCarry(o * jnp.tanh(memory), memory)


def lstm(hidden_size: int) -> Cell:
    """Long short-term memory with a forget gate, without peepholes.

        i, f, o = sigmoid(x W_ih + b_ih + h W_hh)    each with its own columns
        g       = tanh(x W_ih + b_ih + h W_hh)
        c'      = f * c + i * g
        h'      = o * tanh(c')

    Args:
        hidden_size: H.

    Returns:
        A cell with the gate blocks i, f, g, o and the carry `LSTMCarry(hidden, memory)`.

    Raises:
        TypeError: `hidden_size` is not an integer.
        ValueError: `hidden_size` is below 1.

    Reference: Hochreiter and Schmidhuber, Long short-term memory, 1997; the forget gate: Gers,
        Schmidhuber and Cummins, Learning to forget, 2000.
    """
    hidden_size = check_hidden_size(hidden_size)
    initial_carry = zero_carry(LSTMCarry, hidden_size)
    return Cell("lstm", hidden_size, 4, initial_carry, lstm_update, forget_gate=1)
