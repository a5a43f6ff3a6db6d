"""The average of the parameters: against NumPy, and through steps that are skipped."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxrnn
from jaxrnn.training import average_of, average_params

V, B, T, STEPS = 5, 3, 4, 25


def trajectory(optimizer, steps=STEPS):
    """The parameters after each step along random gradients, and the last of the average."""
    draw = np.random.default_rng(0).normal
    params = {"kernel": jnp.asarray(draw(size=(2, 3)), jnp.float32), "bias": jnp.ones(3)}
    state, course = optimizer.init(params), [params]
    update = jax.jit(optimizer.update)
    for _ in range(steps):
        grads = jax.tree.map(lambda p: jnp.asarray(draw(size=p.shape), jnp.float32), params)
        updates, state = update(grads, state, params)
        params = optax.apply_updates(params, updates)
        course.append(params)
    return jax.tree.map(np.asarray, course), jax.tree.map(np.asarray, state[-1].average)


@pytest.mark.parametrize("after", [0, 7, STEPS])
def test_with_a_decay_of_one_the_average_is_the_mean_of_the_steps_that_count(after):
    course, average = trajectory(optax.chain(optax.sgd(0.1), average_params(1.0, after)))
    counted = course[after + 1 :] or course[-1:]  # before the first that counts: the parameters
    for name, came in average.items():
        expected = np.mean([params[name] for params in counted], axis=0, dtype=np.float64)
        # 25 roundings of numbers around 1, at 6e-8 each
        np.testing.assert_allclose(came, expected, rtol=0, atol=3e-6)


@pytest.mark.parametrize(("decay", "after"), [(0.9, 0), (0.9, 7), (0.0, 3)])
def test_an_exponential_average_begins_as_the_mean_of_its_first_steps(decay, after):
    """The mean of the first 1 / (1 - decay) steps, and from there on the usual recursion."""
    course, average = trajectory(optax.chain(optax.sgd(0.1), average_params(decay, after)))
    begin = round(1 / (1 - decay))
    for name, came in average.items():
        counted = [params[name].astype(np.float64) for params in course[after + 1 :]]
        expected = np.mean(counted[:begin], axis=0)
        for new in counted[begin:]:
            expected = decay * expected + (1 - decay) * new
        np.testing.assert_allclose(came, expected, rtol=0, atol=3e-6)


def test_the_average_changes_no_update():
    course, _ = trajectory(optax.chain(optax.sgd(0.1, 0.9), average_params(0.9)))
    alone, _ = trajectory(optax.chain(optax.sgd(0.1, 0.9), average_params(1.0, 10**6)))
    jax.tree.map(np.testing.assert_array_equal, course, alone)


def test_averages_of_bfloat16_stay_so():
    optimizer = optax.chain(optax.sgd(0.1), average_params(0.9))
    params = jnp.ones(3, jnp.bfloat16)
    _, state = optimizer.update(params, optimizer.init(params), params)
    assert state[-1].average.dtype == jnp.bfloat16


def test_the_average_begins_after_so_many_epochs():
    config = jaxrnn.TrainConfig(
        windows="sequential", batch_size=3, num_steps=6, average=1.0, average_after=2,
        learning_rate=0.1,
    )  # fmt: skip
    batches = config.plans(100).batches_per_epoch()
    assert batches == 5
    course, average = trajectory(config.make_optimizer(100), 2 * batches + 2)
    for name, came in average.items():
        expected = (course[-1][name] + course[-2][name]) / 2
        np.testing.assert_allclose(came, expected, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="num_ids must be given, because average_after counts in"):
        config.make_optimizer()


def spoilt_where_id_0(outputs, batch):
    total, weight = jaxrnn.losses.cross_entropy(outputs, batch)
    return jnp.where((batch.inputs == 0).any(), jnp.nan, total), weight


def test_a_skipped_step_leaves_the_average_as_it_was():
    """Steps 2 and 5 of 7 are bad: the average is that of the other five."""
    model = jaxrnn.build_language_model(jaxrnn.ModelConfig(hidden_size=4, init="uniform"), V)
    optimizer = jaxrnn.TrainConfig(average=1.0, learning_rate=1.0).make_optimizer()
    state = jaxrnn.init_state(model, optimizer, V, B, jax.random.key(0))
    step = jax.jit(jaxrnn.make_train_step(model, optimizer, spoilt_where_id_0))
    course = []
    for number in range(7):
        ids = np.random.default_rng(number).integers(1, V, (T + 1, B)).astype(np.int32)
        ids[0] = np.where(number in (2, 5), 0, ids[0])
        before = average_of(state.opt_state)
        state, metrics = step(state, jaxrnn.Batch(ids[:-1], ids[1:], None, np.ones(B, bool)))
        assert bool(metrics.skipped) == (number in (2, 5))
        if metrics.skipped:
            jax.tree.map(np.testing.assert_array_equal, before, average_of(state.opt_state))
        else:
            course.append(jax.tree.map(np.asarray, state.params))
    expected = jax.tree.map(lambda *params: np.mean(params, axis=0), *course)
    for came, mean in zip(
        *map(jax.tree.leaves, (average_of(state.opt_state), expected)), strict=True
    ):
        np.testing.assert_allclose(came, mean, rtol=0, atol=1e-6)


def test_without_an_average_there_is_none():
    model = jaxrnn.build_language_model(jaxrnn.ModelConfig(hidden_size=4), V)
    for name in ("sgd", "adam"):
        optimizer = jaxrnn.TrainConfig(optimizer=name).make_optimizer()
        state = jaxrnn.init_state(model, optimizer, V, B, jax.random.key(0))
        assert average_of(state.opt_state) is None
    optimizer = jaxrnn.TrainConfig(average=0.5).make_optimizer()
    state = jaxrnn.init_state(model, optimizer, V, B, jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, average_of(state.opt_state), state.params)


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (ValueError, "decay must be between 0 and 1, got 1.5", (1.5,)),
        (ValueError, "decay must be between 0 and 1, got nan", (float("nan"),)),
        (TypeError, "decay must be a number", ("much",)),
        (ValueError, "after must be between 0 and .*, got -1", (0.9, -1)),
        (TypeError, "after must be an integer", (0.9, 1.5)),
    ],
)
def test_a_bad_average_is_named(error, message, arguments, as_users_run):
    with pytest.raises(error, match=message):
        average_params(*arguments)


def test_an_average_needs_the_parameters():
    optimizer = average_params(0.9)
    with pytest.raises(ValueError, match="params must be given to average them, got None"):
        optimizer.update(jnp.ones(()), optimizer.init(jnp.ones(())))
