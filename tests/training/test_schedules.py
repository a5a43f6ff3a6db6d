"""Schedules of the learning rate against their closed forms."""

import math

import jax
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxrnn
from jaxrnn.training.optimizer import optax_promotion
from jaxrnn.training.schedules import step_decay, warm_up

RATE, EPOCHS, BATCHES = 8.0, 4, 5


def course(schedule, num_steps):
    with optax_promotion():
        return np.asarray(schedule(np.arange(num_steps)))


@settings(max_examples=30)
@given(
    st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.5]), st.integers(1, 9), st.integers(0, 20),
    st.integers(1, 9),
)  # fmt: skip
def test_steps_and_warm_up_are_their_closed_forms(factor, every, begin, warm_steps):
    schedule = step_decay(RATE, factor, every, begin)
    decayed = [RATE * factor ** max(0, (step - begin) // every) for step in range(40)]
    np.testing.assert_allclose(course(schedule, 40), decayed, rtol=1e-5)  # float32's powers
    warm = [min(1, (step + 1) / warm_steps) * rate for step, rate in enumerate(decayed)]
    np.testing.assert_allclose(course(warm_up(schedule, warm_steps), 40), warm, rtol=1e-5)


@pytest.mark.parametrize("every", [41, 47, 55, 61, 610])
def test_compiled_steps_are_not_late(every):
    """Compiled, a division of floats may be a product with a rounded reciprocal: 41 / 41 < 1."""
    schedule, steps = step_decay(1.0, 0.5, every, 0), np.arange(3 * every)
    with optax_promotion():
        came = jax.jit(jax.vmap(schedule))(steps)
    np.testing.assert_array_equal(came, 0.5 ** (steps // every))


def rates(**options):
    """What the optimizer of a configuration takes off a parameter whose gradient is always 1."""
    config = jaxrnn.TrainConfig(
        windows="sequential", batch_size=3, num_steps=6, epochs=EPOCHS, learning_rate=RATE,
        max_grad_norm=None, **options,
    )  # fmt: skip
    assert config.plans(100).batches_per_epoch() == BATCHES
    optimizer, one = config.make_optimizer(100), np.ones((), np.float32)
    state, taken = optimizer.init(one), []
    for _ in range(EPOCHS * BATCHES + 2):
        with optax_promotion():
            updates, state = optimizer.update(one, state, one)
        taken.append(-float(updates))
    return taken


def cosine(step):
    return RATE * (1 + math.cos(math.pi * min(1, step / (EPOCHS * BATCHES)))) / 2


@pytest.mark.parametrize("warmup_steps", [0, 7])
def test_a_cosine_falls_to_zero_over_all_epochs(warmup_steps):
    expected = [cosine(step) for step in range(EPOCHS * BATCHES + 2)]
    for step in range(warmup_steps):
        expected[step] *= (step + 1) / warmup_steps
    # The cosine of an angle near pi, in float32, is exact to 1e-7 of the first rate.
    came = rates(schedule="cosine", warmup_steps=warmup_steps)
    np.testing.assert_allclose(came, expected, rtol=1e-5, atol=1e-6)


def test_a_warm_up_leads_to_where_the_steps_are_by_then():
    came = rates(decay=0.5, decay_after=2, warmup_steps=8)
    decayed = [RATE * 0.5 ** max(0, step // BATCHES - 1) for step in range(len(came))]
    expected = [min(1, (step + 1) / 8) * rate for step, rate in enumerate(decayed)]
    np.testing.assert_allclose(came, expected, rtol=1e-6)
    assert rates(warmup_steps=1) == [RATE] * len(came)


def test_no_number_of_epochs_is_too_large_to_count_in_steps():
    """JAX would raise an OverflowError for a step that its default integer does not hold."""
    long = 2**31 - 1
    assert rates(decay=0.5, decay_after=long) == [RATE] * (EPOCHS * BATCHES + 2)
    assert rates(average=0.5, average_after=long) == [RATE] * (EPOCHS * BATCHES + 2)
    assert max(rates(warmup_steps=long)) < 1e-6


def test_a_cosine_needs_the_length_of_the_text():
    config = jaxrnn.TrainConfig(schedule="cosine")
    with pytest.raises(ValueError, match="num_ids must be given, because schedule counts in"):
        config.make_optimizer()
    assert isinstance(jaxrnn.TrainConfig(warmup_steps=3).make_optimizer(), tuple)
    assert isinstance(config.make_optimizer(10_000), optax.GradientTransformation)


@pytest.mark.parametrize(
    ("error", "message", "change"),
    [
        (ValueError, "schedule must be one of 'steps', 'cosine'", {"schedule": "linear"}),
        (ValueError, "decay 0.5 needs the schedule steps, got cosine",
         {"schedule": "cosine", "decay": 0.5}),
        (ValueError, "warmup_steps must be between 0 and .*, got -1", {"warmup_steps": -1}),
        (TypeError, "warmup_steps must be an integer", {"warmup_steps": 1.5}),
        (ValueError, "weight_decay must be between 0 and .*, got -1", {"weight_decay": -1.0}),
        (ValueError, "activation_penalty must be .*, got nan",
         {"activation_penalty": float("nan")}),
        (ValueError, "temporal_penalty must be .*, got inf", {"temporal_penalty": float("inf")}),
        (ValueError, "average must be between 0 and 1, got 1.1", {"average": 1.1}),
        (ValueError, "average_after must be between 0 and", {"average": 1.0, "average_after": -1}),
        (ValueError, "average_after 3 needs an average, got None", {"average_after": 3}),
        (ValueError, "random_lengths needs sequential windows", {"random_lengths": True}),
    ],
)  # fmt: skip
def test_a_bad_setting_of_a_training_is_named(error, message, change, as_users_run):
    with pytest.raises(error, match=message):
        jaxrnn.TrainConfig(**change).make_optimizer(10_000)
