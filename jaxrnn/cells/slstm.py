"""The scalar LSTM of xLSTM, with exponential gates."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.nn import log_sigmoid, sigmoid

from jaxrnn.cells.cell import Cell
from jaxrnn.checks import check_integer, check_positive_integer
from jaxrnn.typing import Array, DType, Float, Gates

NOTHING_YET = -1e30
"""The stabiliser before the first step: it lies below that of any input."""


class SLSTMCarry(NamedTuple):
    """The carry of an sLSTM."""

    hidden: Float[Array, "B H"]
    """The output, h."""
    memory: Float[Array, "B H"]
    """The weighted sum of the candidates, c, divided by exp(stabiliser)."""
    normalizer: Float[Array, "B H"]
    """The sum of the weights, n, divided by exp(stabiliser)."""
    stabilizer: Float[Array, "B H"]
    """The logarithm of the largest weight, m."""


@dataclass(frozen=True)
class SLSTMStart:
    """The `initial_carry` of `slstm`."""

    hidden_size: int

    def __call__(self, batch_size: int, dtype: DType = jnp.float32) -> SLSTMCarry:
        """Return zeros, and a stabiliser below all others."""
        check_integer("batch_size", batch_size)
        zeros = jnp.zeros((batch_size, self.hidden_size), dtype)
        return SLSTMCarry(zeros, zeros, zeros, jnp.full_like(zeros, NOTHING_YET))


def slstm_update(
    cell_params: Any, input_gates: Gates, hidden_gates: Gates, carry: SLSTMCarry
) -> SLSTMCarry:
    """Take one step."""
    i, f, z, o = (x + h for x, h in zip(input_gates, hidden_gates, strict=True))
    log_old = log_sigmoid(f) + carry.stabilizer
    largest = jnp.maximum(log_old, i)
    old, new = jnp.exp(log_old - largest), jnp.exp(i - largest)
    memory = old * carry.memory + new * jnp.tanh(z)
    normalizer = old * carry.normalizer + new
    return SLSTMCarry(sigmoid(o) * memory / normalizer, memory, normalizer, largest)


def slstm(hidden_size: int, *, num_heads: int = 1) -> Cell:
    """Return an sLSTM: an LSTM with an exponential input gate, a normaliser and a stabiliser.

        i, f, z, o = x W_ih + b_ih + h W_hh         W_hh has a block for each head
        c' = sigmoid(f) * c + exp(i) * tanh(z)
        n' = sigmoid(f) * n + exp(i)
        h' = sigmoid(o) * c' / n'

    c and n are kept divided by exp(m), m' = max(log sigmoid(f) + m, i), so that nothing overflows;
    h does not depend on m.

    Args:
        hidden_size: H.
        num_heads: the heads that H is divided into, each with recurrent weights of its own.

    Returns:
        A cell with the gates i, f, z, o and the carry
        `SLSTMCarry(hidden, memory, normalizer, stabilizer)`.

    Raises:
        TypeError: a size is not an integer.
        ValueError: a size is below 1, or `num_heads` does not divide `hidden_size`.

    Examples:
        >>> import jax, jaxrnn
        >>> cell = jaxrnn.slstm(256, num_heads=4)
        >>> params = jaxrnn.recurrent(cell).init(jax.random.key(0), 3)
        >>> params.w_hh.blocks.shape
        (4, 64, 4, 64)

    Reference:
        Beck et al., xLSTM: extended long short-term memory, 2024, arXiv:2405.04517.
    """
    check_positive_integer("hidden_size", hidden_size)
    return Cell(
        "slstm",
        hidden_size,
        gates=("input", "forget", "candidate", "output"),
        initial_carry=SLSTMStart(hidden_size),
        update=slstm_update,
        num_heads=num_heads,
    )
