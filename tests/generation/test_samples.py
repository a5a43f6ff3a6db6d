"""Several samples per prompt, and how probable they are."""

import jax
import numpy as np
import pytest
from generation.slow_loop import VOCABULARY

import jaxrnn

HOT = jaxrnn.Sampling(temperature=1.0)


def test_samples_are_those_of_the_prompt_written_several_times(model_and_params):
    model, params = model_and_params
    ids, lengths = np.array([[1, 2], [3, 0]]), np.array([2, 1])
    options = {"sampling": HOT, "key": jax.random.key(2)}
    came = jaxrnn.generate_ids(model, params, ids, 9, lengths=lengths, num_samples=3, **options)
    written = jaxrnn.generate_ids(
        model, params, ids.repeat(3, axis=1), 9, lengths=lengths.repeat(3), **options
    )
    np.testing.assert_array_equal(came.ids, written.ids)
    assert len(np.unique(came.ids.T, axis=0)) > 2


def test_samples_of_a_prompt_follow_one_another(model_and_params):
    model, params = model_and_params
    samples = jaxrnn.generate_samples(
        model,
        params,
        VOCABULARY,
        (prompt for prompt in ("ab", "d")),
        8,
        sampling=HOT,
        key=jax.random.key(3),
        num_samples=2,
    )
    assert [sample.prompt for sample in samples] == ["ab", "ab", "d", "d"]
    for sample in samples:
        assert sample.text == sample.prompt + sample.continuation
        assert (sample.num_tokens, sample.stopped) == (8, False)


def test_log_probabilities_are_the_models_own_whatever_draws_the_tokens(peaked):
    model, params, probabilities = peaked
    for sampling in (jaxrnn.Sampling(), jaxrnn.Sampling(0.5), jaxrnn.Sampling(2.0, 3, 0.9)):
        came = jaxrnn.generate_ids(
            model, params, np.zeros((1, 20), int), 5, sampling=sampling, key=jax.random.key(4)
        )
        expected = np.log(probabilities)[np.asarray(came.ids)]
        # float32 sums of six exponentials
        np.testing.assert_allclose(came.log_probabilities, expected, rtol=1e-5)


def test_a_sample_has_the_score_of_its_tokens(model_and_params):
    model, params = model_and_params
    options = {"sampling": HOT, "key": jax.random.key(5), "num_samples": 4}
    stop, prompt = ["ca", "b"], VOCABULARY.encode("ab")
    samples = jaxrnn.generate_samples(model, params, VOCABULARY, ["ab"], 20, stop=stop, **options)
    stop = [VOCABULARY.encode(text) for text in stop]
    came = jax.device_get(
        jaxrnn.generate_ids(model, params, prompt[:, None], 20, stop=stop, **options)
    )
    assert any(sample.stopped for sample in samples)
    ids = np.concatenate([prompt[:, None].repeat(4, axis=1), came.ids])
    steps = np.arange(len(ids))[:, None]
    scores = jaxrnn.score(model, params, ids, (steps >= 2) & (steps < 2 + came.lengths))
    for column, sample in enumerate(samples):
        assert sample.num_tokens == came.lengths[column]
        assert sample.stopped == (came.stop_lengths[column] > 0)
        end = sample.num_tokens - came.stop_lengths[column]
        assert sample.continuation == VOCABULARY.decode(came.ids[:end, column])
        # float32 sums of at most twenty terms
        score = float(scores.log_probability[column])
        assert sample.log_probability == pytest.approx(score, rel=1e-5)


def test_at_temperature_0_there_is_only_one_sample(peaked, as_users_run):
    model, params, _ = peaked
    message = "num_samples must be 1 if the temperature is 0, as all samples .* the same, got 2"
    for sampling in (jaxrnn.Sampling(), jaxrnn.Sampling(1e-40)):
        with pytest.raises(ValueError, match=message):
            jaxrnn.generate(
                model,
                params,
                VOCABULARY,
                ["a"],
                2,
                num_samples=2,
                sampling=sampling,
                key=jax.random.key(0),
            )


@pytest.mark.parametrize(
    ("error", "message", "prompts", "num_samples"),
    [
        (ValueError, "num_samples must be at least 1, got 0", ["a"], 0),
        (TypeError, "num_samples must be an integer, got 1.0", ["a"], 1.0),
        (TypeError, "prompts must be a collection of texts, got 'ab'", "ab", 1),
        (TypeError, "prompts must be a collection of texts, got 7", 7, 1),
        (TypeError, "prompts must be texts, got 7", ["a", 7], 1),
        (ValueError, "prompts must hold at least one text, got none", iter(()), 1),
    ],
)
def test_wrong_prompts_and_numbers_are_named(
    peaked, error, message, prompts, num_samples, as_users_run
):
    model, params, _ = peaked
    with pytest.raises(error, match=message):
        jaxrnn.generate(model, params, VOCABULARY, prompts, 2, num_samples=num_samples)


def test_generation_runs_inside_compiled_functions(model_and_params):
    model, params = model_and_params
    ids = np.array([[1, 2]])

    def generate(key):
        return jaxrnn.generate_ids(
            model, params, ids, 4, sampling=HOT, key=key, stop=[0, [1, 2]], num_samples=2
        )

    keys = jax.random.split(jax.random.key(6), 3)
    mapped = jax.jit(jax.vmap(generate))(keys)
    assert mapped.ids.shape == (3, 4, 4)
    for n, key in enumerate(keys):
        alone = generate(key)
        np.testing.assert_array_equal(mapped.ids[n], alone.ids)
        np.testing.assert_array_equal(mapped.lengths[n], alone.lengths)
