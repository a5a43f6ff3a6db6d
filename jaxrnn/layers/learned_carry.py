"""An initial carry that is learned."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.layers.layer import Layer, check_layer
from jaxrnn.recurrence.boundaries import Context
from jaxrnn.typing import Key, Params


class LearnedCarryParams(NamedTuple):
    """The parameters of `learned_initial_carry`."""

    layer: Params
    """Of the layer itself."""
    carry: Any
    """Where each sequence starts: the layer's carry, without the axis of the batch."""


@dataclass(frozen=True, repr=False)
class LearnedInitialCarry(Layer):
    """A layer whose initial carry is learned, made by `learned_initial_carry`."""

    layer: Layer

    def __post_init__(self) -> None:
        check_layer("layer", self.layer)

    @property
    def causal(self) -> bool:
        """Whether the layer is."""
        return self.layer.causal

    def output_size(self, input_size: int) -> int:
        """Return the layer's."""
        return self.layer.output_size(input_size)

    def init(self, key: Key, input_size: int) -> LearnedCarryParams:
        """Draw the layer's parameters; the carry begins as the layer's own initial carry."""
        params = self.layer.init(key, input_size)
        carry = jax.tree.map(lambda c: c[0], self.layer.initial_carry(params, 1))
        if not jax.tree.leaves(carry):
            raise ValueError(f"layer must carry something to learn, but {self.layer} does not")
        for leaf in jax.tree.leaves(carry):
            if not jnp.issubdtype(leaf.dtype, jnp.floating):
                raise TypeError(f"only a carry of floats can be learned, got {leaf.dtype}")
        return LearnedCarryParams(params, carry)

    def initial_carry(self, params: LearnedCarryParams, batch_size: int) -> Any:
        """Return the learned carry for each row."""
        _check_params(params)
        return jax.tree.map(lambda c: jnp.broadcast_to(c, (batch_size, *c.shape)), params.carry)

    def run(
        self, params: LearnedCarryParams, inputs: Any, carry: Any, context: Context
    ) -> tuple[Any, Any]:
        """Run the layer, as `Layer.run`."""
        _check_params(params)
        if context.resets is not None and context.reset_carry is None:
            context = context._replace(reset_carry=self.initial_carry(params, inputs.shape[1]))
        return self.layer.run(params.layer, inputs, carry, context)

    def parts(self, params: LearnedCarryParams) -> Iterator[tuple[Layer, Params]]:
        """Yield the layer with its parameters."""
        yield self.layer, params.layer


def learned_initial_carry(layer: Layer) -> LearnedInitialCarry:
    """The same layer, whose initial carry is a parameter.

    Sequences start from it where no other carry is given, and resets go back to it; gradients reach
    it from both.

    Args:
        layer: any Layer.

    Returns:
        A Layer with the params `LearnedCarryParams`; what is learned begins as the layer's own
        initial carry.

    Raises:
        TypeError: `layer` is not a Layer; at `init`, what it carries is not of floats.
        ValueError: at `init`, it carries nothing.
    """
    return LearnedInitialCarry(layer)


def _check_params(params: Any) -> None:
    if not isinstance(params, LearnedCarryParams):
        raise TypeError(f"params must be LearnedCarryParams, got {params!r}")
