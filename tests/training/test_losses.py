"""The loss and its units."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn.training import bits_per_character, cross_entropy, perplexity

V = 7
TARGETS = jnp.array([[3, 0], [6, 2]])


def test_reference_cases_of_perplexity():
    """1 for a perfect model, infinite for probability 0, V for a uniform one."""
    right = jnp.where(jax.nn.one_hot(TARGETS, V) > 0, 0.0, -jnp.inf)
    wrong = jnp.where(jax.nn.one_hot(TARGETS, V) > 0, -jnp.inf, 0.0)
    assert perplexity(float(cross_entropy(right, TARGETS))) == 1
    assert perplexity(float(cross_entropy(wrong, TARGETS))) == math.inf
    uniform = perplexity(float(cross_entropy(jnp.zeros((2, 2, V)), TARGETS)))
    assert uniform == pytest.approx(V, rel=1e-6)
    assert perplexity(1e4) == math.inf


def test_equals_a_direct_sum():
    logits = np.random.default_rng(0).normal(size=(2, 2, V)).astype(np.float32)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = -np.mean([math.log(p[i, j, TARGETS[i, j]]) for i in (0, 1) for j in (0, 1)])
    assert cross_entropy(jnp.array(logits), TARGETS) == pytest.approx(expected, rel=1e-6)


def test_what_is_masked_has_no_influence():
    mask = jnp.array([[True, False], [True, True]])
    logits = jax.random.normal(jax.random.key(0), (2, 2, V))
    spoilt, strange = logits.at[0, 1].set(jnp.nan), TARGETS.at[0, 1].set(-5)
    value, grad = jax.value_and_grad(cross_entropy)(spoilt, strange, mask)
    rows = jnp.array([0, 2, 3])
    alone = cross_entropy(logits.reshape(4, V)[rows], TARGETS.reshape(4)[rows])
    assert float(value) == pytest.approx(float(alone), rel=1e-6)
    assert np.isfinite(grad).all()
    assert not grad[0, 1].any()
    assert cross_entropy(logits, TARGETS, jnp.zeros((2, 2), bool)) == 0


def test_a_target_out_of_range_is_an_error_or_nan(as_users_run):
    logits = jnp.zeros((2, 2, V))
    for wrong in (-1, -100, V):
        targets = TARGETS.at[0, 0].set(wrong)
        with pytest.raises(ValueError, match=rf"targets must lie in 0\.\.6, got {wrong}"):
            cross_entropy(logits, targets)
        assert np.isnan(jax.jit(cross_entropy)(logits, targets))


def test_a_mask_must_be_of_bools(as_users_run):
    with pytest.raises(TypeError, match="mask must be bool"):
        cross_entropy(jnp.zeros((2, 2, V)), TARGETS, jnp.full((2, 2), 2))


def test_bits_are_nats_over_log_two():
    assert bits_per_character(math.log(8)) == pytest.approx(3)
