"""Initialisers by name; functions from `jax.nn.initializers` may be used instead."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxrnn.checks import check_choice, check_positive_integer
from jaxrnn.typing import DType, Initializer, Key

NAMES = ("normal", "uniform", "orthogonal", "identity", "zeros")


def initializer(init: str | Initializer, size: int) -> Initializer:
    """Return the initialiser with the given name.

    Args:
        init: "normal": N(0, 0.01^2), as in "Dive into Deep Learning"; "uniform": U(-1/sqrt(size),
            1/sqrt(size)), as in PyTorch; "orthogonal": a matrix with orthonormal rows or columns
            (Saxe, McClelland and Ganguli, 2013, arXiv:1312.6120); "identity": the identity matrix,
            as for the recurrent weights of an IRNN (Le, Jaitly and Hinton, 2015, arXiv:1504.00941);
            "zeros"; or a function (key, shape, dtype) -> array, which is returned unchanged.
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
        "identity": identity,
        "zeros": jax.nn.initializers.zeros,
    }[init]


def check_initializer(init: str | Initializer) -> None:
    """Raise unless `init` is a function or the name of an initialiser."""
    if not callable(init):
        check_choice("init", init, NAMES)


def check_bias_initializer(init: str | Initializer) -> None:
    """Raise unless `init` is a function or the name of an initialiser of vectors."""
    check_initializer(init)
    if init in ("identity", "orthogonal"):
        raise ValueError(f'bias_init must not be "{init}", which is a matrix')


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


def identity(key: Key, shape: tuple[int, ...], dtype: DType = jnp.float32) -> jax.Array:
    """Return the identity matrix of a shape.

    Examples:
        >>> import jax
        >>> from jaxrnn.layers.initializers import identity
        >>> identity(jax.random.key(0), (2, 3)).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    del key
    num_rows, num_columns = shape
    return jnp.eye(num_rows, num_columns, dtype=dtype)


@dataclass(frozen=True)
class Chrono:
    """The initialiser made by `chrono`.

    Examples:
        >>> from jaxrnn.layers.initializers import Chrono
        >>> Chrono(784) == Chrono(784)
        True
    """

    max_steps: int
    """The longest memory, in time steps."""

    def __call__(self, key: Key, shape: tuple[int, ...], dtype: DType = jnp.float32) -> jax.Array:
        """Draw biases of forget gates."""
        return jnp.log(jax.random.uniform(key, shape, dtype, 1, self.max_steps - 1))


def chrono(max_steps: int) -> Chrono:
    """Return the `forget_gate_bias` for memories that last up to a number of time steps.

    A gate with bias log(t) forgets within about t steps.  The biases are log(u), with u drawn
    uniformly from 1..max_steps - 1; an input gate gets the negative of its forget gate's bias.

    Args:
        max_steps: the length of the longest dependency to learn, at least 3.

    Raises:
        TypeError: `max_steps` is not an integer.
        ValueError: `max_steps` is below 3.

    Examples:
        >>> import jax, jaxrnn
        >>> layer = jaxrnn.recurrent(jaxrnn.lstm(8), forget_gate_bias=jaxrnn.layers.chrono(784))
        >>> params = layer.init(jax.random.key(0), 1)
        >>> bool((params.b_ih[8:16] == -params.b_ih[:8]).all())
        True

    Reference:
        Tallec and Ollivier, Can recurrent neural networks warp time?, 2018, arXiv:1804.11188.
    """
    check_positive_integer("max_steps", max_steps)
    if max_steps < 3:
        raise ValueError(f"max_steps must be at least 3, got {max_steps}")
    return Chrono(max_steps)
