"""Losses of numbers: squared, absolute and quantile errors, averaged over the last axis."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp

from jaxrnn.batch import Batch
from jaxrnn.checks import check_array, check_number
from jaxrnn.losses.valid import Loss, sum_valid, valid_only
from jaxrnn.typing import Array, Float, Real


def squared_error(
    outputs: Float[Array, "*steps B F"], batch: Batch
) -> tuple[Float[Array, ""], Real[Array, ""]]:
    """Return the squared errors, averaged over F and summed over the targets that count.

    Args:
        outputs: a model's outputs, `[T, B, F]` or, one per sequence, `[B, F]`.
        batch: `batch.targets` has their shape, or lacks the last axis if F is 1.

    Returns:
        (sum, number of targets): the quotient is PyTorch's `MSELoss` of the valid steps.

    Raises:
        TypeError: the targets are not numbers.
        ValueError: the targets have another shape.

    Examples:
        >>> import jax.numpy as jnp, jaxrnn
        >>> batch = jaxrnn.Batch(jnp.ones((4, 2, 3)), targets=jnp.array([1.0, 2.0]))
        >>> [float(x) for x in jaxrnn.losses.squared_error(jnp.zeros((2, 1)), batch)]
        [5.0, 2.0]
    """
    return _sum_of(jnp.square, outputs, batch)


def absolute_error(
    outputs: Float[Array, "*steps B F"], batch: Batch
) -> tuple[Float[Array, ""], Real[Array, ""]]:
    """Return the absolute errors; arguments, result and errors as for `squared_error`.

    Examples:
        >>> import jax.numpy as jnp, jaxrnn
        >>> batch = jaxrnn.Batch(jnp.ones((4, 2, 3)), targets=jnp.array([1.0, 2.0]))
        >>> [float(x) for x in jaxrnn.losses.absolute_error(jnp.zeros((2, 1)), batch)]
        [3.0, 2.0]
    """
    return _sum_of(jnp.abs, outputs, batch)


def quantile(levels: Sequence[float]) -> Loss:
    """Return the pinball loss, whose minimum is at quantiles of the targets' distribution.

    Args:
        levels: the Q quantiles to predict, each in 0..1; `(0.05, 0.5, 0.95)` gives the median and
            an interval that holds 90 % of the targets.

    Returns:
        A loss of outputs `[..., F * Q]`, the quantiles of the first feature first, and targets
        `[..., F]`, or without the last axis if F is 1.

    Raises:
        TypeError: a level is not a number.
        ValueError: a level is out of range, or there is none.

    Reference:
        Koenker and Bassett, Regression quantiles, 1978.

    Examples:
        >>> import jax.numpy as jnp, jaxrnn
        >>> loss = jaxrnn.losses.quantile((0.1, 0.9))
        >>> batch = jaxrnn.Batch(jnp.ones((4, 1, 3)), targets=jnp.array([1.0]))
        >>> [round(float(x), 3) for x in loss(jnp.zeros((1, 2)), batch)]
        [0.5, 1.0]
    """
    if not len(levels):
        raise ValueError("levels must hold at least one quantile, got none")
    for level in levels:
        check_number("levels", level, low=0.0, high=1.0)
    return _quantile_loss(tuple(float(level) for level in levels))


@functools.cache  # functions that are one and the same are compiled once
def _quantile_loss(levels: tuple[float, ...]) -> Loss:
    loss = functools.partial(_quantile, levels)
    loss.__name__ = "_".join(["quantile", *map(str, levels)])  # type: ignore[attr-defined]
    return loss


def _quantile(
    levels: tuple[float, ...], outputs: Float[Array, "*steps B FQ"], batch: Batch
) -> tuple[Float[Array, ""], Real[Array, ""]]:
    num_levels = len(levels)
    if outputs.shape[-1] % num_levels:
        raise ValueError(
            f"outputs must have a multiple of {num_levels} columns, one for each quantile of each"
            f" target, got {outputs.shape[-1]}"
        )
    outputs = valid_only(outputs, batch)
    outputs = outputs.reshape(*outputs.shape[:-1], outputs.shape[-1] // num_levels, num_levels)
    targets = as_targets(batch.targets, outputs.shape[:-1], outputs.dtype)
    below = targets[..., None] - outputs  # positive where the prediction is too small
    share = jnp.asarray(levels, outputs.dtype).reshape((1,) * (outputs.ndim - 1) + (-1,))
    errors = jnp.maximum(share * below, (share - 1) * below)
    return sum_valid(errors.mean(axis=(-2, -1)), batch)


def _sum_of(
    function: Callable[[Any], Any], outputs: Any, batch: Batch
) -> tuple[Float[Array, ""], Real[Array, ""]]:
    outputs = valid_only(outputs, batch)
    targets = as_targets(batch.targets, outputs.shape, outputs.dtype)
    return sum_valid(function(targets - outputs).mean(axis=-1), batch)


def as_targets(targets: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """Return numbers as floats of the outputs' shape; a last axis of 1 may be absent."""
    check_array("targets", targets)
    if not jnp.issubdtype(targets.dtype, jnp.number) and targets.dtype != bool:
        raise TypeError(f"targets must be numbers, got {targets.dtype}")
    if shape[-1] == 1 and targets.shape == shape[:-1]:
        targets = targets[..., None]
    if targets.shape != shape:
        raise ValueError(
            f"targets must have the shape {tuple(shape)} of the model's outputs, got"
            f" {tuple(targets.shape)}"
        )
    return jnp.asarray(targets, dtype)
