"""Long short-term memory."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.nn import sigmoid

from jaxrnn.cells.cell import Cell, zero_carry
from jaxrnn.typing import Array, Float, Gates


class LSTMCarry(NamedTuple):
    """The carry of an LSTM."""

    hidden: Float[Array, "B H"]
    """The output, h."""
    memory: Float[Array, "B H"]
    """The cell's memory, c."""


def lstm_update(
    cell_params: Any, input_gates: Gates, hidden_gates: Gates, carry: LSTMCarry
) -> LSTMCarry:
    """Take one step of `lstm`."""
    i, f, g, o = (x + h for x, h in zip(input_gates, hidden_gates, strict=True))
    memory = sigmoid(f) * carry.memory + sigmoid(i) * jnp.tanh(g)
    return LSTMCarry(sigmoid(o) * jnp.tanh(memory), memory)


def lstm(hidden_size: int) -> Cell:
    """Return an LSTM cell with a forget gate and without peepholes.

        i, f, o = sigmoid(x W_ih + b_ih + h W_hh)    each with its own columns
        g       = tanh(x W_ih + b_ih + h W_hh)
        c'      = f * c + i * g
        h'      = o * tanh(c')

    Args:
        hidden_size: H.

    Returns:
        A cell with the gates i, f, g, o and the carry `LSTMCarry(hidden, memory)`.

    Raises:
        TypeError: `hidden_size` is not an integer.
        ValueError: `hidden_size` is below 1.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.lstm(256).gates
        ('input', 'forget', 'candidate', 'output')

    Reference:
        Hochreiter and Schmidhuber, Long short-term memory, 1997.  Forget gate: Gers, Schmidhuber
        and Cummins, Learning to forget, 2000.
    """
    return Cell(
        "lstm",
        hidden_size,
        gates=("input", "forget", "candidate", "output"),
        initial_carry=zero_carry(LSTMCarry, hidden_size),
        update=lstm_update,
    )
