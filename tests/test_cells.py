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


def test_an_activation_must_be_a_function(as_users_run):
    with pytest.raises(TypeError, match="activation"):
        jaxrnn.rnn(3, "tanh")
