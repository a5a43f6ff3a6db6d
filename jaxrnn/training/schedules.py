"""Learning rates that change in the course of a training: optax schedules, from step to rate."""

from typing import Any

import jax.numpy as jnp
import optax


def step_decay(rate: float, factor: float, every: int, begin: int) -> optax.Schedule:
    """Return a schedule that multiplies the rate by a factor every so many steps.

    Args:
        rate: the first rate.
        factor: the factor; 0 makes the rate 0.
        every: the steps between two changes.
        begin: the step before which nothing changes; the first change is `every` steps later.

    Examples:
        >>> from jaxrnn.training.schedules import step_decay
        >>> schedule = step_decay(1.0, 0.5, every=10, begin=20)
        >>> [float(schedule(step)) for step in (0, 29, 30, 40)]
        [1.0, 1.0, 0.5, 0.25]
    """

    def schedule(step: Any) -> Any:
        # In integers: optax.exponential_decay divides floats, and of 41 / 41 may find 0 whole ones.
        changes = jnp.maximum(jnp.asarray(step) - begin, 0) // every
        return rate * jnp.power(factor, changes.astype(float))

    return schedule


def warm_up(schedule: optax.Schedule, steps: int) -> optax.Schedule:
    """Return a schedule that first grows linearly, from 1 / steps of the rate to all of it.

    Examples:
        >>> import optax
        >>> from jaxrnn.training.schedules import warm_up
        >>> schedule = warm_up(optax.constant_schedule(1.0), 4)
        >>> [float(schedule(step)) for step in range(5)]
        [0.25, 0.5, 0.75, 1.0, 1.0]
    """
    share = optax.linear_schedule(1 / steps, 1.0, steps - 1)
    return lambda step: share(step) * schedule(step)
