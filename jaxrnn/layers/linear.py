"""Layers that treat every time step by itself."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.checks import check_number, check_positive_integer, wide_ids
from jaxrnn.layers.dropout import dropout_mask
from jaxrnn.layers.initializers import initializer
from jaxrnn.layers.layer import Layer, memoryless
from jaxrnn.matrix import rows_of, times
from jaxrnn.typing import Array, Float, Initializer, Key


class LinearParams(NamedTuple):
    """The parameters of `linear`."""

    kernel: Float[Array, "D F"]
    bias: Float[Array, "F"]


def linear(
    output_size: int,
    *,
    kernel_init: str | Initializer = "uniform",
    bias_init: str | Initializer = "uniform",
) -> Layer:
    """Outputs = inputs kernel + bias, at every step.

    Args:
        output_size: F.
        kernel_init: "normal", "uniform" (+-1/sqrt(D)), "orthogonal", "zeros" or a function
            (key, shape, dtype) -> array.
        bias_init: likewise.

    Returns:
        A Layer that carries nothing; params are `LinearParams`.

    Raises:
        TypeError: `output_size` is not an integer.
        ValueError: `output_size` is below 1, or no initialiser has that name.
    """
    check_positive_integer("output_size", output_size)
    for named in (kernel_init, bias_init):
        initializer(named, 1)

    def init(key: Key, input_size: int) -> LinearParams:
        kernel_key, bias_key = jax.random.split(key)
        init_kernel = initializer(kernel_init, input_size)
        init_bias = initializer(bias_init, input_size)
        return LinearParams(
            init_kernel(kernel_key, (input_size, output_size), jnp.float32),
            init_bias(bias_key, (output_size,), jnp.float32),
        )

    def transform(params: LinearParams, inputs: Any, key: Key | None) -> Any:
        # In the precision of the inputs, if that is lower; the outputs are as precise as params.
        kernel = params.kernel.astype(inputs.dtype)
        return times(inputs, kernel, params.kernel.dtype) + params.bias[None, None]

    return memoryless("linear", lambda input_size: output_size, init, transform)


def embedding(
    size: int, *, table_init: str | Initializer = "normal", dropout: float = 0.0
) -> Layer:
    """A learned vector for every token id.

    Args:
        size: the width of a vector.
        table_init: "normal", "uniform" (+-1/sqrt(size)), ... or a function (key, shape, dtype) ->
            array, for the table `[V, size]`.
        dropout: the rate at which rows of the table are dropped where a `key` is given: a token
            that is dropped is so at all its places in the batch (Gal and Ghahramani, 2016,
            arXiv:1512.05287).

    Returns:
        A Layer from token ids `[T, B]` to vectors `[T, B, size]` that carries nothing; its input
        size is V, its params are the table.  An id out of range is an error where its value can be
        seen, and gives NaN under `jit`.

    Raises:
        TypeError: `size` is not an integer, `dropout` not a number, or the inputs are not integers.
        ValueError: `size` is below 1, `dropout` not in 0..1, no initialiser has that name, or an id
            is out of range.
    """
    check_positive_integer("size", size)
    check_number("dropout", dropout, low=0.0, high=1.0)
    init_table = initializer(table_init, size)

    def init(key: Key, vocab_size: int) -> jax.Array:
        return init_table(key, (vocab_size, size), jnp.float32)

    def transform(table: jax.Array, ids: Any, key: Key | None) -> Any:
        ids = wide_ids("inputs", ids, table.shape[0])
        vectors = rows_of(table, ids)
        if key is None or dropout == 0:
            return vectors
        return vectors * rows_of(dropout_mask(key, dropout, (table.shape[0], 1), table.dtype), ids)

    return memoryless("embedding", lambda input_size: size, init, transform)
