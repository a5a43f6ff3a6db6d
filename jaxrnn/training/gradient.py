"""The loss of a batch and its gradient: at once, in groups of rows, or on several devices."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.checks import check_like, check_positive_integer
from jaxrnn.layers import Layer
from jaxrnn.recurrence.boundaries import where_rows
from jaxrnn.text import Batch
from jaxrnn.training.losses import cross_entropy_of_batch, num_real
from jaxrnn.typing import Array, Float, Int, Key, Params


class Gradient(NamedTuple):
    """The loss and gradient of a batch over all devices, and the carry of this one."""

    loss: Float[Array, ""]
    """Mean cross-entropy per real token, in nats."""
    tokens: Int[Array, ""]
    """The number of real tokens."""
    grads: Params
    """The derivative of the loss with respect to each parameter."""
    carry: Any
    """The carry after the batch, for the rows of this device."""


def make_gradient(
    model: Layer, axis_name: str | None = None, accumulate: int = 1
) -> Callable[[Params, Batch, Any, Key], Gradient]:
    """Return (params, batch, carry, key) -> Gradient; arguments as in `make_train_step`."""
    check_positive_integer("accumulate", accumulate)

    def loss_of(params: Params, batch: Batch, carry: Any, key: Key, tokens: Any) -> tuple[Any, Any]:
        initial = model.initial_carry(params, batch.inputs.shape[1])
        carry = where_rows(batch.starts, initial, carry)
        nats, carry = cross_entropy_of_batch(model, params, batch, carry, key)
        return nats / jnp.maximum(tokens, 1).astype(nats.dtype), carry

    value_and_grad = jax.value_and_grad(loss_of, has_aux=True)

    def in_groups(params: Params, batch: Batch, carry: Any, key: Key, tokens: Any) -> Any:
        """Take one group of rows after another, so that only one needs memory at a time."""

        def add_group(sums: Params, group: Any) -> Any:
            batch, carry, key = group
            loss_and_carry, grads = value_and_grad(params, batch, carry, key, tokens)
            return jax.tree.map(jnp.add, sums, grads), loss_and_carry

        groups = (
            jax.tree.map(lambda rows: _split_into_groups(rows, accumulate, -1), batch),
            jax.tree.map(lambda rows: _split_into_groups(rows, accumulate, 0), carry),
            jax.random.split(key, accumulate),
        )
        zeros = jax.tree.map(jnp.zeros_like, params)
        grads, (losses, carry) = lax.scan(add_group, zeros, groups)
        return (losses.sum(), jax.tree.map(_join_groups, carry)), grads

    def gradient(params: Params, batch: Batch, carry: Any, key: Key) -> Gradient:
        _check_mask(model, batch)
        _check_rows(model, params, batch, carry, accumulate)
        tokens = num_real(batch.targets, batch.mask)
        if axis_name is not None:
            tokens = lax.psum(tokens, axis_name)
            # Otherwise the derivative would already sum the gradients over the devices, and the
            # psum below would multiply the result by their number.
            params = lax.pcast(params, axis_name, to="varying")
            key = jax.random.fold_in(key, lax.axis_index(axis_name))
        differentiate = value_and_grad if accumulate == 1 else in_groups
        (loss, carry), grads = differentiate(params, batch, carry, key, tokens)
        if axis_name is not None:
            loss, grads = lax.psum((loss, grads), axis_name)
        return Gradient(loss, tokens, grads, carry)

    return gradient


def _check_mask(model: Layer, batch: Batch) -> None:
    if batch.mask is not None and not model.causal:
        raise ValueError(
            "batch.mask must be None for a model that is not causal: a mask only leaves tokens out"
            " of the loss, and this model would still read them"
        )


def _check_rows(model: Layer, params: Params, batch: Batch, carry: Any, accumulate: int) -> None:
    num_rows = batch.inputs.shape[1]
    if num_rows % accumulate:
        raise ValueError(
            f"the rows of a batch on each device must be a multiple of accumulate = {accumulate},"
            f" got {num_rows}"
        )
    expected = jax.eval_shape(lambda params: model.initial_carry(params, num_rows), params)
    check_like("state.carry", carry, expected)


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
