"""The simple recurrent network of Elman."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.cells.cell import Cell, HiddenCarry, zero_carry
from jaxrnn.typing import Gates

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
}


@dataclass(frozen=True)
class ElmanUpdate:
    """The `update` of an `rnn` with the given activation."""

    activation: str | Callable[[Any], Any]

    def __call__(
        self, cell_params: Any, input_gates: Gates, hidden_gates: Gates, carry: HiddenCarry
    ) -> HiddenCarry:
        """Take one step."""
        activation = self.activation
        if isinstance(activation, str):
            activation = ACTIVATIONS[activation]
        return HiddenCarry(activation(input_gates[0] + hidden_gates[0]))


def rnn(hidden_size: int, activation: str | Callable[[Any], Any] = "tanh") -> Cell:
    """Return a simple recurrent (Elman) cell.

        h' = activation(x W_ih + b_ih + h W_hh)

    Args:
        hidden_size: H.
        activation: "tanh", "relu", "sigmoid" or an elementwise function of an array.

    Returns:
        A cell with one gate, the candidate, and the carry `HiddenCarry(hidden)`.

    Raises:
        TypeError: `hidden_size` is not an integer, or `activation` is not callable.
        ValueError: `hidden_size` is below 1, or `activation` is an unknown name.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.rnn(256, "relu")
        rnn(256)

    Reference:
        Elman, Finding structure in time, 1990.
    """
    names = {function: name for name, function in ACTIVATIONS.items()}
    if isinstance(activation, str):
        if activation not in ACTIVATIONS:
            known = ", ".join(map(repr, ACTIVATIONS))
            raise ValueError(f"activation must be {known} or a function, got {activation!r}")
    elif not callable(activation):
        raise TypeError(f"activation must be a function of an array, got {activation!r}")
    else:
        # Names can be pickled; JAX's own functions cannot.
        activation = names.get(activation, activation)
    return Cell(
        "rnn",
        hidden_size,
        gates=("candidate",),
        initial_carry=zero_carry(HiddenCarry, hidden_size),
        update=ElmanUpdate(activation),
    )
