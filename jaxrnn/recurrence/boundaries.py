"""Where sequences end and start again: masks over time, and what is done with them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Context(NamedTuple):
    """What travels beside the inputs through all layers; None where there is none."""

    lengths: Any = None
    """int `[B]`: the valid steps of each sequence."""
    resets: Any = None
    """bool `[T, B]`: where a sequence starts again."""
    reset_carry: Any = None
    """What it starts again from."""
    key: Any = None
    """For dropout."""
    return_carries: bool = False
    """Whether layers return the carry after every step."""


def valid_steps(lengths: Any, num_steps: int) -> Any:
    """Return the valid steps, bool `[T, B]`, of lengths `[B]`; None where all are."""
    if lengths is None:
        return None
    return jnp.arange(num_steps, dtype=jnp.int32)[:, None] < jnp.asarray(lengths, jnp.int32)[None]


def resets_in_direction(resets: Any, valid: Any, reverse: bool) -> Any:
    """Return the resets at valid steps, before the step at which the run meets them.

    `resets[t]` is a boundary between `t - 1` and `t`: a reversed run meets it before step `t - 1`.
    """
    if resets is None:
        return None
    if valid is not None:
        resets = resets & valid
    if reverse:
        resets = jnp.concatenate([resets[1:], jnp.zeros_like(resets[:1])])
    return resets


def where_rows(mask: Any, chosen: Any, other: Any) -> Any:
    """Return `chosen` where the mask of the leading axes is True, else `other`; trees of arrays."""

    def where(a: Any, b: Any) -> Any:
        return jnp.where(mask.reshape(mask.shape + (1,) * (b.ndim - mask.ndim)), a, b)

    return jax.tree.map(where, chosen, other)


def flip_within(lengths: Any, over_time: Any) -> Any:
    """Reverse each sequence within its own length; padding stays in place; its own inverse."""

    def flip(x: Any) -> Any:
        if lengths is None:
            return x[::-1]
        num_steps, batch_size = x.shape[:2]
        time = jnp.arange(num_steps, dtype=jnp.int32)[:, None]
        mirrored = jnp.clip(jnp.asarray(lengths, jnp.int32), 0, num_steps)[None] - 1 - time
        source = jnp.where(mirrored < 0, time, mirrored)
        return jnp.asarray(x)[source, jnp.arange(batch_size)[None]]

    return jax.tree.map(flip, over_time)


def zero_padding(valid: Any, over_time: Any) -> Any:
    """Return `over_time` `[T, B, ...]` with zeros at invalid steps."""
    return over_time if valid is None else where_rows(valid, over_time, jnp.zeros_like(over_time))


def fill_padding(valid: Any, over_time: Any) -> Any:
    """Replace each padding step by the row's first valid step.

    Zeros would do for a cell whose derivative is finite there; a normalised one's may not be, and
    0 * inf would reach the gradients of what it shares with valid steps.  Rows without a valid step
    get `regular_values`.  Each row independently: rows may lie on different devices.
    """
    if valid is None:
        return over_time
    mask = valid.reshape(valid.shape + (1,) * (over_time.ndim - 2))
    first = jnp.argmax(mask, axis=0, keepdims=True)
    own = jnp.take_along_axis(over_time, first, axis=0, mode="clip")
    own = jnp.where(mask.any(axis=0, keepdims=True), own, regular_values(own))
    return jnp.where(mask, over_time, own)


def regular_values(array: Any) -> Any:
    """Return values of this shape and type at which no cell is singular.

    A ramp of floats, whose variance is not zero; ids of 0.
    """
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return jnp.zeros_like(array)
    ramp = jnp.linspace(0.5, 1, array.shape[-1], dtype=array.dtype)
    return jnp.broadcast_to(ramp.reshape((1,) * (array.ndim - 1) + (-1,)), array.shape)
