"""Optimizers by name: all of optax that a gradient and a learning rate are enough for."""

import inspect

import jax
import jax.numpy as jnp
import optax
import pytest

import jaxrnn

PARAMS = {"a": jnp.ones((3, 2)), "b": jnp.ones(3)}
FACTORIES = [
    name
    for name, factory in vars(optax).items()
    if inspect.isfunction(factory) and "learning_rate" in inspect.signature(factory).parameters
]
NEED_MORE = {"lbfgs"}
"""What evaluates the loss itself, or has no default for something else."""


@pytest.mark.parametrize("name", FACTORIES)
@pytest.mark.filterwarnings("ignore:Specifying a key will be required")  # of noisy_sgd
@pytest.mark.filterwarnings("ignore:.* is deprecated:DeprecationWarning")
def test_every_name_updates_or_is_refused(name, as_users_run):
    if name in NEED_MORE or name.startswith("_"):
        with pytest.raises(ValueError, match=f"only gradients and a learning rate, got '{name}'"):
            jaxrnn.make_optimizer(name, 0.1, None)
        return
    optimizer = jaxrnn.make_optimizer(name, 0.1, None)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        updates, _ = optimizer.update(PARAMS, optimizer.init(PARAMS), PARAMS)
    assert jax.tree.map(jnp.shape, updates) == jax.tree.map(jnp.shape, PARAMS)


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (ValueError, "optimizer must be one of optax", ("gradient_descent", 1.0, None)),
        (ValueError, "optimizer must be one of optax", ("chain", 1.0, None)),
        (ValueError, "optimizer must be one of optax", ("GradientTransformation", 1.0, None)),
        (ValueError, "optimizer must be one of optax", ("ScaleByZoomLinesearchState", 1.0, None)),
        (ValueError, "optimizer must be one of optax", ("", 1.0, None)),
        (ValueError, "learning_rate must be at least 0, got -1", ("sgd", -1.0, None)),
        (ValueError, "learning_rate must be at least 0, got nan", ("sgd", float("nan"), None)),
        (ValueError, "max_grad_norm must be at least 0", ("sgd", 1.0, -0.1)),
        (TypeError, "learning_rate must be a number", ("sgd", "fast", None)),
    ],
)
def test_bad_arguments_are_named(error, message, arguments, as_users_run):
    with pytest.raises(error, match=message):
        jaxrnn.make_optimizer(*arguments)
