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
