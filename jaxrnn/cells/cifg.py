"""Long short-term memory with coupled input and forget gates."""

from typing import Any

import jax.numpy as jnp
from jax.nn import sigmoid

from jaxrnn.cells.cell import Cell, zero_carry
from jaxrnn.cells.lstm import LSTMCarry
from jaxrnn.typing import Gates


def cifg_update(
    cell_params: Any, input_gates: Gates, hidden_gates: Gates, carry: LSTMCarry
) -> LSTMCarry:
    """Take one step."""
    f, g, o = (x + h for x, h in zip(input_gates, hidden_gates, strict=True))
    f = sigmoid(f)
    memory = f * carry.memory + (1 - f) * jnp.tanh(g)
    return LSTMCarry(sigmoid(o) * jnp.tanh(memory), memory)


def cifg(hidden_size: int) -> Cell:
    """Return an LSTM with coupled input and forget gates (CIFG): what is forgotten is replaced.

        f, o = sigmoid(g_f), sigmoid(g_o)       g = x W_ih + b_ih + h W_hh
        c'   = f * c + (1 - f) * tanh(g_g)
        h'   = o * tanh(c')

    Args:
        hidden_size: H.

    Returns:
        A cell with the gates f, g, o and the carry `LSTMCarry(hidden, memory)`.

    Raises:
        TypeError: `hidden_size` is not an integer.
        ValueError: `hidden_size` is below 1.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.cifg(256).gates
        ('forget', 'candidate', 'output')

    Reference:
        Greff et al., LSTM: a search space odyssey, 2017, arXiv:1503.04069.
    """
    return Cell(
        "cifg",
        hidden_size,
        gates=("forget", "candidate", "output"),
        initial_carry=zero_carry(LSTMCarry, hidden_size),
        update=cifg_update,
    )
