"""Learning rates that change in the course of a training: optax schedules, from step to rate."""

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
    if factor == 0:  # optax.exponential_decay would not decay at all
        return optax.piecewise_constant_schedule(rate, {begin + every: 0.0})
    return optax.exponential_decay(rate, every, factor, begin, staircase=True)


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
