"""The learning rate that a configuration names, epoch by epoch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn


def rates(config, num_ids, num_steps):
    """What SGD takes off a parameter whose gradient is always 1."""
    optimizer = config.make_optimizer(num_ids)
    params = jnp.zeros(())
    state, taken = optimizer.init(params), []
    with jax.numpy_dtype_promotion("standard"):  # optax's own counters are not strict
        for _ in range(num_steps):
            updates, state = optimizer.update(jnp.ones(()), state, params)
            taken.append(-float(updates))
    return taken


@pytest.mark.parametrize("decay_after", [1, 2, 4])
def test_the_rate_falls_at_the_end_of_each_epoch_from_one_on(decay_after):
    """The schedule of Zaremba et al.: a factor for each epoch after those at the first rate."""
    config = jaxrnn.TrainConfig(
        windows="sequential", batch_size=3, num_steps=6, epochs=7, learning_rate=8.0,
        decay=0.5, decay_after=decay_after, max_grad_norm=None,
    )  # fmt: skip
    batches = config.plans(100).batches_per_epoch()
    assert batches == 5
    expected = [8.0 * 0.5 ** max(0, epoch + 1 - decay_after) for epoch in range(7)]
    np.testing.assert_allclose(rates(config, 100, 35), np.repeat(expected, batches), rtol=1e-6)


@pytest.mark.parametrize("decay_after", [1, 3])
def test_a_decay_of_zero_ends_the_learning(decay_after):
    config = jaxrnn.TrainConfig(
        windows="sequential", batch_size=3, num_steps=6, epochs=7, learning_rate=8.0,
        decay=0.0, decay_after=decay_after, max_grad_norm=None,
    )  # fmt: skip
    expected = [8.0 * (epoch < decay_after) for epoch in range(7)]
    assert rates(config, 100, 35) == np.repeat(expected, 5).tolist()


def test_without_decay_the_length_of_the_text_does_not_matter():
    config = jaxrnn.TrainConfig(learning_rate=2.0, max_grad_norm=None)
    assert rates(config, None, 3) == [2.0, 2.0, 2.0]


def test_a_rate_that_decays_needs_the_length_of_the_text():
    config = jaxrnn.TrainConfig(decay=0.5)
    with pytest.raises(ValueError, match="num_ids must be given, because decay counts in epochs"):
        config.make_optimizer()


@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("decay must be at least 0, got -1", {"decay": -1.0}),
        ("decay must be at least 0, got nan", {"decay": float("nan")}),
        ("decay_after must be at least 1, got 0", {"decay_after": 0}),
    ],
)
def test_a_bad_decay_is_named(message, change, as_users_run):
    with pytest.raises(ValueError, match=message):
        jaxrnn.TrainConfig(**change)
