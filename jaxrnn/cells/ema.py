"""Exponential moving averages whose time constants are learned."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn import sigmoid

from jaxrnn.cells.linear_cell import LinearCell, linear_cell
from jaxrnn.checks import check_number
from jaxrnn.typing import Gates, Key


@dataclass(frozen=True)
class EMAInit:
    """The `init_params` of `ema`."""

    hidden_size: int
    max_steps: float

    def __call__(self, key: Key) -> jax.Array:
        """Spread the time constants from one step to the longest, evenly in their logarithms."""
        steps = jnp.logspace(
            0, jnp.log10(float(self.max_steps)), self.hidden_size, dtype=jnp.float32
        )
        return jnp.log(steps)  # sigmoid(log t) = t / (t + 1)


def ema_coefficients(decay: Any, input_gates: Gates) -> tuple[Any, Any]:
    """Return (a, b) of one step."""
    return sigmoid(decay)[None], sigmoid(-decay)[None] * input_gates[0]


def ema(hidden_size: int, *, max_steps: float = 1000) -> LinearCell:
    """Return exponential moving averages of the projected inputs, with learned time constants.

        a  = sigmoid(decay)             one for each unit
        h' = a * h + (1 - a) * i        i = x W_ih + b_ih

    Args:
        hidden_size: H.
        max_steps: the longest initial time constant, in steps; the shortest is one.

    Returns:
        A linear cell with one gate and the carry `HiddenCarry(hidden)`.

    Raises:
        TypeError: `hidden_size` is not an integer, or `max_steps` not a number.
        ValueError: an argument is below 1, or `max_steps` above 1e9.

    Examples:
        >>> import jax, jaxrnn
        >>> decay = jaxrnn.ema(4, max_steps=100).init_params(jax.random.key(0))
        >>> [f"{keep:.2f}" for keep in jax.nn.sigmoid(decay)]
        ['0.50', '0.82', '0.96', '0.99']

    Reference:
        Mozer, Induction of multiscale temporal structure, 1992.
    """
    check_number("max_steps", max_steps, low=1, high=1e9)
    return linear_cell(
        "ema",
        hidden_size,
        gates=("input",),
        coefficients=ema_coefficients,
        init_params=EMAInit(hidden_size, max_steps),
    )
