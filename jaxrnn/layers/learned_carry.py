"""Layers whose initial carry is learned."""

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
    """The layer's own parameters."""
    carry: Any
    """The carry that each sequence starts from, without a batch axis."""


@dataclass(frozen=True, repr=False)
class LearnedInitialCarry(Layer):
    """A layer whose initial carry is learned, made by `learned_initial_carry`.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.learned_initial_carry(jaxrnn.recurrent(jaxrnn.gru(8))).layer
        Recurrent(gru(8))
    """

    layer: Layer
    """The layer that starts from the learned carry."""

    def __post_init__(self) -> None:
        check_layer("layer", self.layer)

    @property
    def causal(self) -> bool:
        """True if the layer inside is causal."""
        return self.layer.causal

    def output_size(self, input_size: int) -> int:
        """Return the output size of the layer."""
        return self.layer.output_size(input_size)

    def init(self, key: Key, input_size: int) -> LearnedCarryParams:
        """Draw the layer's parameters; the learned carry begins as its initial carry."""
        params = self.layer.init(key, input_size)
        carry = jax.tree.map(lambda c: c[0], self.layer.initial_carry(params, 1))
        if not jax.tree.leaves(carry):
            raise ValueError(f"layer must have a carry to learn, got {self.layer} with none")
        for leaf in jax.tree.leaves(carry):
            if not jnp.issubdtype(leaf.dtype, jnp.floating):
                raise TypeError(f"layer must have a carry of floats to learn, got {leaf.dtype}")
        return LearnedCarryParams(params, carry)

    def initial_carry(self, params: LearnedCarryParams, batch_size: int) -> Any:
        """Return the learned carry, once per row."""
        _check_params(params)
        return jax.tree.map(lambda c: jnp.broadcast_to(c, (batch_size, *c.shape)), params.carry)

    def run(
        self, params: LearnedCarryParams, inputs: Any, carry: Any, context: Context
    ) -> tuple[Any, Any]:
        """Run the layer, as `Layer.run` does."""
        context = self._with_reset_carry(params, inputs, context)
        return self.layer.run(params.layer, inputs, carry, context)

    def run_to_end(
        self, params: LearnedCarryParams, inputs: Any, carry: Any, context: Context
    ) -> tuple[Any, Any]:
        """Run the layer, as `Layer.run_to_end` does."""
        context = self._with_reset_carry(params, inputs, context)
        return self.layer.run_to_end(params.layer, inputs, carry, context)

    def _with_reset_carry(
        self, params: LearnedCarryParams, inputs: Any, context: Context
    ) -> Context:
        _check_params(params)
        if context.resets is None or context.reset_carry is not None:
            return context
        return context._replace(reset_carry=self.initial_carry(params, inputs.shape[1]))

    def parts(self, params: LearnedCarryParams) -> Iterator[tuple[Layer, Params]]:
        """Yield the layer with its parameters."""
        yield self.layer, params.layer


def learned_initial_carry(layer: Layer) -> LearnedInitialCarry:
    """Return a layer like `layer` whose initial carry is a parameter.

    Sequences start from it unless another carry is given, and resets return to it.  Both contribute
    to its gradient.

    Args:
        layer: any Layer.

    Returns:
        A Layer whose params are `LearnedCarryParams`; the learned carry begins as the layer's own
        initial carry.

    Raises:
        TypeError: `layer` is not a Layer; at `init`, its carry has arrays that are not floats.
        ValueError: at `init`, it carries nothing.

    Examples:
        >>> import jax, jaxrnn
        >>> layer = jaxrnn.learned_initial_carry(jaxrnn.recurrent(jaxrnn.gru(8)))
        >>> params = layer.init(jax.random.key(0), 3)
        >>> params.carry.hidden.shape, layer.initial_carry(params, 2).hidden.shape
        ((8,), (2, 8))
    """
    return LearnedInitialCarry(layer)


def _check_params(params: Any) -> None:
    if not isinstance(params, LearnedCarryParams):
        raise TypeError(f"params must be LearnedCarryParams, got {params!r}")
