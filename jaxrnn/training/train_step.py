"""One step of training: a pure function from state and batch to state and metrics."""

import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxrnn.checks import check_positive_integer
from jaxrnn.layers import Layer
from jaxrnn.text import Batch
from jaxrnn.training.gradient import make_gradient
from jaxrnn.training.optimizer import optax_promotion
from jaxrnn.typing import Array, Bool, Float, Int, Key, Params


class TrainState(flax.struct.PyTreeNode):
    """All that a training step changes; a pytree, so JAX may put anything in place of an array."""

    params: Params
    """The model's parameters."""
    opt_state: optax.OptState
    """The optimizer's state."""
    carry: Any
    """The model's carry after the last batch: its value goes on, its gradient does not."""
    key: Any
    """A typed key for the randomness of the steps to come."""
    step: Any
    """Steps done, an int32 scalar."""


class Metrics(NamedTuple):
    """What a training step reports."""

    nats: Float[Array, ""]
    """Cross-entropy of the batch, summed over its real tokens."""
    tokens: Int[Array, ""]
    """Real tokens of the batch."""
    grad_norm: Float[Array, ""]
    """Global norm of the gradient before clipping."""
    skipped: Bool[Array, ""]
    """Whether something was not finite, so that nothing was learnt; the two sums are then 0."""
    cause: Int[Array, ""]
    """The place in `CAUSES` of what was not finite, the first of them; 0 where all was."""


CAUSES = ("nothing", "the loss", "the gradient", "the carry", "the update")
"""What a step is skipped for, in the order in which it is computed."""

TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def init_state(
    model: Layer,
    optimizer: optax.GradientTransformation,
    input_size: int,
    batch_size: int,
    key: Key,
) -> TrainState:
    """The state before the first step.

    Args:
        model: the model.
        optimizer: an optax optimizer.
        input_size: of the model; V for a language model.
        batch_size: B, rows of the carry.
        key: for the parameters and for all randomness of the training.
    """
    check_positive_integer("batch_size", batch_size)
    params_key, steps_key = jax.random.split(key)
    params = model.init(params_key, input_size)
    with optax_promotion():
        opt_state = optimizer.init(params)
    return TrainState(
        params=params,
        opt_state=opt_state,
        carry=model.initial_carry(params, batch_size),
        key=steps_key,
        step=jnp.zeros((), jnp.int32),
    )


def make_train_step(
    model: Layer,
    optimizer: optax.GradientTransformation,
    axis_name: str | None = None,
    accumulate: int = 1,
) -> TrainStep:
    """The training step of a model: forward, backward, update.

    Rows of a batch that do not start anew go on from the carry of the batch before; the gradient
    stops there (truncated back-propagation through time).

    A step whose loss, gradient, new carry or update is not finite changes nothing but the step's
    number and the key: one NaN would otherwise reach every parameter, by way of the gradient's
    norm.  An update is not finite where it would leave a parameter, or a number of the optimizer's
    state that was finite before, infinite or NaN.

    Within a `jax.pmap` or `jax.shard_map` each device has some rows of the batch and their carry,
    and all of the rest.  With `axis_name`, loss, gradient and metrics are those of all rows
    together, so that the devices stay equal; only dropout draws other masks than one device would.

    Args:
        model: a language model.
        optimizer: an optax optimizer.
        axis_name: of the devices that have the rows of a batch among them; None where one program
            has them all, also one that `jax.jit` cuts up by shardings.
        accumulate: groups of rows to take one after the other, for the memory of one group and,
            but for rounding and dropout's masks, the same result.

    Returns:
        (state, batch) -> (state, metrics), pure and not jitted.

    Raises:
        ValueError: by the step, where the rows cannot be cut into that many groups, or where the
            batch has a mask and the model is not causal.

    Reference: Williams and Peng, An efficient gradient-based algorithm for on-line training of
        recurrent network trajectories, 1990.
    """
    gradient = make_gradient(model, axis_name, accumulate)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        next_key, apply_key = jax.random.split(state.key)
        loss, tokens, grads, carry = gradient(state.params, batch, state.carry, apply_key)
        with optax_promotion():
            updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
            params = optax.apply_updates(state.params, updates)
        new = TrainState(params, opt_state, carry, key=next_key, step=state.step + 1)
        grad_norm = optax.tree.norm(grads)
        update_is_finite = _all(jax.tree.map(_is_finite, params)) & _all(
            jax.tree.map(_stays_finite, state.opt_state, opt_state)
        )
        carry_is_finite = _on_all_devices(_all(jax.tree.map(_is_finite, carry)), axis_name)
        checks = (jnp.isfinite(loss), jnp.isfinite(grad_norm), carry_is_finite, update_is_finite)
        finite = _all(checks)
        cause = jnp.where(finite, 0, 1 + jnp.argmin(jnp.stack(checks)).astype(jnp.int32))
        unchanged = state.replace(key=new.key, step=new.step)
        state = jax.tree.map(lambda new, old: jnp.where(finite, new, old), new, unchanged)
        tokens = jnp.where(finite, tokens, 0)
        nats = jnp.where(finite, loss * tokens.astype(loss.dtype), 0.0)
        return state, Metrics(nats, tokens, grad_norm, ~finite, cause)

    return train_step


def _on_all_devices(condition: Any, axis_name: str | None) -> Any:
    """Whether it holds on all of them: they must agree to skip a step."""
    if axis_name is None:
        return condition
    return lax.psum((~condition).astype(jnp.int32), axis_name) == 0


def _all(conditions: Any) -> Any:
    """Whether all of a tree hold."""
    return functools.reduce(operator.and_, jax.tree.leaves(conditions), jnp.array(True))


def _is_finite(array: Any) -> Any:
    """Whether all numbers are, by one pass at the speed of memory."""
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        return jnp.array(True)
    return jnp.isfinite(jnp.abs(array).max(initial=0.0))  # the maximum is NaN where one number is


def _stays_finite(old: Any, new: Any) -> Any:
    """Whether an array of the optimizer's state is finite; a scalar, if it was so before.

    Some optimizers begin with an infinite best value.
    """
    return _is_finite(new) if new.ndim else _is_finite(new) | ~_is_finite(old)
