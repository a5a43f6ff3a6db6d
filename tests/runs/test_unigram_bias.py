"""A run may begin with log-frequencies of its training text's tokens as the output layer's bias."""

import jax
import numpy as np
import pytest

import jaxrnn
from jaxrnn.runs.run import Run
from jaxrnn.runs.settings import Settings
from jaxrnn.training import average_of


def make_run(folder, unigram_bias, **model):
    (folder / "a.txt").write_text("aaab c\n" * 200)
    training = jaxrnn.TrainConfig(
        batch_size=4, num_steps=20, epochs=1, average=0.9, unigram_bias=unigram_bias
    )
    sizes = {"max_chars": 700, "validation_chars": 0, "held_out_chars": 300}
    config = jaxrnn.ModelConfig(hidden_size=6, init="uniform", **model)
    return Run(
        Settings(config, training, corpus=str(folder / "a.txt"), out=folder / "run", **sizes)
    )


@pytest.mark.parametrize("model", [{}, {"embedding_size": 6, "tie_embeddings": True}], ids=len)
def test_a_run_begins_with_frequencies_and_is_the_same_in_all_else(model, tmp_path):
    run, plain = (make_run(tmp_path, unigram_bias, **model) for unigram_bias in (True, False))
    came, expected = run.initial_state(), plain.initial_state()
    counts = np.array([run.texts.ids.tolist().count(token) for token in range(run.vocab_size)])
    bias = run.model.output_params(came.params).bias
    np.testing.assert_allclose(np.exp(bias), (counts + 0.5) / (counts + 0.5).sum(), rtol=1e-6)
    np.testing.assert_array_equal(
        run.model.output_params(average_of(came.opt_state)).bias,
        bias,
        "the average began elsewhere",
    )

    def others(state):
        output = run.model.output_params(state.params)._replace(bias=0)
        return state.params._replace(output=output), jax.random.key_data(state.key), state.carry

    jax.tree.map(np.testing.assert_array_equal, others(came), others(expected))


def test_ids_that_are_no_tokens_are_refused(as_users_run):
    model = jaxrnn.language_model(3, jaxrnn.recurrent(jaxrnn.gru(4)))
    params = model.init(jax.random.key(0), 3)
    with pytest.raises(ValueError, match=r"ids must lie in 0\.\.2, got 3"):
        model.with_unigram_bias(params, np.array([0, 3]))


def test_parameters_of_another_run_keep_their_bias(tmp_path):
    training = jaxrnn.TrainConfig(unigram_bias=True)
    with pytest.raises(ValueError, match="unigram_bias must be left out with --from, which has"):
        Settings(training=training, from_run=tmp_path / "run", out=tmp_path / "out")
