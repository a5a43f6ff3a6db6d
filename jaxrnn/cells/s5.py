"""The diagonal state space layer S5."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrnn.cells.linear_cell import LinearCell, linear_cell, real_product
from jaxrnn.checks import check_number, check_positive_integer
from jaxrnn.typing import Array, Float, Gates, Key


class S5Params(NamedTuple):
    """The own parameters of `s5`; all are real."""

    log_decay: Float[Array, "H"]
    """The real part of each eigenvalue is -exp(log_decay)."""
    frequency: Float[Array, "H"]
    """Its imaginary part."""
    log_step: Float[Array, "H"]
    """The logarithm of the step size Delta of each unit."""
    readout_real: Float[Array, "H H"]
    """The real part of C."""
    readout_imaginary: Float[Array, "H H"]
    """The imaginary part of C."""


@dataclass(frozen=True)
class S5Init:
    """The `init_params` of `s5`."""

    hidden_size: int
    min_step: float
    max_step: float

    def __call__(self, key: Key) -> S5Params:
        """Start from the eigenvalues of HiPPO-LegS, and steps between the given ones."""
        step_key, real_key, imaginary_key = jax.random.split(key, 3)
        size = self.hidden_size
        steps = jax.random.uniform(step_key, (size,))
        log_low, log_high = np.log(self.min_step), np.log(self.max_step)
        scale = (2 * size) ** -0.5
        return S5Params(
            log_decay=jnp.full(size, np.log(0.5), jnp.float32),
            frequency=jnp.asarray(hippo_frequencies(size), jnp.float32),
            log_step=steps * (log_high - log_low) + log_low,
            readout_real=scale * jax.random.normal(real_key, (size, size)),
            readout_imaginary=scale * jax.random.normal(imaginary_key, (size, size)),
        )


def hippo_frequencies(num_pairs: int) -> np.ndarray:
    """Return the imaginary parts > 0 of the eigenvalues of the normal part of HiPPO-LegS.

    That matrix, of 2 * num_pairs rows, is -1/2 on the diagonal plus a skew-symmetric one with
    entries sqrt(n + 1/2) sqrt(k + 1/2) off it; all its eigenvalues have the real part -1/2.
    """
    roots = np.sqrt(np.arange(2 * num_pairs) + 0.5)
    products = np.outer(roots, roots)
    skew = np.triu(products, 1) - np.tril(products, -1)
    return np.linalg.eigvalsh(1j * skew)[num_pairs:]


def s5_coefficients(params: S5Params, input_gates: Gates) -> tuple[Any, Any]:
    """Return (a, b) of one step, discretised with a zero-order hold."""
    real, imaginary, _ = input_gates
    decay, step = -jnp.exp(params.log_decay), jnp.exp(params.log_step)
    eigenvalues = lax.complex(decay, params.frequency)
    exponents = lax.complex(decay * step, params.frequency * step)
    held = jnp.expm1(exponents) / eigenvalues  # a - 1 would lose the digits of small steps
    return jnp.exp(exponents)[None], held[None] * lax.complex(real, imaginary)


def s5_readout(params: S5Params, input_gates: Gates, state: Any) -> Any:
    """Return 2 Re(C state), of conjugate pairs of which one is kept, and what passes by."""
    read = real_product(state, params.readout_real, params.readout_imaginary)
    return 2 * read + input_gates[2]


def s5(hidden_size: int, *, min_step: float = 0.001, max_step: float = 0.1) -> LinearCell:
    """Return an S5 layer's recurrence: a diagonal state space, discretised by a zero-order hold.

        lambda = -exp(log_decay) + i frequency          Delta = exp(log_step)
        a      = exp(lambda Delta)
        s'     = a * s + (a - 1) / lambda * (B x)       B x = i_re + i i_im, complex
        y      = 2 Re(C s') + D x                       i = x W_ih + b_ih

    The units stand for conjugate pairs.  `W_ih` holds the real and the imaginary part of B and the
    matrix D, so that the inputs may have any size; the paper's D is diagonal, and its B has no
    bias.

    Args:
        hidden_size: H, the size of the output and the number of complex units of the state.
        min_step, max_step: the step sizes Delta, drawn uniformly in the logarithm; a unit remembers
            about 2 / Delta steps.

    Returns:
        A linear cell with the gates real, imaginary and bypass, and the carry
        `ComplexCarry(hidden, real, imaginary)`.

    Raises:
        TypeError: `hidden_size` is not an integer, or another argument not a number.
        ValueError: an argument is out of range.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.s5(256).initial_carry(2).imaginary.shape
        (2, 256)

    Reference:
        Smith, Warrington and Linderman, Simplified state space layers for sequence modeling, 2023,
        arXiv:2208.04933.
    """
    check_positive_integer("hidden_size", hidden_size)
    check_number("min_step", min_step, low=1e-9, high=1e9)
    check_number("max_step", max_step, low=min_step, high=1e9)
    return linear_cell(
        "s5",
        hidden_size,
        gates=("real", "imaginary", "bypass"),
        coefficients=s5_coefficients,
        readout=s5_readout,
        complex_state=True,
        init_params=S5Init(hidden_size, min_step, max_step),
    )
