"""Optimizers by name: all of optax that a gradient and a learning rate are enough for."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxrnn
from jaxrnn.training.optimizer import optax_promotion, scale_by_weight

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
        (ValueError, "weight_decay must be between 0 and .*, got -1", ("sgd", 1.0, None, -1.0)),
        (ValueError, "weight_decay must be between .*, got inf", ("adam", 1.0, 1.0, float("inf"))),
        (TypeError, "weight_decay must be a number", ("adamw", 1.0, None, "some")),
    ],
)
def test_bad_arguments_are_named(error, message, arguments, as_users_run):
    with pytest.raises(error, match=message):
        jaxrnn.make_optimizer(*arguments)


def steps_of(optimizer, params, gradients):
    """The parameters after some steps."""
    state = optimizer.init(params)
    with optax_promotion():
        for grads in gradients:
            updates, state = optimizer.update(grads, state, params)
            params = optax.apply_updates(params, updates)
    return params


def adam_direction(moments, grad, step):
    """Kingma and Ba's, with optax's constants; changes the moments."""
    moments[0] = 0.9 * moments[0] + 0.1 * grad
    moments[1] = 0.999 * moments[1] + 0.001 * grad**2
    first, second = moments[0] / (1 - 0.9**step), moments[1] / (1 - 0.999**step)
    return first / (np.sqrt(second) + 1e-8)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_weight_decay_is_the_optimizers_own_or_added_to_the_clipped_gradient(name, x64):
    """AdamW has its own, which passes by the moments; of SGD and Adam, the gradient has it."""
    rate, limit, decay = 0.1, 0.5, 0.3
    draw = np.random.default_rng(0).normal
    first, *gradients = ({"a": draw(size=(3, 2)), "b": draw(size=3)} for _ in range(6))
    expected = {key: array.copy() for key, array in first.items()}
    moments = {key: [0.0, 0.0] for key in first}
    for step, grads in enumerate(gradients, 1):
        norm = np.sqrt(sum(np.square(grad).sum() for grad in grads.values()))
        assert norm > limit
        for key, grad in grads.items():
            direction = grad * limit / norm
            if name != "adamw":
                direction = direction + decay * expected[key]
            if name != "sgd":
                direction = adam_direction(moments[key], direction, step)
            if name == "adamw":
                direction = direction + decay * expected[key]
            expected[key] = expected[key] - rate * direction
    optimizer = jaxrnn.make_optimizer(name, rate, limit, decay)
    came = steps_of(optimizer, jax.tree.map(jnp.asarray, first), gradients)
    for key in first:
        np.testing.assert_allclose(came[key], expected[key], rtol=1e-12)


def test_a_weight_decay_of_another_name_is_the_optimizers_own():
    params, gradients = {"a": jnp.ones((3, 2))}, [{"a": jnp.full((3, 2), 0.1)}] * 3
    ours = jaxrnn.make_optimizer("adafactor", 1e-3, None, 0.1)
    theirs = optax.adafactor(1e-3, weight_decay_rate=0.1)
    came, expected = (steps_of(each, params, gradients)["a"] for each in (ours, theirs))
    np.testing.assert_array_equal(came, expected)


def test_without_a_weight_decay_that_of_the_optimizer_stays():
    gradients = [PARAMS] * 3
    default = steps_of(optax.adamw(0.1), PARAMS, gradients)
    ours = steps_of(jaxrnn.make_optimizer("adamw", 0.1, None), PARAMS, gradients)
    jax.tree.map(np.testing.assert_array_equal, ours, default)


@pytest.mark.parametrize("weight", [np.int32(7), np.float32(2.5), np.int32(0)])
def test_updates_are_scaled_by_the_weight_of_the_batch(weight):
    optimizer = optax.chain(optax.sgd(0.5), scale_by_weight(10))
    params = PARAMS | {"half": jnp.ones(2, jnp.bfloat16)}
    updates, _ = optimizer.update(params, optimizer.init(params), params, weight=weight)
    for name, update in updates.items():
        assert update.dtype == params[name].dtype
        rtol = 2**-8 if name == "half" else 1e-6  # the rounding of each type
        expected = np.full(update.shape, -0.5 * float(weight) / 10)
        np.testing.assert_allclose(update.astype(jnp.float32), expected, rtol=rtol)
