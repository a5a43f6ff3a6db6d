"""Linear layers and embeddings, which treat every time step independently."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.checks import check_number, check_positive_integer, widen_ids
from jaxrnn.layers.dropout import dropout_mask
from jaxrnn.layers.initializers import check_bias_initializer, check_initializer, initializer
from jaxrnn.layers.layer import Pointwise
from jaxrnn.matmul import gather_rows, matmul
from jaxrnn.typing import Array, Float, Initializer, Key


class LinearParams(NamedTuple):
    """The parameters of `linear`."""

    kernel: Float[Array, "D F"]
    """The matrix that inputs are multiplied by."""
    bias: Float[Array, "F"]
    """The vector that is added to the products."""


@dataclass(frozen=True, repr=False)
class Linear(Pointwise):
    """A matrix product and a bias at every step, made by `linear`.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.linear(28, bias_init="zeros")
        Linear(28, bias_init='zeros')
    """

    size: int
    """The output size, F."""
    kernel_init: str | Initializer = "uniform"
    """The kernel's initialiser."""
    bias_init: str | Initializer = "uniform"
    """The bias's initialiser."""

    def __post_init__(self) -> None:
        check_positive_integer("output_size", self.size)
        check_initializer(self.kernel_init)
        check_bias_initializer(self.bias_init)

    def output_size(self, input_size: int) -> int:
        """Return F, for inputs of any size."""
        return self.size

    def init(self, key: Key, input_size: int) -> LinearParams:
        """Draw the kernel and the bias."""
        kernel_key, bias_key = jax.random.split(key)
        init_kernel = initializer(self.kernel_init, input_size)
        init_bias = initializer(self.bias_init, input_size)
        return LinearParams(
            init_kernel(kernel_key, (input_size, self.size), jnp.float32),
            init_bias(bias_key, (self.size,), jnp.float32),
        )

    def transform(self, params: LinearParams, inputs: Any, key: Key | None) -> Any:
        """Multiply in the inputs' precision; accumulate and return in the params'."""
        if not jnp.issubdtype(inputs.dtype, jnp.floating):
            raise TypeError(f"inputs of a linear layer must be floats, got {inputs.dtype}")
        if inputs.ndim != 3:
            raise ValueError(f"inputs of a linear layer must be [T, B, D], got {inputs.shape}")
        kernel = params.kernel.astype(inputs.dtype)
        return matmul(inputs, kernel, params.kernel.dtype) + params.bias[None, None]


def linear(
    output_size: int,
    *,
    kernel_init: str | Initializer = "uniform",
    bias_init: str | Initializer = "uniform",
) -> Linear:
    """Return a layer that computes inputs @ kernel + bias at every step.

    Args:
        output_size: F.
        kernel_init: "normal", "uniform" (+-1/sqrt(D)), "orthogonal", "zeros" or a function
            (key, shape, dtype) -> array.
        bias_init: likewise, but not "orthogonal".

    Returns:
        A Layer that carries nothing; params are `LinearParams`.

    Raises:
        TypeError: `output_size` is not an integer.
        ValueError: `output_size` is below 1, or no initialiser has that name.

    Examples:
        >>> import jax, jaxrnn
        >>> layer = jaxrnn.linear(4)
        >>> params = layer.init(jax.random.key(0), 3)
        >>> outputs, _ = layer.apply(params, jax.numpy.ones((5, 2, 3)))
        >>> outputs.shape
        (5, 2, 4)
    """
    return Linear(output_size, kernel_init, bias_init)


@dataclass(frozen=True, repr=False)
class Embedding(Pointwise):
    """A learned vector for every token id, made by `embedding`.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.embedding(8, dropout=0.1)
        Embedding(8, dropout=0.1)
    """

    size: int
    """The width of a vector."""
    table_init: str | Initializer = "normal"
    """The table's initialiser."""
    dropout: float = 0.0
    """The rate at which tokens are dropped."""

    def __post_init__(self) -> None:
        check_positive_integer("size", self.size)
        check_number("dropout", self.dropout, low=0.0, high=1.0)
        check_initializer(self.table_init)

    def output_size(self, input_size: int) -> int:
        """Return the width of a vector."""
        return self.size

    def init(self, key: Key, input_size: int) -> jax.Array:
        """Draw the table, one row per token."""
        return initializer(self.table_init, self.size)(key, (input_size, self.size), jnp.float32)

    def transform(self, params: jax.Array, inputs: Any, key: Key | None) -> Any:
        """Gather the rows of the ids, and drop some if there is a key."""
        vocab_size = params.shape[0]
        ids = widen_ids("inputs", inputs, vocab_size)
        vectors = gather_rows(params, ids)
        if key is None or self.dropout == 0:
            return vectors
        return vectors * gather_rows(
            dropout_mask(key, self.dropout, (vocab_size, 1), params.dtype), ids
        )


def embedding(
    size: int, *, table_init: str | Initializer = "normal", dropout: float = 0.0
) -> Embedding:
    """Return a layer that looks up a learned vector for every token id.

    Args:
        size: the width of a vector.
        table_init: "normal", "uniform" (+-1/sqrt(size)), ... or a function (key, shape, dtype) ->
            array, for the table `[V, size]`.
        dropout: the rate at which rows of the table are dropped if a `key` is given.  A dropped
            token is dropped everywhere in the batch (Gal and Ghahramani, 2016, arXiv:1512.05287).

    Returns:
        A Layer from token ids `[T, B]` to vectors `[T, B, size]` that carries nothing.  Its input
        size is V, and its params are the table.  An id out of range raises an error if it is
        concrete, and gives NaN under `jit`.

    Raises:
        TypeError: `size` is not an integer, `dropout` not a number, or the inputs are not integers.
        ValueError: `size` is below 1, `dropout` not in 0..1, no initialiser has that name, or an id
            is out of range.

    Examples:
        >>> import jax, jaxrnn
        >>> layer = jaxrnn.embedding(8)
        >>> table = layer.init(jax.random.key(0), 28)
        >>> vectors, _ = layer.apply(table, jax.numpy.array([[3], [1]]))
        >>> table.shape, vectors.shape
        ((28, 8), (2, 1, 8))
    """
    return Embedding(size, table_init, dropout)
