"""The linear recurrent unit."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.cells.linear_cell import LinearCell, linear_cell, real_product
from jaxrnn.checks import check_number, check_positive_integer
from jaxrnn.typing import Array, Float, Gates, Key


class LRUParams(NamedTuple):
    """The own parameters of `lru`; all are real."""

    log_decay: Float[Array, "H"]
    """nu: the radius of each eigenvalue is exp(-exp(nu))."""
    log_phase: Float[Array, "H"]
    """theta: its phase is exp(theta)."""
    log_scale: Float[Array, "H"]
    """The logarithm of gamma, which scales what enters the state."""
    readout_real: Float[Array, "H H"]
    """The real part of C."""
    readout_imaginary: Float[Array, "H H"]
    """The imaginary part of C."""


@dataclass(frozen=True)
class LRUInit:
    """The `init_params` of `lru`."""

    hidden_size: int
    min_radius: float
    max_radius: float
    max_phase: float

    def __call__(self, key: Key) -> LRUParams:
        """Draw eigenvalues uniformly from a ring, and a readout."""
        radius_key, phase_key, real_key, imaginary_key = jax.random.split(key, 4)
        size, low, high = self.hidden_size, self.min_radius**2, self.max_radius**2
        squared = low + (high - low) * jax.random.uniform(radius_key, (size,))
        squared = jnp.clip(squared, 1e-6, 1 - 1e-6)
        phase = self.max_phase * jax.random.uniform(phase_key, (size,), minval=1e-6)
        return LRUParams(
            log_decay=jnp.log(-0.5 * jnp.log(squared)),
            log_phase=jnp.log(phase),
            log_scale=0.5 * jnp.log1p(-squared),
            readout_real=jax.random.normal(real_key, (size, size)) * size**-0.5,
            readout_imaginary=jax.random.normal(imaginary_key, (size, size)) * size**-0.5,
        )


def lru_coefficients(params: LRUParams, input_gates: Gates) -> tuple[Any, Any]:
    """Return (a, b) of one step."""
    real, imaginary, _ = input_gates
    radius, phase = jnp.exp(-jnp.exp(params.log_decay)), jnp.exp(params.log_phase)
    a = lax.complex(radius * jnp.cos(phase), radius * jnp.sin(phase))
    scale = jnp.exp(params.log_scale)[None]
    return a[None], lax.complex(scale * real, scale * imaginary)


def lru_readout(params: LRUParams, input_gates: Gates, state: Any) -> Any:
    """Return Re(C state) and what passes by the state."""
    read = real_product(state, params.readout_real, params.readout_imaginary)
    return read + input_gates[2]


def lru(
    hidden_size: int,
    *,
    min_radius: float = 0.0,
    max_radius: float = 1.0,
    max_phase: float = 6.283185307179586,
) -> LinearCell:
    """Return a linear recurrent unit (LRU): a diagonal complex recurrence that stays stable.

        a     = exp(-exp(nu) + i exp(theta))            |a| < 1
        s'    = a * s + exp(log gamma) * (B x)          B x = i_re + i i_im, complex
        y     = Re(C s') + D x                          i = x W_ih + b_ih

    `W_ih` holds the real and the imaginary part of B and the matrix D, so that the inputs may have
    any size; the paper's D is diagonal, and its B has no bias.

    Args:
        hidden_size: H, the size of the output and the number of complex units of the state.
        min_radius, max_radius: the ring that the eigenvalues are drawn from.
        max_phase: their largest phase; the paper takes pi / 10 for long sequences.

    Returns:
        A linear cell with the gates real, imaginary and bypass, and the carry
        `ComplexCarry(hidden, real, imaginary)`.

    Raises:
        TypeError: `hidden_size` is not an integer, or another argument not a number.
        ValueError: an argument is out of range.

    Examples:
        >>> import jaxrnn
        >>> cell = jaxrnn.lru(256, min_radius=0.9, max_radius=0.999)
        >>> cell.initial_carry(2).real.shape
        (2, 256)

    Reference:
        Orvieto et al., Resurrecting recurrent neural networks for long sequences, 2023,
        arXiv:2303.06349.
    """
    check_positive_integer("hidden_size", hidden_size)
    check_number("min_radius", min_radius, low=0, high=1)
    check_number("max_radius", max_radius, low=min_radius, high=1)
    check_number("max_phase", max_phase, low=1e-6, high=6.3)
    return linear_cell(
        "lru",
        hidden_size,
        gates=("real", "imaginary", "bypass"),
        coefficients=lru_coefficients,
        readout=lru_readout,
        complex_state=True,
        init_params=LRUInit(hidden_size, min_radius, max_radius, max_phase),
    )
