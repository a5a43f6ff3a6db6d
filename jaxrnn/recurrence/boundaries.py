"""Ends and restarts of sequences as masks over time; the loop of `scan.py` applies them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Context(NamedTuple):
    """The arguments that travel through all layers along with the inputs."""

    lengths: Any = None
    """int `[B]`: the number of valid steps of each sequence; None means all."""
    resets: Any = None
    """bool `[T, B]`: where a sequence restarts; None means nowhere."""
    reset_carry: Any = None
    """The carry that it restarts from; None means the initial one."""
    key: Any = None
    """The key for dropout; None means no dropout."""
    return_carries: bool = False
    """Whether layers return the carry after every step."""


def valid_steps(lengths: Any, num_steps: int) -> Any:
    """Return a mask of the valid steps, bool `[T, B]`; None where `lengths` is None."""
    if lengths is None:
        return None
    return jnp.arange(num_steps, dtype=jnp.int32)[:, None] < jnp.asarray(lengths, jnp.int32)[None]


def resets_in_direction(resets: Any, valid: Any, reverse: bool) -> Any:
    """Return the resets at valid steps, each at the step before which the run applies it.

    `resets[t]` is a boundary between `t - 1` and `t`.  A reversed run meets it before step `t - 1`.
    """
    if resets is None:
        return None
    if valid is not None:
        resets = resets & valid
    if reverse:
        resets = jnp.concatenate([resets[1:], jnp.zeros_like(resets[:1])])
    return resets


def where_rows(mask: Any, chosen: Any, other: Any) -> Any:
    """Return `chosen` where the mask of the leading axes is True, else `other`, for trees."""

    def where(a: Any, b: Any) -> Any:
        return jnp.where(mask.reshape(mask.shape + (1,) * (b.ndim - mask.ndim)), a, b)

    return jax.tree.map(where, chosen, other)


def take_steps(over_time: Any, steps: Any) -> Any:
    """Take the steps `[K, B]` of an array `[T, B, ...]`.

    Rows are taken independently, because they may be on different devices.
    """
    index = steps.reshape(steps.shape + (1,) * (over_time.ndim - 2))
    return jnp.take_along_axis(over_time, index, axis=0, mode="clip")


def take_last(lengths: Any, over_time: Any) -> Any:
    """Take the last valid step of an array `[T, B, ...]`: zeros for sequences without one."""
    if lengths is None:
        return over_time[-1]
    lengths = jnp.asarray(lengths, jnp.int32)
    last = jnp.clip(lengths - 1, 0, len(over_time) - 1)
    chosen = take_steps(over_time, last[None])[0]
    return where_rows(lengths > 0, chosen, jnp.zeros_like(chosen))


def flip_within(lengths: Any, over_time: Any) -> Any:
    """Reverse each sequence within its length; padding stays in place.  It is its own inverse."""

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
    """Replace the invalid steps of an array `[T, B, ...]` by zeros."""
    return over_time if valid is None else where_rows(valid, over_time, jnp.zeros_like(over_time))


def fill_padding(valid: Any, over_time: Any) -> Any:
    """Replace each padding step by the row's first valid step.

    Zeros would do where the cell's derivative at zero is finite.  A normalised cell's may not be,
    and 0 * inf would then reach the gradients of everything that valid steps share with padding.
    Rows without a valid step get `regular_values`.  Rows are filled independently, because they may
    be on different devices.
    """
    if valid is None:
        return over_time
    mask = valid.reshape(valid.shape + (1,) * (over_time.ndim - 2))
    first = jnp.argmax(mask, axis=0, keepdims=True)
    filler = jnp.take_along_axis(over_time, first, axis=0, mode="clip")
    filler = jnp.where(mask.any(axis=0, keepdims=True), filler, regular_values(filler))
    return jnp.where(mask, over_time, filler)


def regular_values(array: Any) -> Any:
    """Return values of this shape and dtype at which no cell is singular.

    Floats are a ramp, whose variance is not zero.  Ids are 0.
    """
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return jnp.zeros_like(array)
    ramp = jnp.linspace(0.5, 1, array.shape[-1], dtype=array.dtype)
    return jnp.broadcast_to(ramp.reshape((1,) * (array.ndim - 1) + (-1,)), array.shape)
