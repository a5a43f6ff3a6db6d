"""Cells by themselves: factories and carries."""

import jax
import jax.numpy as jnp
import pytest

import jaxrnn

FACTORIES = [jaxrnn.rnn, jaxrnn.gru, jaxrnn.lstm]


@pytest.mark.parametrize("factory", FACTORIES)
def test_a_cell_knows_its_sizes_and_starts_at_zero(factory):
    cell = factory(3)
    carry = cell.initial_carry(2, jnp.bfloat16)
    assert cell.hidden_size == 3
    assert all(c.shape == (2, 3) and c.dtype == jnp.bfloat16 and not c.any() for c in carry)
    assert cell.init_params(jax.random.key(0)) == ()
    assert hash(cell) == hash(factory(3))


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize(
    ("error", "size"), [(ValueError, 0), (ValueError, -1), (TypeError, 2.0), (TypeError, True)]
)
def test_a_bad_size_is_named(factory, error, size, as_users_run):
    with pytest.raises(error, match="hidden_size"):
        factory(size)


def test_an_activation_must_be_a_function_or_a_name(as_users_run):
    with pytest.raises(TypeError, match="activation must be a function of an array, got 3"):
        jaxrnn.rnn(3, 3)
    with pytest.raises(ValueError, match=r"activation must be 'tanh', .* or a function, got 'tan'"):
        jaxrnn.rnn(3, "tan")


def test_an_activation_of_jax_is_that_of_its_name():
    assert jaxrnn.rnn(3, jnp.tanh) == jaxrnn.rnn(3, "tanh") == jaxrnn.rnn(3)
    assert jaxrnn.rnn(3, jax.nn.relu) == jaxrnn.rnn(3, "relu") != jaxrnn.rnn(3)
    assert jaxrnn.rnn(3, jnp.sin) == jaxrnn.rnn(3, jnp.sin)
