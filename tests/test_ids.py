"""Token ids of any integer type mean what they mean as int32, in every place where they enter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import in_matrix

import jaxrnn
from jaxrnn.losses import cross_entropy
from jaxrnn.text import gather_windows

B, H = 3, 8
NARROWEST = [(128, "int8"), (256, "uint8")]
"""V, and a type that holds all its ids, but not V itself."""
WIDER = [(65_536, "uint16"), (256, "int16"), (256, "uint32"), (256, "int64"), (256, "uint64")]


def make_ids(vocab_size):
    ids = np.random.default_rng(0).integers(0, vocab_size, (12, B)).astype(np.int32)
    ids[0] = 0, 1, vocab_size - 1
    return ids


def assert_same(call, ids, dtype):
    expected, came = (jax.tree.leaves(call(each)) for each in (ids, ids.astype(dtype)))
    for a, b in zip(came, expected, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.isfinite(b).all()


@pytest.mark.parametrize(
    ("vocab_size", "dtype"),
    [NARROWEST[0], *in_matrix(NARROWEST[1], *WIDER)],
)
def test_layers_read_ids_of_any_type(vocab_size, dtype):
    for layer in (
        jaxrnn.recurrent(jaxrnn.gru(H)),
        jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.rnn(H))),
        jaxrnn.stack([jaxrnn.embedding(H, dropout=0.5), jaxrnn.recurrent(jaxrnn.gru(H))]),
    ):
        params = layer.init(jax.random.key(0), vocab_size)
        carry = layer.initial_carry(params, B)

        def apply(ids, layer=layer, params=params, carry=carry):
            lengths = jnp.array([12, 3, 0])
            return layer.apply(params, ids, carry, lengths=lengths, key=jax.random.key(1))

        assert_same(jax.jit(apply), make_ids(vocab_size), dtype)


@pytest.mark.parametrize(
    ("vocab_size", "dtype", "config"),
    [(*NARROWEST[0], {}), (*NARROWEST[1], {"embedding_size": H})],
    ids=["one-hot", "embedding"],
)
def test_models_train_score_and_generate_with_ids_of_any_type(vocab_size, dtype, config):
    model = jaxrnn.build_language_model(
        jaxrnn.ModelConfig(cell="gru", hidden_size=H, **config), vocab_size
    )
    params = model.init(jax.random.key(0), vocab_size)
    optimizer = jaxrnn.make_optimizer("sgd", 0.1, None)
    step = jax.jit(jaxrnn.make_train_step(model, optimizer))

    def train(ids):
        mask = np.arange(11)[:, None] < lengths
        state = jaxrnn.init_state(model, optimizer, vocab_size, B, jax.random.key(0))
        state, metrics = step(state, jaxrnn.Batch(ids[:-1], ids[1:], mask, np.ones(B, bool)))
        assert not metrics.skipped
        return state.params, metrics

    ids = make_ids(vocab_size)
    lengths = np.array([3, 12, 1], np.int8)
    assert_same(train, ids, dtype)
    assert_same(lambda ids: jaxrnn.score(model, params, ids), ids, dtype)
    assert_same(lambda ids: jaxrnn.generate_ids(model, params, ids, 5, lengths=lengths), ids, dtype)


@pytest.mark.parametrize(("vocab_size", "dtype"), NARROWEST)
def test_the_loss_reads_targets_of_any_type(vocab_size, dtype):
    logits = jax.random.normal(jax.random.key(0), (12, B, vocab_size))

    def loss(ids):
        return cross_entropy(logits, jaxrnn.Batch(None, ids))[0]

    assert_same(jax.jit(loss), make_ids(vocab_size), dtype)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_an_id_past_the_vocabulary_is_no_id_of_it_whatever_its_type(dtype):
    """Under jit, where it cannot be refused."""
    table = jaxrnn.embedding(H)
    params = table.init(jax.random.key(0), 100)
    vectors, _ = jax.jit(table.apply)(params, np.array([[99, 100, 120]], dtype), ())
    np.testing.assert_array_equal(np.isnan(vectors).any(axis=-1), [[False, True, True]])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
def test_places_in_a_text_and_lengths_may_be_narrow(dtype):
    """100 + 35 is no int8, and 200 + 80 no uint8."""
    text, offsets = np.arange(300), np.array([[0, 90, 120]])
    for came, expected in zip(
        gather_windows(text, offsets.astype(dtype), 140), gather_windows(text, offsets, 140),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(came, expected)
    layer = jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.rnn(2)))
    params = layer.init(jax.random.key(0), 300)
    carry = layer.initial_carry(params, B)

    def apply(lengths):
        return layer.apply(params, np.stack([text] * B, axis=1), carry, lengths=lengths)

    for came, expected in zip(
        *(jax.tree.leaves(apply(offsets[0].astype(each))) for each in (dtype, np.int32)),
        strict=True,
    ):
        np.testing.assert_array_equal(came, expected)
