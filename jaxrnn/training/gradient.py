"""The loss of a batch and its gradient: at once, in groups of rows, or on several devices."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.batch import Batch
from jaxrnn.checks import check_like, check_positive_integer
from jaxrnn.layers import Layer
from jaxrnn.losses import Loss, Penalty, cross_entropy
from jaxrnn.training.batch_loss import loss_of_batch, mean
from jaxrnn.typing import Array, Float, Key, Params, Real


class Gradient(NamedTuple):
    """The loss and gradient of a batch over all devices, and the carry of this one."""

    loss: Float[Array, ""]
    """The mean: the loss's sum over its weight, without a penalty."""
    weight: Real[Array, ""]
    """What the sum was divided by, such as the number of targets that count."""
    grads: Params
    """The derivative of the mean, penalty included, with respect to each parameter."""
    carry: Any
    """The carry after the batch, for the rows of this device."""


def make_gradient(
    model: Layer,
    loss: Loss = cross_entropy,
    axis_name: str | None = None,
    accumulate: int = 1,
    penalty: Penalty | None = None,
) -> Callable[[Params, Batch, Any, Key], Gradient]:
    """Return (params, batch, carry, key) -> Gradient; arguments as in `make_train_step`."""
    check_positive_integer("accumulate", accumulate)

    def loss_of(params: Params, batch: Batch, carry: Any, key: Key) -> tuple[Any, Any]:
        total, weight, added, carry = loss_of_batch(model, loss, params, batch, carry, key, penalty)
        return total if added is None else total + added, (total, weight, carry)

    # Of the sum: the weight that divides it is known once all groups and devices are done.
    value_and_grad = jax.value_and_grad(loss_of, has_aux=True)

    def at_once(params: Params, batch: Batch, carry: Any, key: Key) -> Any:
        (_, others), grads = value_and_grad(params, batch, carry, key)
        return others, grads

    def in_groups(params: Params, batch: Batch, carry: Any, key: Key) -> Any:
        """Take one group of rows after another, so that only one needs memory at a time."""

        def add_group(sums: Params, group: Any) -> Any:
            others, grads = at_once(params, *group)
            return jax.tree.map(jnp.add, sums, grads), others

        carried = None if batch.starts is None else carry
        groups = (
            split_rows(batch, accumulate, model.per_step),
            jax.tree.map(lambda rows: _split_into_groups(rows, accumulate, 0), carried),
            jax.random.split(key, accumulate),
        )
        zeros = jax.tree.map(jnp.zeros_like, params)
        grads, (totals, weights, carried) = lax.scan(add_group, zeros, groups)
        if batch.starts is not None:
            carry = jax.tree.map(_join_groups, carried)
        return (totals.sum(), weights.sum(), carry), grads

    def gradient(params: Params, batch: Batch, carry: Any, key: Key) -> Gradient:
        _check_mask(model, batch)
        _check_rows(model, params, batch, carry, accumulate)
        if axis_name is not None:
            # Otherwise the derivative would already sum the gradients over the devices, and the
            # psum below would multiply the result by their number.
            params = lax.pcast(params, axis_name, to="varying")
            key = jax.random.fold_in(key, lax.axis_index(axis_name))
        differentiate = at_once if accumulate == 1 else in_groups
        (total, weight, carry), grads = differentiate(params, batch, carry, key)
        if axis_name is not None:
            total, weight, grads = lax.psum((total, weight, grads), axis_name)
        grads = jax.tree.map(lambda grad: mean(grad, weight), grads)
        return Gradient(mean(total, weight), weight, grads, carry)

    return gradient


def _check_mask(model: Layer, batch: Batch) -> None:
    mask = batch.mask
    if mask is not None and mask.ndim == 2 and batch.lengths is None and not model.causal:
        raise ValueError(
            "batch.mask needs batch.lengths for a model that is not causal: a mask only leaves"
            " targets out of the loss, and this model would still read the padding"
        )


def _check_rows(model: Layer, params: Params, batch: Batch, carry: Any, accumulate: int) -> None:
    num_rows = batch.inputs.shape[1]
    if num_rows % accumulate:
        raise ValueError(
            f"the rows of a batch on each device must be a multiple of accumulate = {accumulate},"
            f" got {num_rows}"
        )
    if batch.starts is not None:
        expected = jax.eval_shape(lambda params: model.initial_carry(params, num_rows), params)
        check_like("state.carry", carry, expected)


def split_rows(batch: Batch, num_groups: int, per_step: bool = True) -> Batch:
    """Deal the rows of a batch out to groups, with a leading axis `[G, ...]`.

    Args:
        batch: the batch.
        num_groups: G.
        per_step: whether the model has an output at every step; if not, targets are `[B, ...]`.
    """
    num_steps, num_rows = batch.inputs.shape[:2]

    def split(array: Any, may_be_over_time: bool = True) -> Any:
        axis = row_axis(array, num_steps, num_rows) if may_be_over_time else 0
        return _split_into_groups(array, num_groups, axis)

    def split_targets(array: Any) -> Any:
        return split(array, per_step)

    groups = jax.tree.map(split, batch._replace(targets=None, mask=None))
    targets, mask = jax.tree.map(split_targets, (batch.targets, batch.mask))
    return groups._replace(targets=targets, mask=mask)  # type: ignore[no-any-return]


def row_axis(array: Any, num_steps: int, num_rows: int) -> int:
    """Return 1 for an array per step, `[T, B, ...]`, and 0 for one per sequence, `[B, ...]`."""
    if array.ndim > 1 and array.shape[:2] == (num_steps, num_rows):
        return 1
    if array.ndim > 0 and array.shape[0] == num_rows:
        return 0
    raise ValueError(
        f"batch must hold arrays per step, [T, B, ...] = [{num_steps}, {num_rows}, ...], or per"
        f" sequence, [{num_rows}, ...], got shape {tuple(array.shape)}"
    )


def _split_into_groups(rows: Any, num_groups: int, axis: int) -> Any:
    """Deal the rows out to groups, [..., B, ...] -> [G, ..., B / G, ...].

    Neighbours go to different groups, so every group has rows on every device.
    """
    axis %= rows.ndim
    shape = rows.shape
    split = rows.reshape(*shape[:axis], shape[axis] // num_groups, num_groups, *shape[axis + 1 :])
    return jnp.moveaxis(split, axis + 1, 0)


def _join_groups(groups: Any) -> Any:
    """Undo `_split_into_groups` along axis 0, [G, B / G, ...] -> [B, ...]."""
    return jnp.moveaxis(groups, 0, 1).reshape(-1, *groups.shape[2:])
