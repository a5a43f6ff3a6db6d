"""Cells by themselves: factories, carries and the parameters that they start with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from benchmarks.cell_features import CELLS

OWN = {"peephole_lstm", "layer_norm_lstm", "layer_norm_gru", "lru", "s5", "rg_lru", "ema"}
"""The cells with parameters of their own."""


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_knows_its_sizes_and_starts_at_zero(name):
    cell = CELLS[name](4)
    carry = cell.initial_carry(2, jnp.bfloat16)
    assert cell.hidden_size == 4
    assert all(c.shape == (2, 4) and c.dtype == jnp.bfloat16 for c in carry)
    for field, array in carry._asdict().items():
        assert (array < -1e29).all() if field == "stabilizer" else not array.any()
    own = cell.init_params(jax.random.key(0))
    assert bool(jax.tree.leaves(own)) == (name in OWN)
    assert all(array.dtype == jnp.float32 for array in jax.tree.leaves(own))
    assert hash(cell) == hash(CELLS[name](4))
    assert repr(cell) == f"{cell.name}(4)"


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize(
    ("error", "size"), [(ValueError, 0), (ValueError, -1), (TypeError, 2.0), (TypeError, True)]
)
def test_a_bad_size_is_named(name, error, size, as_users_run):
    with pytest.raises(error, match="hidden_size"):
        CELLS[name](size)


def test_an_activation_must_be_a_function_or_a_name(as_users_run):
    with pytest.raises(TypeError, match="activation must be a function of an array, got 3"):
        jaxrnn.rnn(3, 3)
    with pytest.raises(ValueError, match=r"activation must be 'tanh', .* or a function, got 'tan'"):
        jaxrnn.rnn(3, "tan")


def test_an_activation_of_jax_is_that_of_its_name():
    assert jaxrnn.rnn(3, jnp.tanh) == jaxrnn.rnn(3, "tanh") == jaxrnn.rnn(3)
    assert jaxrnn.rnn(3, jax.nn.relu) == jaxrnn.rnn(3, "relu") != jaxrnn.rnn(3)
    assert jaxrnn.rnn(3, jnp.sin) == jaxrnn.rnn(3, jnp.sin)


@pytest.mark.parametrize(
    ("error", "message", "make"),
    [
        (ValueError, "num_heads must divide hidden_size = 4, got 3", {"num_heads": 3}),
        (ValueError, "num_heads must be at least 1", {"num_heads": 0}),
        (TypeError, "num_heads must be an integer", {"num_heads": 2.0}),
    ],
)
def test_bad_heads_are_named(error, message, make, as_users_run):
    with pytest.raises(error, match=message):
        jaxrnn.slstm(4, **make)


@pytest.mark.parametrize(
    ("error", "message", "make"),
    [
        (ValueError, "pooling must be one of", lambda: jaxrnn.qrnn(4, pooling="o")),
        (ValueError, "max_steps must be between 1", lambda: jaxrnn.ema(4, max_steps=0.5)),
        (ValueError, "max_steps must be between 1", lambda: jaxrnn.ema(4, max_steps=float("inf"))),
        (ValueError, "min_radius must be between", lambda: jaxrnn.lru(4, min_radius=-0.1)),
        (
            ValueError,
            "max_radius must be between 0.9 and 1",
            lambda: jaxrnn.lru(4, min_radius=0.9, max_radius=0.8),
        ),
        (ValueError, "max_phase must be between", lambda: jaxrnn.lru(4, max_phase=7)),
        (ValueError, "max_step must be", lambda: jaxrnn.s5(4, min_step=0.1, max_step=0.01)),
        (TypeError, "min_step must be a number", lambda: jaxrnn.s5(4, min_step="0.1")),
    ],
)
def test_bad_ranges_are_named(error, message, make, as_users_run):
    with pytest.raises(error, match=message):
        make()


def test_eigenvalues_start_in_their_ring():
    own = jaxrnn.lru(500, min_radius=0.6, max_radius=0.9, max_phase=0.3).init_params(
        jax.random.key(0)
    )
    radius, phase = np.exp(-np.exp(own.log_decay)), np.exp(own.log_phase)
    # 500 draws reach within a hundredth of both ends; float32
    assert 0.6 - 1e-5 <= radius.min() < 0.61 < 0.89 < radius.max() <= 0.9 + 1e-5
    assert 0 < phase.min() < 0.01 < 0.29 < phase.max() <= 0.3 + 1e-5
    # gamma: inputs of variance 1 give states of variance 1
    np.testing.assert_allclose(np.exp(own.log_scale) ** 2, 1 - radius**2, atol=1e-5)


def test_s5_starts_from_the_eigenvalues_of_hippo():
    own = jaxrnn.s5(8, min_step=0.01, max_step=0.1).init_params(jax.random.key(0))
    n = np.arange(16)
    # Gu et al. (2020): HiPPO-LegS, plus the rank-one term that makes it normal
    matrix = -np.tril(np.sqrt(np.outer(2 * n + 1, 2 * n + 1)), -1) - np.diag(n + 1)
    normal = matrix + 0.5 * np.outer(np.sqrt(2 * n + 1), np.sqrt(2 * n + 1))
    eigenvalues = np.linalg.eigvals(normal)
    upper = eigenvalues[eigenvalues.imag > 0]
    np.testing.assert_allclose(np.sort(own.frequency), np.sort(upper.imag), rtol=1e-5)
    np.testing.assert_allclose(-np.exp(own.log_decay), upper.real, rtol=1e-5)
    assert np.exp(own.log_step).min() >= 0.0099999
    assert np.exp(own.log_step).max() <= 0.1000001


def test_rg_lru_starts_with_long_memories():
    own = np.asarray(jaxrnn.rg_lru(500).init_params(jax.random.key(0)), np.float64)
    a = np.exp(-8 * np.log1p(np.exp(own)))
    # 500 draws reach within a thousandth of both ends; float32
    assert 0.9 - 1e-5 <= a.min() < 0.901 < 0.998 < a.max() <= 0.999 + 1e-5


def test_s5_keeps_the_digits_of_small_steps():
    """Held for a short step, an input counts (exp(lambda Delta) - 1) / lambda: about Delta."""
    cell = jaxrnn.s5(8, min_step=1e-6, max_step=1e-5)
    own, one = cell.init_params(jax.random.key(0)), jnp.ones((1, 8))
    _, held = cell.coefficients(own, (one, 0 * one, one))
    eigenvalues = -np.exp(np.float64(own.log_decay)) + 1j * np.float64(own.frequency)
    expected = np.expm1(eigenvalues * np.exp(np.float64(own.log_step))) / eigenvalues
    np.testing.assert_allclose(held[0], expected, rtol=1e-5)


def test_an_ema_spreads_its_time_constants():
    decay = np.asarray(jaxrnn.ema(3, max_steps=100).init_params(jax.random.key(0)), np.float64)
    a = 1 / (1 + np.exp(-decay))
    np.testing.assert_allclose(1 / (1 - a) - 1, [1, 10, 100], rtol=1e-5)
