"""Long short-term memory."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxrnn.cells.cell import Cell, check_hidden_size, squash, zero_carry
from jaxrnn.typing import Array, Float


class LSTMCarry(NamedTuple):
    """The carry of an LSTM."""

    hidden: Float[Array, "B H"]
    """The output, h."""
    memory: Float[Array, "B H"]
    """The cell's memory, c."""


def lstm_update(cell_params: Any, input_gates: Any, hidden_gates: Any, carry: Any) -> LSTMCarry:
    """One step of `lstm`."""
    i, f, g, o = squash(input_gates + hidden_gates, ("sigmoid", "sigmoid", "tanh", "sigmoid"))
    memory = f * carry.memory + i * g
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
