"""Optax's optimizers by name, with gradient clipping."""

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxrnn.checks import check_number


def make_optimizer(
    name: str, learning_rate: float | optax.Schedule, max_grad_norm: float | None
) -> optax.GradientTransformation:
    """Return the named optax optimizer, preceded by clipping by the global norm.

    Args:
        name: "sgd", "adam", "adamw", ...: any function of optax that makes an optimizer from
            nothing but a learning rate.
        learning_rate: at least 0, or an optax schedule from step to rate.
        max_grad_norm: the global norm that larger gradients are scaled down to; None never clips.

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
    try:
        optimizer: optax.GradientTransformation = factory(learning_rate)
        jax.eval_shape(lambda: _first_update(optimizer))
    except TypeError as error:  # such as lbfgs, which evaluates the loss several times per step
        raise ValueError(
            f"optimizer must need only gradients and a learning rate, got {name!r}: {error}"
        ) from error
    if max_grad_norm is None:
        return optimizer
    check_number("max_grad_norm", max_grad_norm, low=0.0)
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), optimizer)


@contextlib.contextmanager
def optax_promotion() -> Iterator[None]:
    """Allow the promotion of dtypes and ranks that optax relies on, even if the caller does not."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def _first_update(optimizer: optax.GradientTransformation) -> optax.Updates:
    params = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
    with optax_promotion():
        return optimizer.update(params, optimizer.init(params), params)[0]
