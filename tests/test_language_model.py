"""Language models: shapes the book prints, one-hot input, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn


@pytest.mark.parametrize(
    ("vocab_size", "hidden_size", "ids_shape"),
    [(1027, 256, (5, 2)), (28, 512, (5, 2))],  # Jay Chou; The Time Machine
)
def test_the_shapes_that_the_book_prints(vocab_size, hidden_size, ids_shape):
    config = jaxrnn.ModelConfig(cell="rnn", hidden_size=hidden_size)
    model = jaxrnn.build(config, vocab_size)
    params = model.init(jax.random.key(0), vocab_size)
    ids = jnp.arange(10).reshape(ids_shape)
    logits, (carry,) = model.apply(params, ids, model.initial_carry(params, ids_shape[1]))
    assert logits.shape == (*ids_shape, vocab_size)
    assert carry.hidden.shape == (ids_shape[1], hidden_size)


def test_one_hot_input_is_never_materialised():
    """No array of the program holds T * B * V numbers but the logits of that shape."""
    vocab_size, shape = 5000, (7, 3)
    model = jaxrnn.build(jaxrnn.ModelConfig(hidden_size=4), vocab_size)
    body, params = model.parts[1], model.init(jax.random.key(0), vocab_size).body
    jaxpr = jax.make_jaxpr(lambda ids: body.apply(params, ids, body.initial_carry(params, 3)))(
        jnp.zeros(shape, jnp.int32)
    )
    largest = max(variable.aval.size for equation in jaxpr.eqns for variable in equation.outvars)
    assert largest < vocab_size * 3


@pytest.mark.parametrize("embedding_size", [None, 6])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_build_makes_what_the_configuration_says(cell, embedding_size):
    config = jaxrnn.ModelConfig(
        cell=cell, num_layers=2, hidden_size=5, embedding_size=embedding_size, init="uniform"
    )
    model = jaxrnn.build(config, 11)
    params = model.init(jax.random.key(0), 11)
    first = 11 if embedding_size is None else embedding_size
    assert [layer.w_ih.shape[0] for layer in params.body] == [first, 5]
    assert params.output.kernel.shape == (5, 11)
    assert params.embedding == () if embedding_size is None else params.embedding.shape == (11, 6)
    with pytest.raises(ValueError, match="input_size must be vocab_size = 11, got 12"):
        model.init(jax.random.key(0), 12)
    assert model.output_size(11) == 11
    assert model.causal


def test_a_body_that_sees_the_future_is_refused():
    body = jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.lstm(4)))
    with pytest.raises(ValueError, match="body must be causal"):
        jaxrnn.language_model(10, body)
    model = jaxrnn.language_model(10, body, allow_future=True)
    assert not model.causal
    params = model.init(jax.random.key(0), 10)
    logits, _ = model.apply(params, jnp.zeros((3, 2), int), model.initial_carry(params, 2))
    assert np.isfinite(logits).all()


@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("cell must be one of 'rnn', 'gru', 'lstm', got 'elman'", {"cell": "elman"}),
        ("hidden_size must be at least 1, got 0", {"hidden_size": 0}),
        ("num_layers must be at least 1, got -1", {"num_layers": -1}),
        ("embedding_size must be at least 1, got 0", {"embedding_size": 0}),
        ("init must be one of", {"init": "xavier"}),
    ],
)
def test_a_bad_configuration_is_named(message, change, as_users_run):
    with pytest.raises(ValueError, match=message):
        jaxrnn.ModelConfig(**change)
