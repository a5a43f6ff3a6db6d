"""Long short-term memory."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.nn import sigmoid
from jax.tree_util import Partial

from jaxrnn.cells.cell import Cell, check_hidden_size, zero_carry
from jaxrnn.typing import Array, Float


class LSTMCarry(NamedTuple):
    """The carry of an LSTM."""

    hidden: Float[Array, "B H"]
    """The output, h."""
    memory: Float[Array, "B H"]
    """The cell's memory, c."""


def _gates(input_gates: Any, hidden_gates: Any) -> tuple[Any, Any, Any, Any]:
    x_i, x_f, x_g, x_o = jnp.split(input_gates, 4, axis=-1)
    h_i, h_f, h_g, h_o = jnp.split(hidden_gates, 4, axis=-1)
    return sigmoid(x_i + h_i), sigmoid(x_f + h_f), jnp.tanh(x_g + h_g), sigmoid(x_o + h_o)


def lstm_update(cell_params: Any, input_gates: Any, hidden_gates: Any, carry: Any) -> LSTMCarry:
    """One step of `lstm`."""
    i, f, g, o = _gates(input_gates, hidden_gates)
    memory = f * carry.memory + i * g
    return LSTMCarry(o * jnp.tanh(memory), memory)


def lstm_linearize(cell_params: Any, input_gates: Any, hidden_gates: Any, carry: Any) -> Partial:
    """The derivative of `lstm_update`, by six coefficients a unit."""
    i, f, g, o = _gates(input_gates, hidden_gates)
    tanh_memory = jnp.tanh(f * carry.memory + i * g)
    by_gates = [
        g * i * (1 - i),
        carry.memory * f * (1 - f),
        i * (1 - g * g),
        tanh_memory * o * (1 - o),
    ]
    by_memory = o * (1 - tanh_memory * tanh_memory)
    return Partial(_push, jnp.concatenate(by_gates, axis=-1), f, by_memory)


def _push(
    by_gates: Any, f: Any, by_memory: Any, d_input_gates: Any, d_hidden_gates: Any, d_carry: Any
) -> LSTMCarry:
    d_i, d_f, d_g, d_o = jnp.split(by_gates * (d_input_gates + d_hidden_gates), 4, axis=-1)
    d_memory = d_i + d_f + d_g + f * d_carry.memory
    return LSTMCarry(d_o + by_memory * d_memory, d_memory)


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
    return Cell(
        "lstm", hidden_size, 4, initial_carry, lstm_update, forget_gate=1, linearize=lstm_linearize
    )
