"""Dropout, as a layer and as a mask."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.checks import check_number
from jaxrnn.layers.layer import Pointwise
from jaxrnn.typing import DType, Key, Params


@dataclass(frozen=True, repr=False)
class Dropout(Pointwise):
    """Dropout between layers, made by `dropout`.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.dropout(0.5, variational=True)
        Dropout(0.5, variational=True)
    """

    rate: float
    """The probability with which a unit is dropped."""
    variational: bool = False
    """One mask for all steps of a sequence."""

    def __post_init__(self) -> None:
        check_number("rate", self.rate, low=0.0, high=1.0)

    def output_size(self, input_size: int) -> int:
        """Return the input size."""
        return input_size

    def init(self, key: Key, input_size: int) -> tuple[()]:
        """Return (): there is nothing to learn."""
        return ()

    def transform(self, params: Params, inputs: Any, key: Key | None) -> Any:
        """Drop units if there is a key."""
        if key is None or self.rate == 0:
            return inputs
        if not jnp.issubdtype(inputs.dtype, jnp.floating):
            raise TypeError(f"inputs of dropout must be floats, got {inputs.dtype}")
        shape = (1, *inputs.shape[1:]) if self.variational else inputs.shape
        return inputs * dropout_mask(key, self.rate, shape, inputs.dtype)


def dropout(rate: float, *, variational: bool = False) -> Dropout:
    """Return a layer that drops units at random and scales the others up by 1 / (1 - rate).

    Args:
        rate: the probability with which a unit is dropped, in 0..1.
        variational: use one mask for all steps of a sequence (Gal and Ghahramani, A theoretically
            grounded application of dropout in recurrent neural networks, 2016, arXiv:1512.05287);
            otherwise each step has its own (Zaremba, Sutskever and Vinyals, Recurrent neural
            network regularization, 2014, arXiv:1409.2329).

    Returns:
        A Layer that carries nothing and has no parameters; without a `key`, it is the identity.  To
        drop rows of an embedding see `embedding`, to drop units of the hidden state from one step
        to the next see `recurrent`.

    Raises:
        TypeError: `rate` is not a number.
        ValueError: `rate` is not in 0..1.

    Examples:
        >>> import jax, jaxrnn
        >>> layer = jaxrnn.dropout(0.5)
        >>> outputs, _ = layer.apply((), jax.numpy.ones((100, 2, 3)), key=jax.random.key(0))
        >>> jax.numpy.unique(outputs).tolist()
        [0.0, 2.0]
    """
    return Dropout(rate, variational)


def dropout_mask(key: Key, rate: float, shape: tuple[int, ...], dtype: DType) -> jax.Array:
    """Return 1 / (1 - rate) where a unit is kept, 0 where it is dropped."""
    if rate == 1:
        return jnp.zeros(shape, dtype)
    kept = jax.random.bernoulli(key, 1 - rate, shape)
    return kept.astype(dtype) * jnp.asarray(1 / (1 - rate), dtype)
