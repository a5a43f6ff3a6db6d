"""Training on batches that are drawn anew at every step."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax

import jaxrnn
from jaxrnn.layers import Layer
from jaxrnn.losses import Loss
from jaxrnn.typing import Params

Draw = Callable[[np.random.Generator], jaxrnn.Batch]
"""Draws a batch."""


def train_on(
    model: Layer, optimizer: optax.GradientTransformation, loss: Loss, draw: Draw,
    num_steps: int, input_size: int, seed: int, params: Params | None = None,
) -> Params:  # fmt: skip
    """Train for some steps on batches from `draw`; return the parameters."""
    rng = np.random.default_rng(seed)
    state = jaxrnn.init_state(model, optimizer, input_size, 1, jax.random.key(seed), params)
    state = state.replace(carry=())
    step: Any = jax.jit(jaxrnn.make_train_step(model, optimizer, loss), donate_argnums=0)
    every = max(1, num_steps // 10)
    for number in range(1, num_steps + 1):
        state, metrics = step(state, draw(rng))
        if number % every == 0:
            mean = float(metrics.loss_sum) / float(metrics.weight)
            print(f"  step {number:,} of {num_steps:,}: loss {mean:.4f}", flush=True)
    return state.params
