"""Losses of nothing but the outputs at the last valid step."""

import functools

from jaxrnn.batch import Batch
from jaxrnn.losses.valid import Loss
from jaxrnn.recurrence.boundaries import take_last
from jaxrnn.typing import Array, Float, Real


def at_last_step(loss: Loss) -> Loss:
    """Return a loss that compares each sequence's last valid output with its one target.

    Use it for models with an output at every step, such as `stack([recurrent(gru(8)), linear(2)])`.
    `jaxrnn.classifier` and `jaxrnn.regressor` have one output per sequence already.

    Args:
        loss: a loss for targets per sequence.

    Returns:
        A loss of outputs `[T, B, F]` and targets `[B]` or `[B, F]`; `batch.mask` is `[B]`.

    Examples:
        >>> import jax.numpy as jnp, jaxrnn
        >>> loss = jaxrnn.losses.at_last_step(jaxrnn.losses.squared_error)
        >>> outputs = jnp.array([[[1.0], [2.0]], [[3.0], [9.0]]])
        >>> batch = jaxrnn.Batch(outputs, jnp.array([3.0, 4.0]), lengths=jnp.array([2, 1]))
        >>> [float(x) for x in loss(outputs, batch)]
        [4.0, 2.0]
    """

    @functools.wraps(loss)
    def of_last_step(
        outputs: Float[Array, "T B F"], batch: Batch
    ) -> tuple[Float[Array, ""], Real[Array, ""]]:
        return loss(take_last(batch.lengths, outputs), batch)

    return of_last_step
