"""Penalties on the activations of a language model, for training."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax.numpy as jnp

from jaxrnn.batch import Batch
from jaxrnn.checks import FLOAT32_MAX, check_number
from jaxrnn.losses.valid import sum_valid, valid_only
from jaxrnn.matmul import at_least_float32
from jaxrnn.recurrence.boundaries import where_rows
from jaxrnn.typing import Array, Float

Penalty: TypeAlias = Callable[[Any, Any, Batch], Float[Array, ""]]
"""(the body's outputs, the same after dropout, batch) -> the sum over the targets that count."""


@dataclass(frozen=True)
class ActivationPenalty:
    """A penalty on large activations, and on activations that change fast.

    activation * dropped_t^2 + temporal * (outputs_t - outputs_{t - 1})^2, each as the mean over the
    units, is added to the cross-entropy of each target, in nats.  Nothing is compared across the
    first step of a window, or across a reset.

    Examples:
        >>> import jax.numpy as jnp, jaxrnn
        >>> penalty = jaxrnn.losses.ActivationPenalty(activation=2.0, temporal=1.0)
        >>> outputs = jnp.arange(3.0).reshape(3, 1, 1)
        >>> batch = jaxrnn.Batch(jnp.zeros((3, 1), int), jnp.zeros((3, 1), int))
        >>> float(penalty(outputs, outputs, batch))  # 2 (0 + 1 + 4) + (1 + 1)
        12.0

    Reference:
        Merity, McCann and Socher, Revisiting activation regularization for language RNNs, 2017,
        arXiv:1708.01009.  The published code divides the second sum by the number of differences;
        here both are divided by the number of targets.
    """

    activation: float = 0.0
    """The weight of the activations after dropout: "AR", 2 in the paper."""
    temporal: float = 0.0
    """The weight of their changes, before dropout: "TAR", 1 in the paper."""

    def __post_init__(self) -> None:
        for name in ("activation", "temporal"):
            check_number(name, getattr(self, name), low=0.0, high=FLOAT32_MAX)

    def __call__(
        self, outputs: Float[Array, "T B F"], dropped: Float[Array, "T B F"], batch: Batch
    ) -> Float[Array, ""]:
        """Return the penalty, summed over the targets that count."""
        dtype = at_least_float32(outputs.dtype)
        outputs, dropped = outputs.astype(dtype), dropped.astype(dtype)
        changes = jnp.pad(outputs[1:] - outputs[:-1], ((1, 0), (0, 0), (0, 0)))
        if batch.resets is not None:
            changes = where_rows(batch.resets, jnp.zeros_like(changes), changes)
        of_units = self.activation * jnp.square(valid_only(dropped, batch))
        of_units += self.temporal * jnp.square(valid_only(changes, batch))
        return sum_valid(of_units.mean(axis=-1), batch)[0]
