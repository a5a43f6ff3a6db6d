"""Where sequences end and start again, as masks over time."""

from typing import Any

import jax.numpy as jnp


def valid_steps(lengths: Any, num_steps: int) -> Any:
    """The steps that count: bool `[T, B]` of lengths `[B]`, or None where all do."""
    if lengths is None:
        return None
    return jnp.arange(num_steps, dtype=jnp.int32)[:, None] < jnp.asarray(lengths, jnp.int32)[None]


def resets_in_direction(resets: Any, valid: Any, reverse: bool) -> Any:
    """The resets that count, before the step at which the run meets them.

    `resets[t]` is a boundary between `t - 1` and `t`: a reversed run meets it before step `t - 1`.
    """
    if resets is None:
        return None
    if valid is not None:
        resets = resets & valid
    if reverse:
        resets = jnp.concatenate([resets[1:], jnp.zeros_like(resets[:1])])
    return resets


def zero_padding(valid: Any, over_time: Any) -> Any:
    """`over_time` `[T, B, ...]` with zeros where a step does not count."""
    if valid is None:
        return over_time
    mask = valid.reshape(valid.shape + (1,) * (over_time.ndim - 2))
    return jnp.where(mask, over_time, jnp.zeros_like(over_time))


def fill_padding(valid: Any, over_time: Any) -> Any:
    """`over_time` with a step of the same row that counts in place of those that do not.

    Zeros would do for a cell whose derivative is finite there; a normalised one's may not be, and
    0 * inf would reach the gradients of what it shares with the steps that count.  A row without
    any that counts gets what is `harmless`.  Each row by itself: rows may lie on different devices.
    """
    if valid is None:
        return over_time
    counting = valid.reshape(valid.shape + (1,) * (over_time.ndim - 2))
    first = jnp.argmax(counting, axis=0, keepdims=True)
    own = jnp.take_along_axis(over_time, first, axis=0, mode="clip")
    own = jnp.where(counting.any(axis=0, keepdims=True), own, harmless(own))
    return jnp.where(counting, over_time, own)


def harmless(array: Any) -> Any:
    """Values of this shape and type where no cell is singular: a ramp, not zeros; ids of 0."""
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return jnp.zeros_like(array)
    ramp = jnp.linspace(0.5, 1, array.shape[-1], dtype=array.dtype)
    return jnp.broadcast_to(ramp.reshape((1,) * (array.ndim - 1) + (-1,)), array.shape)
