"""The real-gated linear recurrent unit of Griffin."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn import sigmoid, softplus

from jaxrnn.cells.linear_cell import LinearCell, linear_cell
from jaxrnn.typing import Gates, Key

C = 8.0
"""The paper's constant c."""


@dataclass(frozen=True)
class RGLRUInit:
    """The `init_params` of `rg_lru`."""

    hidden_size: int

    def __call__(self, key: Key) -> jax.Array:
        """Draw Lambda such that a, of a gate r = 1, lies uniformly between 0.9 and 0.999."""
        a = jax.random.uniform(key, (self.hidden_size,), minval=0.9, maxval=0.999)
        return jnp.log(jnp.expm1(-jnp.log(a) / C))


def rg_lru_coefficients(decay: Any, input_gates: Gates) -> tuple[Any, Any]:
    """Return (a, b) of one step."""
    r, i, x = sigmoid(input_gates[0]), sigmoid(input_gates[1]), input_gates[2]
    log_a = -C * softplus(decay)[None] * r
    # The root of 0 has an infinite derivative, and 0 * inf is NaN.
    rest = jnp.maximum(-jnp.expm1(2 * log_a), jnp.finfo(log_a.dtype).tiny)
    return jnp.exp(log_a), jnp.sqrt(rest) * i * x


def rg_lru(hidden_size: int) -> LinearCell:
    """Return a real-gated linear recurrent unit (RG-LRU), the recurrence of Griffin.

        r, i = sigmoid(i_r), sigmoid(i_i)               i = x W_ih + b_ih
        a    = exp(-8 softplus(Lambda) r)
        h'   = a * h + sqrt(1 - a**2) * (i * i_x)

    Args:
        hidden_size: H.

    Returns:
        A linear cell with the gates r, i, x and the carry `HiddenCarry(hidden)`.  In the paper i_x
        comes from a convolution before the unit; here it is one more projection of the inputs.

    Raises:
        TypeError: `hidden_size` is not an integer.
        ValueError: `hidden_size` is below 1.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.rg_lru(256).gates
        ('recurrence', 'input', 'candidate')

    Reference:
        De et al., Griffin: mixing gated linear recurrences with local attention for efficient
        language models, 2024, arXiv:2402.19427.
    """
    return linear_cell(
        "rg_lru",
        hidden_size,
        gates=("recurrence", "input", "candidate"),
        coefficients=rg_lru_coefficients,
        init_params=RGLRUInit(hidden_size),
    )
