"""Mixtures of two models, against closed forms and a search over all weights."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.scoring import fit_mixture, mix
from jaxrnn.text.ngrams import KneserNey

GRID = np.linspace(0, 1, 2001)
SEEDS = range(20)


def random_models(seed):
    """Log-probabilities of a few dozen tokens under two models, of any size and sharpness."""
    generator = np.random.default_rng(seed)
    probabilities = generator.beta(*generator.uniform(0.1, 2, 2), (2, generator.integers(1, 60)))
    with np.errstate(divide="ignore"):
        return np.log(probabilities)


def log_likelihood(first, second, weight):
    return np.log(weight * np.exp(first) + (1 - weight) * np.exp(second)).sum()


def test_a_fitted_weight_is_the_ratio_of_tokens_that_each_model_alone_can_predict():
    """The mixture of two models with disjoint tokens is a coin, fitted to how it fell."""
    impossible = np.array([True] * 3 + [False] * 7)
    first, second = np.where(impossible, -np.inf, -1.0), np.where(impossible, -2.0, -np.inf)
    assert fit_mixture(first, second) == pytest.approx(0.7, abs=1e-12)


def test_a_fitted_weight_solves_the_quadratic_of_two_kinds_of_tokens():
    """p1, p2 are 0.9, 0.1 for three tokens and 0.1, 0.9 for one: 3 (0.9 - 0.8w) = 0.1 + 0.8w."""
    first, second = np.log([0.9, 0.9, 0.9, 0.1]), np.log([0.1, 0.1, 0.1, 0.9])
    assert fit_mixture(first, second) == pytest.approx(2.6 / 3.2, abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_weight_on_a_grid_is_better_and_the_best_of_them_is_near(seed):
    first, second = random_models(seed)
    weight = fit_mixture(first, second)
    with np.errstate(divide="ignore"):
        on_grid = np.array([log_likelihood(first, second, w) for w in GRID])
    assert log_likelihood(first, second, weight) >= on_grid.max() - 1e-9  # rounding of the sums
    assert abs(weight - GRID[on_grid.argmax()]) <= 1 / 2000


@pytest.mark.parametrize("seed", SEEDS)
def test_swapped_models_swap_the_weights(seed):
    first, second = random_models(seed)
    weights = fit_mixture(first, second), fit_mixture(second, first)
    assert sum(weights) == pytest.approx(1, abs=1e-9)  # where the slope's sign is rounding


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fitted_mixture_is_at_least_as_good_as_either_model(seed):
    first, second = random_models(seed)
    total = mix(first, second, fit_mixture(first, second)).sum()
    assert total >= max(first.sum(), second.sum()) - 1e-9  # rounding of the sums


def test_a_model_that_is_better_everywhere_gets_all_the_weight():
    better, worse = np.array([-1.0, -2.0, -3.0]), np.array([-1.5, -np.inf, -1000.0])
    assert fit_mixture(better, worse) == 1
    assert fit_mixture(worse, better) == 0


def test_models_far_apart_neither_overflow_nor_lose_the_smaller_weight():
    """A thousand nats apart, which no float64 ratio can hold."""
    first, second = np.array([-1000.0] * 99 + [-1.0]), np.array([-1.0] * 99 + [-1000.0])
    assert fit_mixture(first, second) == pytest.approx(0.01, abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_mixtures_are_weighted_means_of_probabilities(seed, weight):
    first, second = random_models(seed)
    expected = weight * np.exp(first) + (1 - weight) * np.exp(second)
    np.testing.assert_allclose(
        np.exp(mix(first, second, weight)), expected, rtol=1e-12, atol=1e-300
    )


@pytest.mark.parametrize(
    ("weight", "expected"), [(0.0, -np.inf), (0.5, -1.0 - np.log(2)), (1.0, -1)]
)
def test_what_one_model_excludes_the_other_may_predict(weight, expected):
    came = mix(np.array([-1.0, -np.inf]), np.array([-np.inf, -np.inf]), weight)
    np.testing.assert_allclose(came, [expected, -np.inf], rtol=1e-15)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_scores_of_jax_mix_with_counts_of_numpy(dtype):
    """Uniform over 4 tokens against counts, which know the text; -log 4 rounds in bfloat16."""
    text = np.tile([0, 1, 2, 3], 20)
    uniform = jnp.full(len(text), -np.log(4), dtype)
    counts = np.log(KneserNey(text, n=2, vocab_size=4).probabilities(text))
    assert fit_mixture(uniform, counts) < 0.1
    assert mix(uniform, counts, 0.5).dtype == np.float64


@pytest.mark.parametrize(
    ("error", "message", "first", "second"),
    [
        (TypeError, "first must be an array", [-1.0], np.array([-1.0])),
        (TypeError, "second must be floats, got int64", np.array([-1.0]), np.array([-1])),
        (ValueError, "first must be .t., one", np.array([[-1.0]]), np.array([-1.0])),
        (ValueError, "second must have shape", np.array([-1.0]), np.array([-1.0, -2.0])),
        (ValueError, "first must hold at least one", np.empty(0), np.empty(0)),
        (ValueError, "first must be log.* got 0.5", np.array([0.5]), np.array([-1.0])),
        (ValueError, "second must be log.* got nan", np.array([-1.0]), np.array([np.nan])),
        (ValueError, "predict token 1", np.array([-1, -np.inf]), np.array([-np.inf, -np.inf])),
    ],
)
def test_what_cannot_be_fitted_is_named(error, message, first, second, as_users_run):
    with pytest.raises(error, match=message):
        fit_mixture(first, second)


@pytest.mark.parametrize("weight", [-0.1, 1.1, np.nan])
def test_a_weight_outside_its_range_is_named(weight):
    with pytest.raises(ValueError, match="weight must be between 0 and 1"):
        mix(np.array([-1.0]), np.array([-2.0]), weight)
