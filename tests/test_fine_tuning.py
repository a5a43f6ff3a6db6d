"""New tokens for trained models: what was known stays what it was, to the bit."""

import collections
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn.fine_tuning import extended_vocabulary, grow_params, vocabulary_for
from jaxrnn.runs.digests import params_digest
from jaxrnn.text import UnknownTokenError

OLD, NEW = "abcd efgh\n" * 3, "hg\nxyx zab" * 2
VOCABULARY = jaxrnn.Vocabulary.of(OLD)
CONFIGS = {
    "one-hot": {"cell": "rnn", "num_layers": 2, "init": "normal"},
    "embedded": {"cell": "lstm", "embedding_size": 3, "dropout": 0.5, "init": "uniform"},
    "tied": {"cell": "gru", "embedding_size": 6, "tie_embeddings": True, "init": "orthogonal"},
}


@pytest.fixture(autouse=True)
def as_a_user(as_users_run):
    """Errors of the library itself."""


def trained(config):
    """A model of the old text, with parameters that no initialiser draws, biases included."""
    model = jaxrnn.build_language_model(config, len(VOCABULARY))
    form = jax.eval_shape(lambda: model.init(jax.random.key(0), model.vocab_size))
    generator = np.random.default_rng(1)
    return model, jax.tree.map(
        lambda p: jnp.asarray(generator.standard_normal(p.shape, np.float32)), form
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_of_known_tokens_are_the_same_numbers(name):
    config = jaxrnn.ModelConfig(hidden_size=6, **CONFIGS[name])
    model, params = trained(config)
    grown, more, vocabulary = jaxrnn.add_tokens(model, params, VOCABULARY, NEW, jax.random.key(2))
    assert grown == jaxrnn.build_language_model(config, len(vocabulary))
    ids = jnp.asarray(VOCABULARY.encode(OLD)).reshape(-1, 2)
    before, carry = model.apply(params, ids)
    after, same_carry = grown.apply(more, ids)
    np.testing.assert_array_equal(after[..., : model.vocab_size], before)
    assert params_digest(same_carry) == params_digest(carry)


@pytest.mark.parametrize("name", CONFIGS)
def test_new_rows_and_columns_are_those_of_a_new_model(name):
    config = jaxrnn.ModelConfig(hidden_size=6, **CONFIGS[name])
    model, params = trained(config)
    grown, more, _ = jaxrnn.add_tokens(model, params, VOCABULARY, NEW, jax.random.key(2))
    drawn = grown.init(jax.random.key(2), grown.vocab_size)
    changed = 0
    for old, new, fresh in zip(*map(jax.tree.leaves, (params, more, drawn)), strict=True):
        expected = np.array(fresh)
        expected[tuple(map(slice, old.shape))] = old
        np.testing.assert_array_equal(new, expected)
        changed += old.shape != new.shape
    # w_ih, or the table; the output's bias; and its kernel, unless it is the table.
    assert changed == (2 if name == "tied" else 3)


def test_a_text_without_new_tokens_changes_no_parameter():
    model, params = trained(jaxrnn.ModelConfig(hidden_size=6))
    same, more, vocabulary = jaxrnn.add_tokens(model, params, VOCABULARY, "abba", jax.random.key(2))
    assert same == model
    assert vocabulary.tokens == VOCABULARY.tokens
    assert params_digest(more) == params_digest(params)


@pytest.mark.parametrize("unit", ["character", "word"])
def test_ids_of_known_tokens_do_not_change(unit):
    """Beside a count by hand, for random texts."""
    generator = random.Random(0)
    for _ in range(20):
        old, new = (
            "".join(generator.choices(letters, k=generator.randrange(1, 60))) + letters[0]
            for letters in ("abc  ", "cdefg  ")
        )
        before = jaxrnn.Vocabulary.of(old, unit=unit, unknown="<unk>")
        after = extended_vocabulary(before, new)
        assert after.tokens[: len(before)] == before.tokens
        np.testing.assert_array_equal(after.encode(old), before.encode(old))
        tokens = jaxrnn.text.tokenize(new, unit)
        count = collections.Counter(tokens)
        added = after.tokens[len(before) :]
        assert set(added) == set(tokens) - set(before.tokens)
        assert list(added) == sorted(added, key=lambda token: (-count[token], token))
        assert after.decode(after.encode(new)) == jaxrnn.text.vocabulary.join_tokens(tokens, unit)
        both = collections.Counter(jaxrnn.text.tokenize(old, unit)) + count
        assert after.counts == tuple(both[token] for token in after.tokens)
        assert (after.unit, after.unknown) == (before.unit, before.unknown)


def test_new_tokens_are_refused_by_number_share_and_name():
    with pytest.raises(UnknownTokenError) as error:
        vocabulary_for(VOCABULARY, NEW, "refuse")
    assert str(error.value) == (
        "the vocabulary of 10 lacks 3 characters, 40.00% of the text: 'x' 'y' 'z'; --new-tokens add"
        " appends them to the vocabulary, --new-tokens unk reads them as its unknown token"
    )
    with pytest.raises(UnknownTokenError, match=r"lacks 26 characters, .*: 'A' .* 'J' \.\.\.; "):
        vocabulary_for(VOCABULARY, "".join(map(chr, range(65, 91))), "refuse")
    known = vocabulary_for(VOCABULARY, "aab", "refuse")
    assert known.tokens == VOCABULARY.tokens
    assert sum(known.counts) == sum(VOCABULARY.counts) + 3


def test_new_tokens_are_read_as_the_unknown_one_where_there_is_one():
    before = jaxrnn.Vocabulary.of(OLD, unknown="?")
    after = vocabulary_for(before, NEW, "unk")
    assert after.tokens == before.tokens
    assert after.decode(after.encode("axyb")) == "a??b"
    assert after.counts[0] == NEW.count("x") + NEW.count("y") + NEW.count("z")
    assert sum(after.counts) == len(OLD + NEW)
    with pytest.raises(ValueError, match="--new-tokens unk needs an unknown token in the vocab"):
        vocabulary_for(VOCABULARY, NEW, "unk")
    assert vocabulary_for(VOCABULARY, "ab", "unk").tokens == VOCABULARY.tokens
    with pytest.raises(ValueError, match="new_tokens must be one of"):
        vocabulary_for(VOCABULARY, NEW, "keep")


def test_wrong_arguments_are_named():
    model, params = trained(jaxrnn.ModelConfig(hidden_size=6))
    key = jax.random.key(0)
    with pytest.raises(TypeError, match="model must be a language_model, got Linear"):
        jaxrnn.add_tokens(jaxrnn.linear(10), (), VOCABULARY, NEW, key)
    with pytest.raises(ValueError, match="vocab_size = 10 tokens, got 2"):
        jaxrnn.add_tokens(model, params, jaxrnn.Vocabulary.of("ab"), NEW, key)
    fewer = jaxrnn.build_language_model(jaxrnn.ModelConfig(hidden_size=6), 9)
    with pytest.raises(ValueError, match=r"params of shape \(10, 6\) do not fit into \(9, 6\)"):
        grow_params(fewer, params, key)
    deeper = jaxrnn.build_language_model(jaxrnn.ModelConfig(hidden_size=6, num_layers=2), 10)
    with pytest.raises(ValueError, match="params must have the structure of those of LanguageMod"):
        grow_params(deeper, params, key)


def test_training_from_given_parameters_leaves_them_usable():
    """Training reuses the buffers of its state."""
    model, params = trained(jaxrnn.ModelConfig(hidden_size=6))
    config = jaxrnn.TrainConfig(batch_size=2, num_steps=4, epochs=1, learning_rate=0.0)
    optimizer, digest = config.make_optimizer(), params_digest(params)
    key = jax.random.key(3)
    state = jaxrnn.init_state(model, optimizer, model.vocab_size, 2, key, params=params)
    drawn = jaxrnn.init_state(model, optimizer, model.vocab_size, 2, key)
    assert params_digest(state.replace(params=(), key=())) == params_digest(
        drawn.replace(params=(), key=())
    )
    assert (state.key == drawn.key).all()
    ids = VOCABULARY.encode(OLD)
    *_, (state, progress) = jaxrnn.train(model, optimizer, config, ids, state)
    assert params_digest(state.params) == params_digest(params) == digest
    assert progress.finished_epochs == 1
