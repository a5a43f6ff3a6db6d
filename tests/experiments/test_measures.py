"""Tests of the measurements of the book's experiments against slow ways to make them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from marks import in_matrix

import jaxrnn
from experiments import gradients, sine
from experiments.blanks import BlankFiller, candidates, learn_to_fill
from experiments.no_hidden_state import perplexity_with_context
from jaxrnn.commands.progress import Bar
from jaxrnn.runs.texts import prepare_texts

V = 7
IDS = np.random.default_rng(0).integers(0, V, (9, 3)).astype(np.int32)


@pytest.mark.parametrize("cell", [*in_matrix("rnn"), "lstm"])
def test_norms_by_distance_are_those_of_jax_grad(cell, how_many):
    """Run from the carry of k steps before the end, and differentiate by it."""
    model = jaxrnn.build_language_model(
        jaxrnn.ModelConfig(cell=cell, hidden_size=5, init="uniform"), V
    )
    params = model.init(jax.random.key(0), V)
    came = jax.jit(gradients.norms_by_distance, static_argnums=0)(model, params, jnp.asarray(IDS))
    assert came.shape == (8,)
    for distance in how_many((1, 8), (1, 2, 5, 8)):
        begin = len(IDS) - 1 - distance
        initial = model.initial_carry(params, 3)
        carry = jax.jit(model.apply)(params, IDS[:begin], initial)[1] if begin else initial

        def loss(carry, begin=begin):
            logits, _ = model.apply(params, IDS[begin:-1], carry)
            return optax.losses.softmax_cross_entropy_with_integer_labels(logits[-1], IDS[-1]).sum()

        leaves = jax.tree.leaves(jax.jit(jax.grad(loss))(carry))
        norms = np.sqrt(sum(np.square(leaf).sum(axis=1) for leaf in leaves))
        assert came[distance - 1] == pytest.approx(norms.mean(), rel=1e-4)


def test_truncation_that_cuts_nothing_has_no_error():
    model = jaxrnn.build_language_model(jaxrnn.ModelConfig(hidden_size=5, init="uniform"), V)
    params = model.init(jax.random.key(0), V)
    errors = [gradients.truncation_error(model, params, jnp.asarray(IDS), n) for n in (8, 4, 1)]
    assert errors[0] == 0
    assert 0 < errors[1] < errors[2]


@pytest.mark.parametrize("both", [True, False])
def test_a_blank_is_not_seen_and_what_is_read_is(both):
    model = BlankFiller(V, 4, both)
    params = model.init(jax.random.key(0), V)

    def logits(ids):
        return np.asarray(model.apply(params, jnp.asarray(ids), model.initial_carry(params, 3))[0])

    for place in range(len(IDS)):
        changed = IDS.copy()
        changed[place] = (changed[place] + 1) % V
        same = [(a == b).all() for a, b in zip(logits(IDS), logits(changed), strict=True)]
        seen_from = [t for t, unchanged in enumerate(same) if not unchanged]
        others = [t for t in range(len(IDS)) if t > place or (both and t < place)]
        assert seen_from == others


def test_blanks_between_letters_that_tell_are_filled():
    """abcabc...: either side tells, so both kinds learn it."""
    texts = prepare_texts("abc" * 800, 2000, 300)
    with jax.numpy_dtype_promotion("standard"), Bar("blanks", 6) as bar:
        filler = learn_to_fill(texts, 6, 0, bar, both=True, hidden_size=8)
    assert filler.accuracy > 0.95
    assert candidates(filler, texts.vocabulary, "ab_ab")[0] == "c"


def test_forecasts_are_aligned_with_what_they_predict():
    series = np.arange(1000, dtype=np.float32)
    exact = np.stack([series + horizon for horizon in range(1, 6)])
    assert sine.errors(series, exact) == [0.0] * 5
    late = np.stack([series] * 2)
    assert sine.errors(series, late) == [1.0, 4.0]


def test_predictions_further_ahead_are_of_predictions():
    settings = sine.Settings(windows=(3,), steps=5, latent_steps=5, hidden_size=4)
    series = sine.make_series(0)
    with jax.numpy_dtype_promotion("standard"):
        for forecast in (
            sine.learn_window(series, 3, settings),
            sine.learn_latent(series, settings),
        ):
            made = np.asarray(forecast(jnp.asarray(series[:50])))
            assert made.shape == (64, 50)
            extended = series[:50].copy()
            for horizon in range(3):
                predicted = made[horizon, 49]
                assert predicted == pytest.approx(
                    float(forecast(jnp.asarray(extended))[0, -1]), rel=1e-4
                )
                extended = np.append(extended, predicted)


def test_perplexity_with_a_context_is_that_of_short_texts():
    texts = prepare_texts("the quick brown fox jumps over the lazy dog " * 20, 600, 200)
    model = jaxrnn.build_language_model(
        jaxrnn.ModelConfig(hidden_size=5, init="uniform"), len(texts.vocabulary)
    )
    params = model.init(jax.random.key(0), len(texts.vocabulary))
    nats = [
        -float(
            jaxrnn.score(model, params, texts.held_out.ids[t - 2 : t + 1]).token_log_probabilities[
                -1
            ]
        )
        for t in range(128, len(texts.held_out.ids))
    ]
    came = perplexity_with_context(model, params, texts, 2)
    assert came == pytest.approx(np.exp(np.mean(nats)), rel=1e-4)


def test_one_product_of_what_is_side_by_side_is_the_sum_of_two():
    """[X, H] [W_xh; W_hh] = X W_xh + H W_hh, the chapter's identity."""
    generator = np.random.default_rng(0)
    x, h = generator.normal(size=(3, 1)), generator.normal(size=(3, 4))
    w_xh, w_hh = generator.normal(size=(1, 4)), generator.normal(size=(4, 4))
    together = np.concatenate([x, h], axis=1) @ np.concatenate([w_xh, w_hh], axis=0)
    np.testing.assert_allclose(together, x @ w_xh + h @ w_hh, rtol=1e-12)
    params = jaxrnn.recurrent(jaxrnn.rnn(4)).init(jax.random.key(0), 1)
    params = params._replace(w_ih=jnp.float32(w_xh), w_hh=jnp.float32(w_hh))
    params = params._replace(b_ih=jnp.zeros(4))
    outputs, _ = jaxrnn.unroll(
        jaxrnn.rnn(4), params, jnp.float32(x)[None], jaxrnn.HiddenCarry(jnp.float32(h))
    )
    # Five terms of about 1 in float32, which may cancel.
    np.testing.assert_allclose(outputs[0], np.tanh(together), atol=1e-6)
