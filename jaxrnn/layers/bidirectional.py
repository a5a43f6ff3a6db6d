"""A layer run in both directions."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.layers.layer import Layer
from jaxrnn.recurrence.arguments import check_sequence
from jaxrnn.recurrence.boundaries import resets_in_direction, valid_steps
from jaxrnn.typing import Key


class Directions(NamedTuple):
    """The params, or the carry, of the two directions."""

    forward: Any
    backward: Any


def bidirectional(layer: Layer) -> Layer:
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
    if not isinstance(layer, Layer):
        raise TypeError(f"layer must be of type Layer, got {layer!r}")

    def init(key: Key, input_size: int) -> Directions:
        forward_key, backward_key = jax.random.split(key)
        return Directions(layer.init(forward_key, input_size), layer.init(backward_key, input_size))

    def initial_carry(params: Directions, batch_size: int) -> Directions:
        return Directions(*(layer.initial_carry(own, batch_size) for own in params))

    def apply(
        params: Directions,
        inputs: Any,
        carry: Directions,
        *,
        lengths: Any = None,
        resets: Any = None,
        reset_carry: Directions | None = None,
        key: Key | None = None,
    ) -> tuple[Any, Directions]:
        given = {"params": params, "carry": carry}
        given |= {} if reset_carry is None else {"reset_carry": reset_carry}
        for name, both in given.items():
            if not isinstance(both, Directions):
                raise TypeError(f"{name} of bidirectional must be Directions, got {both!r}")
        check_sequence(inputs, lengths, resets)
        forward_key, backward_key = (None, None) if key is None else jax.random.split(key)
        restart = Directions(None, None) if reset_carry is None else reset_carry

        valid = valid_steps(lengths, inputs.shape[0])
        before = resets_in_direction(resets, valid, reverse=True)

        def flip(over_time: Any) -> Any:
            return _flip_within(lengths, over_time)

        ahead, forward = layer.apply(
            params.forward,
            inputs,
            carry.forward,
            lengths=lengths,
            resets=resets,
            reset_carry=restart.forward,
            key=forward_key,
        )
        behind, backward = layer.apply(
            params.backward,
            flip(inputs),
            carry.backward,
            lengths=lengths,
            resets=None if before is None else flip(before),
            reset_carry=restart.backward,
            key=backward_key,
        )
        return jnp.concatenate([ahead, flip(behind)], axis=-1), Directions(forward, backward)

    def output_size(input_size: int) -> int:
        return 2 * layer.output_size(input_size)

    return Layer(
        "bidirectional", output_size, init, initial_carry, apply, causal=False, parts=(layer,)
    )


def _flip_within(lengths: Any, over_time: Any) -> Any:
    """Turn each sequence around within its own length; padding stays; its own inverse."""
    if lengths is None:
        return over_time[::-1]
    num_steps, batch_size = over_time.shape[:2]
    time = jnp.arange(num_steps, dtype=jnp.int32)[:, None]
    mirrored = jnp.clip(jnp.asarray(lengths, jnp.int32), 0, num_steps)[None] - 1 - time
    source = jnp.where(mirrored < 0, time, mirrored)
    return jnp.asarray(over_time)[source, jnp.arange(batch_size)[None]]
