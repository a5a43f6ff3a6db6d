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

from jaxrnn.batch import Batch
from jaxrnn.checks import check_positive_integer
from jaxrnn.language_model import LanguageModel
from jaxrnn.layers import Layer
from jaxrnn.layers.layer import check_model
from jaxrnn.losses import Loss, Penalty, cross_entropy
from jaxrnn.training.gradient import make_gradient
from jaxrnn.training.optimizer import optax_promotion
from jaxrnn.typing import Array, Bool, Float, Int, Key, Params, Real


class TrainState(flax.struct.PyTreeNode):
    """Everything that a training step changes.

    As for any pytree, JAX may put other leaves, such as shardings, in place of the arrays.
    """

    params: Params
    """The model's parameters."""
    opt_state: optax.OptState
    """The optimizer's state."""
    carry: Any
    """The model's carry after the last batch: the next step uses its value, not its gradient."""
    key: Any
    """A typed key for the randomness of later steps."""
    step: Any
    """The number of steps taken, an int32 scalar."""


class Metrics(NamedTuple):
    """The report of a training step."""

    loss_sum: Float[Array, ""]
    """The sum of the batch's loss; for cross-entropies, in nats."""
    weight: Real[Array, ""]
    """What divides it in the mean, such as the number of targets that count."""
    grad_norm: Float[Array, ""]
    """The global norm of the gradient before clipping."""
    skipped: Bool[Array, ""]
    """Whether the step was skipped because something was not finite.
    `loss_sum` and `weight` are then 0."""
    cause: Int[Array, ""]
    """The index in `CAUSES` of the first thing that was not finite; 0 if everything was."""


def check_params(params: Any) -> None:
    """Raise where a whole TrainState is given for its parameters."""
    if isinstance(params, TrainState):
        raise TypeError("params must be a model's parameters, got a TrainState: pass state.params")


CAUSES = ("nothing", "the loss", "the gradient", "the carry", "the update")
"""The reasons for skipping a step, in the order in which they are computed."""

TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
"""The type of a training step: (state, batch) -> (state, metrics)."""


def init_state(
    model: Layer,
    optimizer: optax.GradientTransformation,
    input_size: int,
    batch_size: int,
    key: Key,
    params: Params | None = None,
) -> TrainState:
    """Return the state before the first step.

    Args:
        model: the model.
        optimizer: an optax optimizer.
        input_size: the model's input size; V for a language model.
        batch_size: B, the rows of the carry.
        key: for the parameters and for all randomness of the training.
        params: parameters to begin with, such as trained ones; they are copied, because training
            reuses the buffers of its state.  None draws them.

    Examples:
        >>> import jax, jaxrnn
        >>> model = jaxrnn.language_model(28, jaxrnn.recurrent(jaxrnn.gru(8)))
        >>> optimizer = jaxrnn.make_optimizer("adam", 0.01, max_grad_norm=1.0)
        >>> state = jaxrnn.init_state(model, optimizer, 28, batch_size=4, key=jax.random.key(0))
        >>> int(state.step), state.carry.hidden.shape
        (0, (4, 8))
    """
    check_model("model", model)
    check_positive_integer("batch_size", batch_size)
    params_key, steps_key = jax.random.split(key)
    if params is None:
        params = model.init(params_key, input_size)
    else:
        params = jax.tree.map(jnp.copy, params)
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
    loss: Loss = cross_entropy,
    *,
    axis_name: str | None = None,
    accumulate: int = 1,
    penalty: Penalty | None = None,
) -> TrainStep:
    """Return the training step of a model: forward, backward, update.

    The step minimises the loss's sum over its weight.  Rows of a batch that do not start afresh
    continue from the carry of the previous batch; the gradient stops there (truncated
    back-propagation through time).

    A step whose loss, gradient, new carry or update is not finite changes only the step's number
    and the key.  Otherwise one NaN would reach every parameter through the gradient's norm.  An
    update is not finite if it makes a parameter, or a number of the optimizer's state that was
    finite before, infinite or NaN.

    Within `jax.pmap` or `jax.shard_map` each device has some rows of the batch with their carry,
    and a copy of everything else.  With `axis_name`, loss, gradient and metrics are those of all
    rows, and the copies stay equal; only dropout draws other masks than on one device.

    Args:
        model: a language model, or any other Layer.
        optimizer: an optax optimizer; one that takes extra arguments gets `weight`, the batch's.
        loss: (outputs, batch) -> (sum, weight), such as those of `jaxrnn.losses`.
        axis_name: the axis of the devices that share the rows of a batch; None if one program has
            all rows, even if `jax.jit` splits it by shardings.
        accumulate: groups of rows to take one after another, with the memory of one group.  Except
            for rounding and dropout's masks, the result is the same.
        penalty: on the activations of a language model, such as `losses.ActivationPenalty(2, 1)`;
            the gradient includes it, the metrics do not.

    Returns:
        (state, batch) -> (state, metrics), pure and not jitted.

    Raises:
        TypeError: `model` is not a Layer, or not a language model and there is a penalty.
        ValueError: the model is not time-major; when the step is called, if the rows cannot be
            split into that many groups, or if the batch has a mask but no lengths and the model is
            not causal.

    Reference:
        Williams and Peng, An efficient gradient-based algorithm for on-line training of recurrent
        network trajectories, 1990.

    Examples:
        >>> import jax, jaxrnn, numpy as np
        >>> model = jaxrnn.language_model(28, jaxrnn.recurrent(jaxrnn.gru(8)))
        >>> optimizer = jaxrnn.make_optimizer("adam", 0.01, max_grad_norm=1.0)
        >>> state = jaxrnn.init_state(model, optimizer, 28, batch_size=2, key=jax.random.key(0))
        >>> batches = jaxrnn.sequential_windows(np.arange(21), batch_size=2, num_steps=5)
        >>> train_step = jax.jit(jaxrnn.make_train_step(model, optimizer))
        >>> state, metrics = jax.lax.scan(train_step, state, batches)
        >>> int(state.step), metrics.weight.tolist()
        (2, [10, 10])
    """
    check_model("model", model)
    if penalty is not None and not isinstance(model, LanguageModel):
        raise TypeError(f"penalty needs a model made by language_model, got {model!r}")
    gradient = make_gradient(model, loss, axis_name, accumulate, penalty)
    update = optax.with_extra_args_support(optimizer).update

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        next_key, apply_key = jax.random.split(state.key)
        loss_value, weight, grads, carry = gradient(state.params, batch, state.carry, apply_key)
        with optax_promotion():
            updates, opt_state = update(grads, state.opt_state, state.params, weight=weight)
            params = optax.apply_updates(state.params, updates)
        new = TrainState(params, opt_state, carry, key=next_key, step=state.step + 1)
        grad_norm = optax.tree.norm(grads)
        update_is_finite = _all(jax.tree.map(_is_finite, params)) & _all(
            jax.tree.map(_stays_finite, state.opt_state, opt_state)
        )
        carry_is_finite = _on_all_devices(_all(jax.tree.map(_is_finite, carry)), axis_name)
        checks = (
            jnp.isfinite(loss_value),
            jnp.isfinite(grad_norm),
            carry_is_finite,
            update_is_finite,
        )
        finite = _all(checks)
        cause = jnp.where(finite, 0, 1 + jnp.argmin(jnp.stack(checks)).astype(jnp.int32))
        unchanged = state.replace(key=new.key, step=new.step)
        state = jax.tree.map(lambda new, old: jnp.where(finite, new, old), new, unchanged)
        weight = jnp.where(finite, weight, jnp.zeros_like(weight))
        loss_sum = jnp.where(finite, loss_value * weight.astype(loss_value.dtype), 0.0)
        return state, Metrics(loss_sum, weight, grad_norm, ~finite, cause)

    return train_step


def _on_all_devices(condition: Any, axis_name: str | None) -> Any:
    """Return whether a condition holds on all devices: they must agree to skip a step."""
    if axis_name is None:
        return condition
    return lax.psum((~condition).astype(jnp.int32), axis_name) == 0


def _all(conditions: Any) -> Any:
    """Return whether all conditions of a tree hold."""
    return functools.reduce(operator.and_, jax.tree.leaves(conditions), jnp.array(True))


def _is_finite(array: Any) -> Any:
    """Return whether all numbers are finite, in one pass at the speed of memory."""
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        return jnp.array(True)
    return jnp.isfinite(jnp.abs(array).max(initial=0.0))  # NaN if one number is


def _stays_finite(old: Any, new: Any) -> Any:
    """Return whether an optimizer's array is finite, or a scalar that was not finite before.

    Some optimizers begin with an infinite best value.
    """
    return _is_finite(new) if new.ndim else _is_finite(new) | ~_is_finite(old)
