"""One step of training: a pure function from state and batch to state and metrics."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxrnn.checks import check_number, check_positive_integer
from jaxrnn.layers import Layer
from jaxrnn.text import Batch
from jaxrnn.training.gradient import make_gradient
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
    """Whether loss, gradient or carry were not finite, so that nothing was learnt; the two sums are
    then 0."""


TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def make_optimizer(
    name: str, learning_rate: float | optax.Schedule, max_grad_norm: float | None
) -> optax.GradientTransformation:
    """Clipping by the global norm, then the optimizer of that name in optax.

    Args:
        name: "sgd", "adam", "adamw", ... : any function of optax that takes a learning rate.
        learning_rate: at least 0, or a schedule of optax, from the step to the rate.
        max_grad_norm: the gradient's global norm is scaled down to it; None never clips.

    Raises:
        TypeError: a number is of the wrong type.
        ValueError: optax has no such optimizer, or a number is out of range.
    """
    if not callable(learning_rate):
        check_number("learning_rate", learning_rate, low=0.0)
    factory = getattr(optax, name, None)
    takes_rate = callable(factory) and "learning_rate" in inspect.signature(factory).parameters
    if factory is None or not takes_rate:
        raise ValueError(f"optimizer must be one of optax, such as sgd or adam, got {name!r}")
    optimizer: optax.GradientTransformation = factory(learning_rate)
    if max_grad_norm is None:
        return optimizer
    check_number("max_grad_norm", max_grad_norm, low=0.0)
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), optimizer)


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
    return TrainState(
        params=params,
        opt_state=optimizer.init(params),
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
    stops there (truncated back-propagation through time).  A step whose loss, gradient or new carry
    is not finite changes nothing but the step's number and the key: one NaN would otherwise reach
    every parameter, by way of the gradient's norm.

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
        ValueError: by the step, where the rows cannot be cut into that many groups.

    Reference: Williams and Peng, An efficient gradient-based algorithm for on-line training of
        recurrent network trajectories, 1990.
    """
    gradient = make_gradient(model, axis_name, accumulate)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        next_key, apply_key = jax.random.split(state.key)
        loss, tokens, grads, carry = gradient(state.params, batch, state.carry, apply_key)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        new = TrainState(params, opt_state, carry, key=next_key, step=state.step + 1)
        grad_norm = optax.tree.norm(grads)
        finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm) & _all_finite(carry, axis_name)
        unchanged = state.replace(key=new.key, step=new.step)
        state = jax.tree.map(lambda new, old: jnp.where(finite, new, old), new, unchanged)
        tokens = jnp.where(finite, tokens, 0)
        nats = jnp.where(finite, loss * tokens.astype(loss.dtype), 0.0)
        return state, Metrics(nats, tokens, grad_norm, ~finite)

    return train_step


def _all_finite(carry: Any, axis_name: str | None) -> Any:
    """On all devices: they must agree to skip a step."""
    num_wrong = sum(jnp.sum(~jnp.isfinite(array)) for array in jax.tree.leaves(carry))
    return (num_wrong if axis_name is None else lax.psum(num_wrong, axis_name)) == 0
