"""Optax's optimizers by name, with gradient clipping."""

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxrnn.checks import FLOAT32_MAX, check_number


def make_optimizer(
    name: str,
    learning_rate: float | optax.Schedule,
    max_grad_norm: float | None,
    weight_decay: float | None = None,
) -> optax.GradientTransformation:
    """Return the named optax optimizer, preceded by clipping by the global norm.

    Args:
        name: "sgd", "adam", "adamw", ...: any function of optax that makes an optimizer from
            nothing but a learning rate.
        learning_rate: at least 0, or an optax schedule from step to rate.
        max_grad_norm: the global norm that larger gradients are scaled down to; None never clips.
        weight_decay: the optimizer's own, such as adamw's, where it has one; otherwise so much of
            each parameter is added to its clipped gradient.  None leaves it to the optimizer.

    Raises:
        TypeError: a number is of the wrong type.
        ValueError: optax has no such optimizer, it needs more than gradients and a learning rate,
            or a number is out of range.

    Examples:
        >>> import jax.numpy as jnp, jaxrnn
        >>> optimizer = jaxrnn.make_optimizer("sgd", 0.5, max_grad_norm=None)
        >>> updates, _ = optimizer.update(jnp.ones(2), optimizer.init(jnp.zeros(2)))
        >>> updates.tolist()
        [-0.5, -0.5]
    """
    if not callable(learning_rate):
        check_number("learning_rate", learning_rate, low=0.0)
    factory: Any = getattr(optax, name, None)
    takes = inspect.signature(factory).parameters if inspect.isfunction(factory) else ()
    if "learning_rate" not in takes:
        raise ValueError(f"optimizer must be one of optax, such as sgd or adam, got {name!r}")
    own = {}
    if weight_decay is not None:
        check_number("weight_decay", weight_decay, low=0.0, high=FLOAT32_MAX)
        names = {"weight_decay", "weight_decay_rate"}.intersection(takes)
        own = dict.fromkeys(names, weight_decay)
    try:
        optimizer: optax.GradientTransformation = factory(learning_rate, **own)
        jax.eval_shape(lambda: _first_update(optimizer))
    except TypeError as error:  # such as lbfgs, which evaluates the loss several times per step
        raise ValueError(
            f"optimizer must need only gradients and a learning rate, got {name!r}: {error}"
        ) from error
    before = []
    if max_grad_norm is not None:
        check_number("max_grad_norm", max_grad_norm, low=0.0)
        before.append(optax.clip_by_global_norm(max_grad_norm))
    if weight_decay and not own:
        before.append(optax.add_decayed_weights(weight_decay))
    return optax.chain(*before, optimizer) if before else optimizer


def scale_by_weight(usual: float) -> optax.GradientTransformationExtraArgs:
    """Return a transformation that scales the updates of a batch by its weight over the usual one.

    With windows of random lengths, it makes the learning rate proportional to the length (Merity,
    Keskar and Socher, 2018, arXiv:1708.02182, section 4.1).  It is for the end of an `optax.chain`;
    `make_train_step` passes on the weight.

    Examples:
        >>> import jax.numpy as jnp, optax
        >>> from jaxrnn.training.optimizer import scale_by_weight
        >>> optimizer = optax.chain(optax.sgd(1.0), scale_by_weight(100))
        >>> state = optimizer.init(jnp.zeros(()))
        >>> grads, weight = jnp.ones(()), jnp.array(50)
        >>> updates, _ = optimizer.update(grads, state, jnp.zeros(()), weight=weight)
        >>> float(updates)
        -0.5
    """

    def update(
        updates: Any, state: Any, params: Any = None, *, weight: Any = None, **_: Any
    ) -> tuple[Any, Any]:
        if weight is None:
            raise ValueError("weight must be given, as make_train_step does, got None")
        scale = jnp.asarray(weight, jnp.float32) / usual
        return jax.tree.map(lambda each: each * scale.astype(each.dtype), updates), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


@contextlib.contextmanager
def optax_promotion() -> Iterator[None]:
    """Allow the promotion of dtypes and ranks that optax relies on, even if the caller does not."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def _first_update(optimizer: optax.GradientTransformation) -> optax.Updates:
    params = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
    with optax_promotion():
        return optimizer.update(params, optimizer.init(params), params)[0]
