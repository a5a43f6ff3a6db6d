"""Scoring, against loops that feed the model the whole text each time."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from generation.slow_loop import VOCABULARY, V, log_softmax, next_logits

import jaxrnn


def test_score_is_the_sum_of_the_conditional_log_probabilities(model_and_params):
    model, params = model_and_params
    ids = VOCABULARY.encode("abcab ab")
    came = jaxrnn.score(model, params, ids)
    expected = [
        log_softmax(next_logits(model, params, ids[:n]))[ids[n]] for n in range(1, len(ids))
    ]
    # float32 logits of size 3 against float64 sums of them
    np.testing.assert_allclose(came.token_log_probabilities, expected, atol=1e-5)
    assert came.log_probability == pytest.approx(sum(expected), abs=1e-5)
    assert came.perplexity == pytest.approx(math.exp(-sum(expected) / 7), rel=1e-5)


@pytest.mark.parametrize("wrong", [-1, V])
def test_a_traced_token_out_of_range_has_no_probability(model_and_params, wrong):
    model, params = model_and_params
    score = jax.jit(lambda ids: jaxrnn.score(model, params, ids).token_log_probabilities)
    assert np.isnan(score(np.array([0, 1, wrong]))).tolist() == [False, True]


def test_probabilities_of_all_texts_of_a_length_sum_to_one(model_and_params):
    model, params = model_and_params
    texts = np.array([(2, *rest) for rest in itertools.product(range(V), repeat=3)], np.int32).T
    total = np.exp(np.asarray(jaxrnn.score(model, params, texts).log_probability, float)).sum()
    assert total == pytest.approx(1, abs=1e-5)


def test_scores_of_many_texts_equal_those_of_each(model_and_params):
    model, params = model_and_params
    texts = ["abcab", "ba", "dd cab"]
    ids, mask = np.zeros((6, 3), np.int32), np.zeros((6, 3), bool)
    for column, text in enumerate(texts):
        ids[: len(text), column], mask[: len(text), column] = VOCABULARY.encode(text), True
    together = jaxrnn.score(model, params, ids, mask)
    for column, text in enumerate(texts):
        alone = jaxrnn.score(model, params, VOCABULARY.encode(text))
        for came, expected in zip(together[:2], alone[:2], strict=True):
            np.testing.assert_allclose(came[column], expected, rtol=1e-5)


@pytest.mark.parametrize("length", [3, 8, 9, 10, 17])
def test_a_long_text_is_scored_in_pieces(length, monkeypatch):
    """Whole pieces, and what is left over; the carry goes on from one to the next."""
    ids = np.random.default_rng(length).integers(0, V, length).astype(np.int32)
    scores = []
    for steps in (1000, 4):
        monkeypatch.setattr("jaxrnn.scoring.probability.STEPS_AT_ONCE", steps)
        # Another model each time: the compiled program is of the number when it was traced.
        model = jaxrnn.build_language_model(
            jaxrnn.ModelConfig(cell="lstm", hidden_size=5, init="uniform"), V
        )
        params = model.init(jax.random.key(0), V)
        scores.append(jaxrnn.score(model, params, ids))
    for came, expected in zip(*scores, strict=True):
        np.testing.assert_allclose(came, expected, rtol=1e-5, atol=1e-6)


def test_the_three_reference_cases_of_perplexity(peaked):
    """1 for a perfect model, infinite for probability 0, V for a uniform one."""
    model, params, _ = peaked
    ids = np.full(9, 2, np.int32)
    for bias, expected in (
        (jnp.full(V, -jnp.inf).at[2].set(0.0), 1.0),
        (jnp.zeros(V).at[2].set(-jnp.inf), math.inf),
        (jnp.zeros(V), V),
    ):
        known = params._replace(output=params.output._replace(bias=bias))
        assert jaxrnn.score(model, known, ids).perplexity == pytest.approx(expected)


@pytest.mark.parametrize(
    ("error", "ids"),
    [(ValueError, [1]), (ValueError, [1, V]), (ValueError, [1, -1]), (TypeError, [1.0, 2.0])],
)
def test_bad_ids_are_named(peaked, error, ids, as_users_run):
    model, params, _ = peaked
    with pytest.raises(error, match="ids must"):
        jaxrnn.score(model, params, np.array(ids))
