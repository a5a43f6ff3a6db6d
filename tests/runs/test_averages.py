"""Runs that keep an average of their parameters: it is what is evaluated, and can be used."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from faults.runs import make_record, make_state
from subprocesses import rows

import jaxrnn
from jaxrnn.commands.train import train
from jaxrnn.runs import CheckpointError, Checkpoints
from jaxrnn.runs.digests import params_digest
from jaxrnn.runs.run import Run
from jaxrnn.runs.settings import Settings
from jaxrnn.runs.start import find_start
from jaxrnn.training import average_of

EPOCHS = 4


@pytest.fixture(autouse=True)
def as_a_user(as_users_run):
    """Errors of the library itself."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Return the settings of a trained run with an average, which no test may change."""
    folder = tmp_path_factory.mktemp("averages")
    (folder / "a.txt").write_text("abcd efgh\nhgfe dcba\n" * 60)
    settings = Settings(
        jaxrnn.ModelConfig(cell="gru", hidden_size=8, init="uniform"),
        jaxrnn.TrainConfig(
            windows="sequential", batch_size=4, num_steps=10, epochs=EPOCHS, optimizer="adam",
            learning_rate=0.01, average=0.9,
        ),
        corpus=str(folder / "a.txt"), max_chars=700, validation_chars=100, held_out_chars=200,
        prompts=("ab",), sample_every=2, sample_length=5, out=folder / "run",
    )  # fmt: skip
    assert train(settings) == 0
    return settings


def newest(settings):
    """(the state of the newest checkpoint, the run)."""
    run = Run(settings)
    with Checkpoints(settings.out, read_only=True) as checkpoints:
        return checkpoints.newest(lambda saved: saved.restore(run.initial_state())), run


def test_the_average_of_the_newest_checkpoint_is_loaded(settings):
    state, _ = newest(settings)
    model, params, vocabulary = jaxrnn.load_run(settings.out, "average")
    assert len(vocabulary) == 10
    assert params_digest(params) == params_digest(average_of(state.opt_state))
    assert params_digest(params) != params_digest(state.params)
    assert model == jaxrnn.load_run(settings.out).model
    newest_params = jaxrnn.load_run(settings.out, "checkpoints").params
    assert params_digest(newest_params) == params_digest(state.params)
    by_default = jaxrnn.load_run(settings.out).params  # what the reports are about
    assert params_digest(by_default) == params_digest(params)


def test_metrics_samples_and_best_are_those_of_the_average(settings):
    _, run = newest(settings)
    summary = json.loads((settings.out / "summary.json").read_text())
    last = rows(settings.out)[-1]
    model, params, vocabulary = jaxrnn.load_run(settings.out, "average")
    for name in ("validation", "held_out"):
        ids, known = getattr(run.texts, name)
        expected = float(jaxrnn.score(model, params, ids, known).perplexity)
        assert last[f"{name}_perplexity"] == pytest.approx(expected, rel=1e-6)
    assert summary["samples"] == jaxrnn.generate(model, params, vocabulary, ("ab",), 5)
    assert summary["best"]["epoch"] == EPOCHS  # ever better
    best = jaxrnn.load_run(settings.out, "best")
    assert params_digest(best.params) == params_digest(params)
    newest_params = jaxrnn.load_run(settings.out, "checkpoints").params
    assert summary["params_digest"] == params_digest(newest_params)


def test_the_held_out_text_is_judged_at_reports_and_the_validation_text_ever(settings):
    with_held_out = [row["epoch"] for row in rows(settings.out) if "held_out_perplexity" in row]
    validated = [row["epoch"] for row in rows(settings.out) if "validation_perplexity" in row]
    assert with_held_out == [2, 4]
    assert validated == [1, 2, 3, 4]


def test_commands_use_the_average(settings, run):
    scores = {}
    for use in ("checkpoints", "best", "average"):
        code, said, complained = run("score", settings.out, "abcd", "--use", use)
        assert code == 0, complained
        scores[use] = said
    assert scores["average"] == scores["best"] != scores["checkpoints"]
    code, said, complained = run("generate", settings.out, "--prompt", "ab", "--use", "average")
    assert code == 0, complained
    assert said.startswith("ab")
    code, _, complained = run("score", settings.out, "abcd", "--use", "mean")
    assert code == 2
    assert "average" in complained


def test_a_run_may_begin_with_the_average_of_another(settings, tmp_path):
    other = Settings(
        corpus=settings.corpus, max_chars=700, from_run=settings.out, from_use="average",
        out=tmp_path,
    )  # fmt: skip
    start = find_start(other)
    expected = params_digest(jaxrnn.load_run(settings.out, "average").params)
    assert start.origin.digest == params_digest(start.params) == expected


def test_a_run_without_an_average_is_refused_in_one_line(run, tmp_path):
    record = make_record()
    with jax.numpy_dtype_promotion("standard"), Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(make_state(record)[1], record)
    message = "step 0 .* holds no average: train with --average to keep one"
    with pytest.raises(CheckpointError, match=message):
        jaxrnn.load_run(tmp_path, "average")
    code, said, complained = run("generate", tmp_path, "--prompt", "ab", "--use", "average")
    assert (code, said) == (2, "")
    assert "holds no average: train with --average to keep one" in complained
    assert complained.count("\n") == 1
    with pytest.raises(ValueError, match="use must be one of 'checkpoints', 'best', 'average'"):
        jaxrnn.load_run(tmp_path, "mean")


def test_before_the_first_step_the_average_is_the_parameters(tmp_path):
    record = make_record()
    record = dataclasses.replace(
        record, training=dataclasses.replace(record.training, average=1.0, average_after=2)
    )
    _, state = make_state(record)
    with jax.numpy_dtype_promotion("standard"), Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, record)
    for use in ("checkpoints", "average"):
        jax.tree.map(
            np.testing.assert_array_equal, jaxrnn.load_run(tmp_path, use).params, state.params
        )
