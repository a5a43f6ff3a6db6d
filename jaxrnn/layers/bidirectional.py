"""A layer run in both directions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.checks import check_choice
from jaxrnn.layers.layer import Layer, check_layer
from jaxrnn.recurrence.boundaries import Context, flip_within, resets_in_direction, valid_steps
from jaxrnn.typing import Key, Params


class Directions(NamedTuple):
    """The params, or the carry, of both directions of `bidirectional`."""

    forward: Any
    """The part of the copy that reads from the first step to the last."""
    backward: Any
    """The part of the copy that reads from the last step to the first."""


def _concatenate(forward: jax.Array, backward: jax.Array) -> jax.Array:
    return jnp.concatenate([forward, backward], axis=-1)


def _mean(forward: jax.Array, backward: jax.Array) -> jax.Array:
    return (forward + backward) / 2


MERGES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "concat": _concatenate,
    "sum": jnp.add,
    "mean": _mean,
    "product": jnp.multiply,
}
"""The ways to merge the outputs of both directions."""


@dataclass(frozen=True, repr=False)
class Bidirectional(Layer):
    """A layer run in both directions, made by `bidirectional`.

    Examples:
        >>> import jaxrnn
        >>> both = jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.gru(16)))
        >>> both.layer, both.causal
        (Recurrent(gru(16)), False)
    """

    layer: Layer
    """The layer that each direction runs a copy of."""
    merge: str = "concat"
    """How the outputs of both directions become one: a key of `MERGES`."""

    def __post_init__(self) -> None:
        check_layer("layer", self.layer)
        check_choice("merge", self.merge, tuple(MERGES))

    @property
    def causal(self) -> bool:
        """False, because the backward direction reads later inputs first."""
        return False

    def output_size(self, input_size: int) -> int:
        """Return the output size of the layer, or twice that if the outputs are concatenated."""
        return self.layer.output_size(input_size) * (2 if self.merge == "concat" else 1)

    def init(self, key: Key, input_size: int) -> Directions:
        """Draw the parameters of each direction."""
        return Directions(*(self.layer.init(k, input_size) for k in jax.random.split(key)))

    def initial_carry(self, params: Directions, batch_size: int) -> Directions:
        """Return the initial carry of each direction."""
        _check_directions("params", params)
        return Directions(*(self.layer.initial_carry(p, batch_size) for p in params))

    def run(
        self, params: Directions, inputs: Any, carry: Directions, context: Context
    ) -> tuple[Any, Directions]:
        """Run the layer, as `Layer.run` does."""
        forward, backward = _in_directions(params, inputs, carry, context)
        forward_outputs, forward_carry = self.layer.run(*forward)
        backward_outputs, backward_carry = self.layer.run(*backward)
        backward_outputs = flip_within(context.lengths, backward_outputs)
        outputs = MERGES[self.merge](forward_outputs, backward_outputs)
        return outputs, _in_time(forward_carry, backward_carry, context)

    def run_to_end(
        self, params: Directions, inputs: Any, carry: Directions, context: Context
    ) -> tuple[Any, Directions]:
        """Run the layer, as `Layer.run_to_end` does: each direction to its own end."""
        forward, backward = _in_directions(params, inputs, carry, context)
        forward_output, forward_carry = self.layer.run_to_end(*forward)
        backward_output, backward_carry = self.layer.run_to_end(*backward)
        output = MERGES[self.merge](forward_output, backward_output)
        return output, _in_time(forward_carry, backward_carry, context)

    def parts(self, params: Directions) -> Iterator[tuple[Layer, Params]]:
        """Yield the layer with the parameters of each direction."""
        yield from ((self.layer, p) for p in params)


def _in_time(forward: Any, backward: Any, context: Context) -> Directions:
    """Return the carries of both directions; those of all steps in the order of time."""
    if context.return_carries:
        backward = flip_within(context.lengths, backward)
    return Directions(forward, backward)


def _in_directions(
    params: Directions, inputs: Any, carry: Directions, context: Context
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return (params, inputs, carry, context) of each direction; the backward one is flipped."""
    reset_carry = context.reset_carry
    reset_carry = Directions(None, None) if reset_carry is None else reset_carry
    pairs = {"params": params, "carry": carry, "reset_carry": reset_carry}
    for name, pair in pairs.items():
        _check_directions(name, pair)
    keys = (None, None) if context.key is None else jax.random.split(context.key)
    lengths = context.lengths
    resets = resets_in_direction(
        context.resets, valid_steps(lengths, inputs.shape[0]), reverse=True
    )
    forward = context._replace(reset_carry=reset_carry.forward, key=keys[0])
    backward = context._replace(
        resets=None if resets is None else flip_within(lengths, resets),
        reset_carry=reset_carry.backward,
        key=keys[1],
    )
    return (
        (params.forward, inputs, carry.forward, forward),
        (params.backward, flip_within(lengths, inputs), carry.backward, backward),
    )


def bidirectional(layer: Layer, *, merge: str = "concat") -> Bidirectional:
    """Return a layer that runs a copy of `layer` in each direction and merges the outputs.

    The backward copy reads each sequence from its own last valid step (see `lengths`) to its first,
    and meets each reset from the other side of its boundary.

    Args:
        layer: any Layer; each direction gets its own parameters.
        merge: how the outputs of both directions become one: "concat" (forward first), "sum",
            "mean" or "product".

    Returns:
        A Layer that is not causal, of twice the output size if the outputs are concatenated;
        params and carry are `Directions`.

    Raises:
        TypeError: `layer` is not a Layer.
        ValueError: there is no such way to merge outputs.

    Reference:
        Schuster and Paliwal, Bidirectional recurrent neural networks, 1997.

    Examples:
        >>> import jax, jaxrnn
        >>> layer = jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.lstm(8)))
        >>> params = layer.init(jax.random.key(0), 3)
        >>> outputs, carry = layer.apply(params, jax.numpy.ones((5, 2, 3)))
        >>> outputs.shape, carry.backward.memory.shape
        ((5, 2, 16), (2, 8))
    """
    return Bidirectional(layer, merge)


def _check_directions(name: str, pair: Any) -> None:
    if not isinstance(pair, Directions):
        raise TypeError(f"{name} of bidirectional must be Directions, got {pair!r}")
