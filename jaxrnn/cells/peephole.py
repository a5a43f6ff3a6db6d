"""Long short-term memory with peepholes."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import sigmoid

from jaxrnn.cells.cell import Cell, zero_carry
from jaxrnn.cells.lstm import LSTMCarry
from jaxrnn.typing import Array, Float, Gates, Key


class Peepholes(NamedTuple):
    """The weights with which the gates see the memory of their own unit."""

    input: Float[Array, "H"]
    forget: Float[Array, "H"]
    output: Float[Array, "H"]


@dataclass(frozen=True)
class PeepholesInit:
    """The `init_params` of `peephole_lstm`."""

    hidden_size: int

    def __call__(self, key: Key) -> Peepholes:
        """Draw the peepholes from +-1/sqrt(H)."""
        bound = self.hidden_size**-0.5
        drawn = jax.random.uniform(key, (3, self.hidden_size), minval=-bound, maxval=bound)
        return Peepholes(*drawn)


def peephole_update(
    peepholes: Peepholes, input_gates: Gates, hidden_gates: Gates, carry: LSTMCarry
) -> LSTMCarry:
    """Take one step."""
    i, f, g, o = (x + h for x, h in zip(input_gates, hidden_gates, strict=True))
    i = sigmoid(i + peepholes.input[None] * carry.memory)
    f = sigmoid(f + peepholes.forget[None] * carry.memory)
    memory = f * carry.memory + i * jnp.tanh(g)
    o = sigmoid(o + peepholes.output[None] * memory)
    return LSTMCarry(o * jnp.tanh(memory), memory)


def peephole_lstm(hidden_size: int) -> Cell:
    """Return an LSTM with peepholes: its gates see the memory of their own unit.

        i  = sigmoid(g_i + p_i * c)         g = x W_ih + b_ih + h W_hh
        f  = sigmoid(g_f + p_f * c)
        c' = f * c + i * tanh(g_g)
        o  = sigmoid(g_o + p_o * c')
        h' = o * tanh(c')

    Args:
        hidden_size: H.

    Returns:
        A cell with the gates i, f, g, o and the carry `LSTMCarry(hidden, memory)`.

    Raises:
        TypeError: `hidden_size` is not an integer.
        ValueError: `hidden_size` is below 1.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.peephole_lstm(256)
        peephole_lstm(256)

    Reference:
        Gers, Schraudolph and Schmidhuber, Learning precise timing with LSTM recurrent networks,
        2002, JMLR 3, 115-143.
    """
    return Cell(
        "peephole_lstm",
        hidden_size,
        gates=("input", "forget", "candidate", "output"),
        initial_carry=zero_carry(LSTMCarry, hidden_size),
        update=peephole_update,
        init_params=PeepholesInit(hidden_size),
    )
