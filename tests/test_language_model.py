"""Language models: shapes the book prints, one-hot input, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

import jaxrnn


@pytest.mark.parametrize(
    ("vocab_size", "hidden_size", "ids_shape"),
    [(1027, 256, (5, 2)), (28, 512, (5, 2))],  # Jay Chou; The Time Machine
)
def test_the_shapes_that_the_book_prints(vocab_size, hidden_size, ids_shape):
    config = jaxrnn.ModelConfig(cell="rnn", hidden_size=hidden_size)
    model = jaxrnn.build_language_model(config, vocab_size)
    ids = jnp.arange(10).reshape(ids_shape)

    def run():
        params = model.init(jax.random.key(0), vocab_size)
        return model.apply(params, ids, model.initial_carry(params, ids_shape[1]))

    logits, (carry,) = jax.eval_shape(run)
    assert logits.shape == (*ids_shape, vocab_size)
    assert carry.hidden.shape == (ids_shape[1], hidden_size)


def sizes_in(jaxpr):
    """The size of every array that a program makes, those of its inner programs included."""
    for equation in jaxpr.eqns:
        yield from (variable.aval.size for variable in equation.outvars)
        for inner in jaxprs_in_params(equation.params):
            yield from sizes_in(inner)


def test_one_hot_input_is_never_materialised():
    """No array of the program, nor of its gradient, has a row of V numbers for each id."""
    vocab_size, shape = 5000, (7, 3)
    model = jaxrnn.build_language_model(jaxrnn.ModelConfig(hidden_size=4), vocab_size)
    body, params = model.body, model.init(jax.random.key(0), vocab_size).body

    def loss(params, ids):
        return body.apply(params, ids, body.initial_carry(params, 3))[0].sum()

    program = jax.make_jaxpr(jax.value_and_grad(loss))(params, jnp.zeros(shape, jnp.int32))
    sizes = list(sizes_in(program.jaxpr))
    assert len(sizes) > 50, "the inner programs were not looked into"
    assert max(sizes) < vocab_size * shape[0] * shape[1]


@pytest.mark.parametrize("embedding_size", [None, 6])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_build_makes_what_the_configuration_says(cell, embedding_size):
    config = jaxrnn.ModelConfig(
        cell=cell, num_layers=2, hidden_size=5, embedding_size=embedding_size, init="uniform"
    )
    model = jaxrnn.build_language_model(config, 11)
    params = model.init(jax.random.key(0), 11)
    first = 11 if embedding_size is None else embedding_size
    assert [layer.w_ih.shape[0] for layer in params.body] == [first, 5]
    assert params.output.kernel.shape == (5, 11)
    assert params.embedding == () if embedding_size is None else params.embedding.shape == (11, 6)
    with pytest.raises(ValueError, match="input_size must be vocab_size = 11, got 12"):
        model.init(jax.random.key(0), 12)
    assert model.output_size(11) == 11
    assert model.causal


def test_tied_embeddings_make_the_logits():
    config = jaxrnn.ModelConfig(
        cell="gru", hidden_size=6, embedding_size=6, tie_embeddings=True, init="uniform"
    )
    model = jaxrnn.build_language_model(config, 11)
    params = model.init(jax.random.key(0), 11)
    assert params.output.shape == (11,), "the bias alone"
    ids = jnp.arange(10, dtype=jnp.int32).reshape(5, 2)
    logits, _ = model.apply(params, ids, model.initial_carry(params, 2))
    body = model.body
    hidden, _ = body.apply(params.body, params.embedding[ids], body.initial_carry(params.body, 2))
    expected = hidden @ params.embedding.T + params.output[None, None]
    np.testing.assert_allclose(logits, expected, atol=1e-6)
    with pytest.raises(ValueError, match="output size is embedding_size = 6, got 4"):
        jaxrnn.language_model(
            11, jaxrnn.recurrent(jaxrnn.gru(4)), embedding_size=6, tie_embeddings=True
        ).init(jax.random.key(0), 11)
    for option in ({"tie_embeddings": True}, {"embedding_dropout": 0.1}):
        with pytest.raises(ValueError, match="need an embedding_size, got None"):
            jaxrnn.language_model(11, body, **option)


@pytest.mark.parametrize("embedding_size", [None, 6])
def test_dropout_stands_between_the_layers_and_acts_in_training_only(embedding_size):
    config = jaxrnn.ModelConfig(
        num_layers=2, hidden_size=6, embedding_size=embedding_size, dropout=0.5, init="uniform"
    )
    model = jaxrnn.build_language_model(config, 11)
    drop, runs = jaxrnn.layers.Dropout, jaxrnn.layers.Recurrent
    first = [] if embedding_size is None else [drop]  # ids have no units to drop
    assert [type(layer) for layer in model.body.layers] == [*first, runs, drop, runs]
    assert model.output_dropout == jaxrnn.dropout(0.5)
    params = model.init(jax.random.key(0), 11)
    ids = jnp.arange(10, dtype=jnp.int32).reshape(5, 2)

    def logits(key):
        return np.asarray(model.apply(params, ids, model.initial_carry(params, 2), key=key)[0])

    assert (logits(None) == logits(None)).all()
    assert (logits(jax.random.key(1)) != logits(None)).any()
    assert (logits(jax.random.key(1)) != logits(jax.random.key(2))).any()


def test_an_embedding_and_its_body_drop_by_keys_of_their_own():
    body = jaxrnn.stack([jaxrnn.dropout(0.5)])
    model = jaxrnn.language_model(30, body, embedding_size=30, embedding_dropout=0.5)
    params = model.init(jax.random.key(0), 30)
    params = params._replace(embedding=jnp.ones((30, 30)))
    params = params._replace(output=params.output._replace(kernel=jnp.eye(30), bias=jnp.zeros(30)))
    ids = jnp.arange(30, dtype=jnp.int32)[:, None]
    logits, _ = model.apply(params, ids, ((),), key=jax.random.key(1))
    assert set(np.unique(logits)) == {0.0, 4.0}
    assert 0.1 < np.mean(np.asarray(logits) != 0) < 0.4  # a quarter is kept by both


def test_the_configuration_sets_forget_gates_and_precision():
    config = jaxrnn.ModelConfig(cell="lstm", hidden_size=6, forget_gate_bias=1, dtype="bfloat16")
    model = jaxrnn.build_language_model(config, 11)
    params = model.init(jax.random.key(0), 11)
    (layer,) = params.body
    np.testing.assert_array_equal(layer.b_ih, np.repeat([0, 1, 0, 0], 6))
    assert not params.output.bias.any()
    ids = jnp.zeros((5, 2), jnp.int32)
    hidden, _ = model.body.apply(params.body, ids, model.initial_carry(params, 2))
    logits, carry = model.apply(params, ids, model.initial_carry(params, 2))
    assert hidden.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves((logits, carry))} == {jnp.dtype("float32")}


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
        ("cell must be one of 'rnn', 'gru', .*'ema', got 'elman'", {"cell": "elman"}),
        ("hidden_size must be at least 1, got 0", {"hidden_size": 0}),
        ("num_layers must be at least 1, got -1", {"num_layers": -1}),
        ("embedding_size must be at least 1, got 0", {"embedding_size": 0}),
        ("init must be one of", {"init": "xavier"}),
        ("dropout must be between 0 and 1, got 1.5", {"dropout": 1.5}),
        ("embedding_dropout must be between", {"embedding_dropout": -1}),
        ("dtype must be one of 'float32', 'bfloat16', got 'float16'", {"dtype": "float16"}),
        ("variational_dropout needs a dropout above 0", {"variational_dropout": True}),
        ("embedding_dropout 0.5 needs an embedding_size", {"embedding_dropout": 0.5}),
        ("input_dropout 0.5 needs an embedding_size", {"input_dropout": 0.5}),
        ("tie_embeddings True needs an embedding_size", {"tie_embeddings": True}),
        ("input_dropout must be between 0 and 1, got 1.5", {"input_dropout": 1.5}),
        ("output_dropout must be between", {"output_dropout": -0.1}),
        ("recurrent_dropout must be between", {"recurrent_dropout": float("nan")}),
        ("weight_drop must be between", {"weight_drop": 2}),
        ("zoneout must be between", {"zoneout": -1}),
        (
            "forget_gate_bias needs a cell with a forget gate, such as lstm, got gru",
            {"cell": "gru", "forget_gate_bias": 1},
        ),
        (
            "tie_embeddings of a single layer needs embedding_size = hidden_size = 256, got 128",
            {"tie_embeddings": True, "embedding_size": 128},
        ),
    ],
)
def test_a_bad_configuration_is_named(message, change, as_users_run):
    with pytest.raises(ValueError, match=message):
        jaxrnn.ModelConfig(**change)


def test_uniform_weights_may_have_a_width_of_their_own():
    """Everywhere: embedding, recurrent layers, biases, output."""
    config = jaxrnn.ModelConfig(
        cell="lstm", hidden_size=20, embedding_size=20, init="uniform", init_scale=0.03
    )
    params = jaxrnn.build_language_model(config, 40).init(jax.random.key(0), 40)
    for leaf in jax.tree.leaves(params):
        assert 0.02 < jnp.abs(leaf).max() <= 0.03
    with pytest.raises(ValueError, match="init_scale needs init uniform, got normal"):
        jaxrnn.ModelConfig(init_scale=0.1)
    with pytest.raises(ValueError, match="init_scale must be between 0 and"):
        jaxrnn.ModelConfig(init="uniform", init_scale=-0.1)
