"""Sums over the targets that count."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax.numpy as jnp

from jaxrnn.batch import Batch
from jaxrnn.checks import check_array, check_mask
from jaxrnn.matmul import at_least_float32
from jaxrnn.recurrence.boundaries import valid_steps, where_rows
from jaxrnn.typing import Array, Bool, Float, Real

Loss: TypeAlias = Callable[[Any, Batch], tuple[Float[Array, ""], Real[Array, ""]]]
"""(a model's outputs, batch) -> (the sum over the targets that count, their number or weight)."""


def sum_valid(
    values: Real[Array, "*steps B"] | Bool[Array, "*steps B"],
    batch: Batch,
    weights: Real[Array, "*steps B"] | Bool[Array, "*steps B"] | None = None,
) -> tuple[Float[Array, ""], Real[Array, ""]]:
    """Sum one value per step or sequence over those that `batch.lengths` and `batch.mask` leave.

    Args:
        values: `[T, B]` for targets per step, `[B]` for targets per sequence; True counts as 1.
            Those that do not count have no influence, not even NaN.  A gradient through NaN is NaN,
            however: replace outputs and targets that may be NaN before you compute values from
            them.
        batch: whose lengths and mask to follow.  Lengths concern steps only.
        weights: how much each value weighs in the mean, as a class may; None means 1.

    Returns:
        (sum of values, sum of weights or number of values)

    Raises:
        ValueError: the values are neither `[T, B]` nor `[B]`, or the mask fits neither.

    Examples:
        >>> import jax.numpy as jnp, jaxrnn
        >>> batch = jaxrnn.Batch(jnp.ones((3, 2, 1)), None, lengths=jnp.array([3, 1]))
        >>> [int(x) for x in jaxrnn.losses.sum_valid(jnp.ones((3, 2)), batch)]
        [4, 4]
    """
    check_array("values", values)
    valid = valid_targets(batch, values.shape)
    if valid is None:
        return _sum(values), jnp.int32(values.size) if weights is None else _sum(weights)
    values = jnp.where(valid, values, jnp.zeros_like(values))
    if weights is None:
        return _sum(values), valid.sum(dtype=jnp.int32)
    return _sum(values), _sum(jnp.where(valid, weights, jnp.zeros_like(weights)))


def _sum(values: Any) -> Any:
    is_float = jnp.issubdtype(values.dtype, jnp.floating)
    # Summed in their own dtype, integers of 8 bits would overflow, and booleans give a boolean.
    return values.sum(dtype=at_least_float32(values.dtype) if is_float else jnp.float32)


def valid_only(outputs: Any, batch: Batch) -> Any:
    """Replace outputs at targets that do not count by zeros, so that their gradient is zero.

    A derivative may be infinite there, and `0 * inf` would be NaN.
    """
    valid = valid_targets(batch, outputs.shape[:-1])
    return outputs if valid is None else where_rows(valid, outputs, jnp.zeros_like(outputs))


def valid_targets(batch: Batch, shape: tuple[int, ...]) -> Bool[Array, "*steps B"] | None:
    """Return which targets of shape `[T, B]` or `[B]` count; None means all of them."""
    if len(shape) not in (1, 2):
        raise ValueError(
            "outputs must be [T, B, F] for targets per step or [B, F] for targets per sequence, got"
            f" {len(shape) + 1} axes"
        )
    mask, valid = batch.mask, None
    if len(shape) == 2:
        valid = valid_steps(batch.lengths, shape[0])
    if mask is None:
        return valid
    check_array("batch.mask", mask)
    check_mask("batch.mask", mask, shape[-1:] if mask.ndim == 1 else shape)
    mask = jnp.broadcast_to(mask, shape)
    return mask if valid is None else mask & valid
