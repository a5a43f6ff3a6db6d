"""A function of each step as a layer: activations and normalisation."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.layers.layer import Pointwise
from jaxrnn.typing import Key, Params


@dataclass(frozen=True, repr=False)
class PointwiseFunction(Pointwise):
    """A function applied at every step, made by `pointwise`.

    Examples:
        >>> import jax, jaxrnn
        >>> jaxrnn.pointwise(jax.nn.relu)
        PointwiseFunction(relu)
    """

    function: Callable[[Any], Any]
    """The function."""

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"function must be callable, got {self.function!r}")

    def output_size(self, input_size: int) -> int:
        """Return the size of the function's result for one vector."""
        vectors = jax.ShapeDtypeStruct((1, 1, input_size), jnp.float32)
        outputs = jax.eval_shape(self.function, vectors)
        if outputs.ndim != 3 or outputs.shape[:2] != (1, 1):
            raise ValueError(
                "function must map vectors [T, B, D] to vectors [T, B, F], got shape"
                f" {outputs.shape} for {vectors.shape}"
            )
        return int(outputs.shape[2])

    def init(self, key: Key, input_size: int) -> tuple[()]:
        """Return (): there is nothing to learn."""
        return ()

    def transform(self, params: Params, inputs: Any, key: Key | None) -> Any:
        """Apply the function to all steps at once."""
        return self.function(inputs)

    def _arguments(self) -> Iterator[str]:
        yield getattr(self.function, "__name__", repr(self.function))


def pointwise(function: Callable[[Any], Any]) -> PointwiseFunction:
    """Return a layer that applies a function to the vector of every step.

    Args:
        function: from `[T, B, D]` to `[T, B, F]`, each step and row on its own, such as
            `jax.nn.relu` or `jax.nn.standardize`, which is layer normalisation.

    Returns:
        A Layer that carries nothing and has no parameters.  Like any layer it is hashable, so use a
        named function rather than a new `lambda` each time.

    Raises:
        TypeError: `function` cannot be called.
        ValueError: when the size is asked for, if the function returns another shape.

    Examples:
        >>> import jax, jaxrnn
        >>> layer = jaxrnn.pointwise(jax.nn.relu)
        >>> outputs, _ = layer.apply((), jax.numpy.array([[[-1.0, 2.0]]]))
        >>> outputs.tolist()
        [[[0.0, 2.0]]]
    """
    return PointwiseFunction(function)
