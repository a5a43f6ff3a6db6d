"""Dropout between layers."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.checks import check_number
from jaxrnn.layers.layer import Layer, memoryless
from jaxrnn.typing import DType, Key, Params


def dropout(rate: float, *, variational: bool = False) -> Layer:
    """Drop units at random where a `key` is given, and scale the others up by 1 / (1 - rate).

    Args:
        rate: the probability with which a unit is dropped, in 0..1.
        variational: one mask for all steps of a sequence (Gal and Ghahramani, A theoretically
            grounded application of dropout in recurrent neural networks, 2016, arXiv:1512.05287);
            otherwise each step has its own (Zaremba, Sutskever and Vinyals, Recurrent neural
            network regularization, 2014, arXiv:1409.2329).

    Returns:
        A Layer that carries nothing and has no parameters; without a key, the identity.  For the
        rows of an embedding see `embedding`, for what a recurrent layer hands on in time
        `recurrent`.

    Raises:
        TypeError: `rate` is not a number.
        ValueError: it is not in 0..1.
    """
    check_number("rate", rate, low=0.0, high=1.0)

    def init(key: Key, input_size: int) -> tuple[()]:
        return ()

    def transform(params: Params, inputs: Any, key: Key | None) -> Any:
        if key is None or rate == 0:
            return inputs
        if not jnp.issubdtype(inputs.dtype, jnp.floating):
            raise TypeError(f"inputs of dropout must be floats, got {inputs.dtype}")
        shape = (1, *inputs.shape[1:]) if variational else inputs.shape
        return inputs * dropout_mask(key, rate, shape, inputs.dtype)

    return memoryless(
        "dropout", lambda input_size: input_size, init, transform, parts=(rate, variational)
    )


def dropout_mask(key: Key, rate: float, shape: tuple[int, ...], dtype: DType) -> jax.Array:
    """1 / (1 - rate) where a unit is kept, 0 where it is dropped."""
    if rate == 1:
        return jnp.zeros(shape, dtype)
    kept = jax.random.bernoulli(key, 1 - rate, shape)
    return kept.astype(dtype) * jnp.asarray(1 / (1 - rate), dtype)
