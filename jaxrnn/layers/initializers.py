"""Initialisers by name; functions from `jax.nn.initializers` may be used instead."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxrnn.checks import check_choice
from jaxrnn.typing import DType, Initializer, Key

NAMES = ("normal", "uniform", "orthogonal", "zeros")


def initializer(init: str | Initializer, size: int) -> Initializer:
    """Return the initialiser with the given name.

    Args:
        init: "normal": N(0, 0.01^2), as in "Dive into Deep Learning"; "uniform": U(-1/sqrt(size),
            1/sqrt(size)), as in PyTorch; "orthogonal": a matrix with orthonormal rows or columns
            (Saxe, McClelland and Ganguli, 2013, arXiv:1312.6120); "zeros"; or a function
            (key, shape, dtype) -> array, which is returned unchanged.
        size: the number of units that "uniform" divides by: H for all of a recurrent layer, the
            input size for a linear one.

    Raises:
        ValueError: no initialiser has that name.

    Examples:
        >>> import jax, jaxrnn
        >>> draw = jaxrnn.layers.initializer("uniform", 16)
        >>> draw(jax.random.key(0), (16, 4), jax.numpy.float32).shape
        (16, 4)
    """
    check_initializer(init)
    if callable(init):
        return init
    if init == "uniform":
        return SymmetricUniform(size**-0.5)
    return {
        "normal": jax.nn.initializers.normal(0.01),
        "orthogonal": jax.nn.initializers.orthogonal(),
        "zeros": jax.nn.initializers.zeros,
    }[init]


def check_initializer(init: str | Initializer) -> None:
    """Raise unless `init` is a function or the name of an initialiser."""
    if not callable(init):
        check_choice("init", init, NAMES)


@dataclass(frozen=True)
class SymmetricUniform:
    """The initialiser that draws from U(-bound, bound).

    Examples:
        >>> import jax
        >>> from jaxrnn.layers.initializers import SymmetricUniform
        >>> SymmetricUniform(0.1)(jax.random.key(0), (2, 3)).shape
        (2, 3)
    """

    bound: float
    """The largest absolute value."""

    def __call__(self, key: Key, shape: tuple[int, ...], dtype: DType = jnp.float32) -> jax.Array:
        """Draw an array of the given shape."""
        return jax.random.uniform(key, shape, dtype, minval=-self.bound, maxval=self.bound)
