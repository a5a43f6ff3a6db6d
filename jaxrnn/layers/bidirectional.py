"""A layer run in both directions."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.layers.layer import Layer, check_layer
from jaxrnn.recurrence.boundaries import Context, flip_within, resets_in_direction, valid_steps
from jaxrnn.typing import Key, Params


class Directions(NamedTuple):
    """The params, or the carry, of the two directions."""

    forward: Any
    backward: Any


@dataclass(frozen=True, repr=False)
class Bidirectional(Layer):
    """A layer run in both directions, made by `bidirectional`."""

    layer: Layer

    def __post_init__(self) -> None:
        check_layer("layer", self.layer)

    @property
    def causal(self) -> bool:
        """False: the backward direction has read all that follows."""
        return False

    def output_size(self, input_size: int) -> int:
        """Return twice the layer's."""
        return 2 * self.layer.output_size(input_size)

    def init(self, key: Key, input_size: int) -> Directions:
        """Draw the parameters of each direction."""
        return Directions(*(self.layer.init(k, input_size) for k in jax.random.split(key)))

    def initial_carry(self, params: Directions, batch_size: int) -> Directions:
        """Return the carry of each direction."""
        _check_directions("params", params)
        return Directions(*(self.layer.initial_carry(own, batch_size) for own in params))

    def run(
        self, params: Directions, inputs: Any, carry: Directions, context: Context
    ) -> tuple[Any, Directions]:
        """Run the layer, as `Layer.run`."""
        reset_carry = context.reset_carry
        restart = Directions(None, None) if reset_carry is None else reset_carry
        given = {"params": params, "carry": carry, "reset_carry": restart}
        for name, both in given.items():
            _check_directions(name, both)
        keys = (None, None) if context.key is None else jax.random.split(context.key)
        lengths = context.lengths
        before = resets_in_direction(
            context.resets, valid_steps(lengths, inputs.shape[0]), reverse=True
        )
        ahead, forward = self.layer.run(
            params.forward,
            inputs,
            carry.forward,
            context._replace(reset_carry=restart.forward, key=keys[0]),
        )
        behind, backward = self.layer.run(
            params.backward,
            flip_within(lengths, inputs),
            carry.backward,
            context._replace(
                resets=None if before is None else flip_within(lengths, before),
                reset_carry=restart.backward,
                key=keys[1],
            ),
        )
        if context.return_carries:
            backward = flip_within(lengths, backward)
        outputs = jnp.concatenate([ahead, flip_within(lengths, behind)], axis=-1)
        return outputs, Directions(forward, backward)

    def parts(self, params: Directions) -> Iterator[tuple[Layer, Params]]:
        """Yield the layer with the parameters of each direction."""
        yield from ((self.layer, own) for own in params)


def bidirectional(layer: Layer) -> Bidirectional:
    """Two copies of a layer, one reading forward, one backward; outputs side by side.

    The backward copy reads each sequence from its own last step (see `lengths`) to its first, and
    meets each reset from the other side of its boundary.

    Args:
        layer: any Layer; each direction gets parameters of its own.

    Returns:
        A Layer of twice the output size that is not causal; params and carry are `Directions`.

    Raises:
        TypeError: `layer` is not a Layer.

    Reference: Schuster and Paliwal, Bidirectional recurrent neural networks, 1997.
    """
    return Bidirectional(layer)


def _check_directions(name: str, both: Any) -> None:
    if not isinstance(both, Directions):
        raise TypeError(f"{name} of bidirectional must be Directions, got {both!r}")
