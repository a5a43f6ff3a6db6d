"""The minimal gated unit."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax.nn import sigmoid

from jaxrnn.cells.cell import Cell, HiddenCarry, zero_carry
from jaxrnn.typing import Gates


@dataclass(frozen=True)
class MGUUpdate:
    """The `update` of `mgu`."""

    as_in_flax: bool

    def __call__(
        self, cell_params: Any, input_gates: Gates, hidden_gates: Gates, carry: HiddenCarry
    ) -> HiddenCarry:
        """Take one step."""
        (i_f, i_n), (h_f, h_n) = input_gates, hidden_gates
        f = sigmoid(i_f + h_f)
        n = jnp.tanh(i_n + f * h_n)
        old, new = (f, 1 - f) if self.as_in_flax else (1 - f, f)
        return HiddenCarry(new * n + old * carry.hidden)


def mgu(hidden_size: int, *, as_in_flax: bool = False) -> Cell:
    """Return a minimal gated unit (MGU), whose only gate serves a GRU's two purposes.

        f  = sigmoid(i_f + h_f)         i = x W_ih + b_ih
        n  = tanh(i_n + f * h_n)        h = hidden W_hh + b_hh
        h' = (1 - f) * hidden + f * n

    The gate scales the recurrent product, as in a GRU that resets after it; the paper applies it to
    the hidden state before the product.

    Args:
        hidden_size: H.
        as_in_flax: let f keep the old state instead, h' = (1 - f) * n + f * hidden, as Flax's
            `MGUCell` does.

    Returns:
        A cell with the gates f, n and the carry `HiddenCarry(hidden)`.  Only where f keeps the old
        state is it called "forget", and does `forget_gate_bias` apply to it.

    Raises:
        TypeError: `hidden_size` is not an integer.
        ValueError: `hidden_size` is below 1.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.mgu(256).gates
        ('update', 'candidate')

    Reference:
        Zhou et al., Minimal gated unit for recurrent neural networks, 2016, arXiv:1603.09420.
    """
    return Cell(
        "mgu",
        hidden_size,
        gates=("forget" if as_in_flax else "update", "candidate"),
        initial_carry=zero_carry(HiddenCarry, hidden_size),
        update=MGUUpdate(as_in_flax),
        hidden_bias=True,
    )
