"""Training on batches that are drawn anew at every step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

import jaxrnn
from jaxrnn.layers import Layer
from jaxrnn.losses import Loss
from jaxrnn.typing import Params

Draw = Callable[[np.random.Generator], jaxrnn.Batch]
"""Draws a batch."""

Stages = tuple[tuple[int, float], ...]
"""Lengths, with their shares of a training."""


def longer_and_longer(
    draw: Callable[[np.random.Generator, int], jaxrnn.Batch], stages: Stages, num_steps: int
) -> Draw:
    """Return how to draw one batch after another, with the length that its stage says."""
    ends = num_steps * np.cumsum([share for _, share in stages])
    numbers = np.searchsorted(ends, np.arange(num_steps), side="right")
    lengths = iter([stages[number][0] for number in numbers])
    return lambda rng: draw(rng, next(lengths))


class Trained(NamedTuple):
    """The parameters and the losses of a training."""

    params: Params
    """The parameters after the last step."""
    losses: list[float]
    """The mean loss of fifty parts of the training."""


def train_on(
    model: Layer, optimizer: optax.GradientTransformation, loss: Loss, draw: Draw,
    num_steps: int, input_size: int, seed: int, params: Params | None = None,
) -> Trained:  # fmt: skip
    """Train for some steps on batches from `draw`."""
    rng = np.random.default_rng(seed)
    state = jaxrnn.init_state(model, optimizer, input_size, 1, jax.random.key(seed), params)
    state = state.replace(carry=())
    step: Any = jax.jit(jaxrnn.make_train_step(model, optimizer, loss), donate_argnums=0)
    means = []
    for number, part in enumerate(np.array_split(np.arange(num_steps), min(50, num_steps)), 1):
        sums = []
        for _ in part:
            state, metrics = step(state, draw(rng))
            sums.append((metrics.loss_sum, metrics.weight))
        loss_sum, weight = np.sum(sums, axis=0)
        means.append(float(loss_sum / weight))
        if number % 5 == 0:
            done = int(part[-1]) + 1
            print(f"  step {done:,} of {num_steps:,}: loss {means[-1]:.4f}", flush=True)
    return Trained(state.params, means)
