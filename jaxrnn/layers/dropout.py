"""Dropout between layers."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.checks import check_number
from jaxrnn.layers.layer import Pointwise
from jaxrnn.typing import DType, Key, Params


@dataclass(frozen=True, repr=False)
class Dropout(Pointwise):
    """Dropout between layers, made by `dropout`."""

    rate: float
    variational: bool = False

    def __post_init__(self) -> None:
        check_number("rate", self.rate, low=0.0, high=1.0)

    def output_size(self, input_size: int) -> int:
        """Return the same size."""
        return input_size

    def init(self, key: Key, input_size: int) -> tuple[()]:
        """Return (): there is nothing to learn."""
        return ()

    def transform(self, params: Params, inputs: Any, key: Key | None) -> Any:
        """Drop units where there is a key."""
        if key is None or self.rate == 0:
            return inputs
        if not jnp.issubdtype(inputs.dtype, jnp.floating):
            raise TypeError(f"inputs of dropout must be floats, got {inputs.dtype}")
        shape = (1, *inputs.shape[1:]) if self.variational else inputs.shape
        return inputs * dropout_mask(key, self.rate, shape, inputs.dtype)


def dropout(rate: float, *, variational: bool = False) -> Dropout:
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
    return Dropout(rate, variational)


def dropout_mask(key: Key, rate: float, shape: tuple[int, ...], dtype: DType) -> jax.Array:
    """Return 1 / (1 - rate) where a unit is kept, 0 where it is dropped."""
    if rate == 1:
        return jnp.zeros(shape, dtype)
    kept = jax.random.bernoulli(key, 1 - rate, shape)
    return kept.astype(dtype) * jnp.asarray(1 / (1 - rate), dtype)
