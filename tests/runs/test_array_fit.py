"""`jaxrnn.runs.fit` in a folder: killed, stopped, resumed, refused; parameters alone."""

import functools
import json
import os
import random
import shutil
import signal

import jax
import numpy as np
import optax
import pytest
from called import begin, end
from faults import dying
from faults.runs import bits

import jaxrnn
import jaxrnn.runs
from jaxrnn.commands import verify
from jaxrnn.runs import CheckpointError, SaveFailedError
from jaxrnn.runs.run_folder import RunFolderError

D, C = 3, 2
LENGTHS = np.random.default_rng(0).integers(1, 9, 20)
SEQUENCES = [np.random.default_rng(n).normal(size=(length, D)) for n, length in enumerate(LENGTHS)]
CLASSES = np.random.default_rng(1).integers(0, C, len(LENGTHS))
BODY = jaxrnn.stack([jaxrnn.recurrent(jaxrnn.gru(4)), jaxrnn.dropout(0.3)])
MODEL = jaxrnn.classifier(BODY, C)
DATA = (SEQUENCES[:14], CLASSES[:14])
HELD_OUT = (SEQUENCES[14:], CLASSES[14:])


def fit(run_dir, model=MODEL, data=DATA, optimizer=optax.adam(0.05), **options):
    options = {"epochs": 4, "batch_size": 4, "validation": HELD_OUT} | options
    options = {"key": jax.random.key(0), "progress": False} | options
    return jaxrnn.runs.fit(model, optimizer, *data, run_dir=run_dir, **options)


def outcome(state, history):
    """All that must not depend on stops: the bits, and the numbers but the seconds."""
    rows = [{name: x for name, x in row.items() if name != "seconds"} for row in history.rows]
    return bits(state), rows


def fit_until_killed(out, deadly, **options):
    dying.kill_before_change(str(out), deadly)
    fit(out, resume=True, **options)


def test_a_fit_that_is_killed_ends_with_the_bits_of_one_that_is_not(tmp_path, how_many, survived):
    kills = how_many(3, 24)
    whole = outcome(*fit(tmp_path / "whole", epochs=kills + 1))
    # Each epoch makes about sixty changes, so a process is killed in its first epoch or after it.
    points = [int((n + random.Random(n).random()) * 60 / kills) + 1 for n in range(kills)]
    random.Random(0).shuffle(points)
    killed = functools.partial(fit_until_killed, epochs=kills + 1)
    variables = {k: os.environ[k] for k in ("XLA_FLAGS", "JAX_DISABLE_MOST_OPTIMIZATIONS")}
    # They find the programs of this process, and write none, lest a kill leave half of one.
    variables |= {"JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir}
    variables |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1e9"}
    for point in points:
        process = begin(tmp_path / "call", killed, tmp_path / "killed", point, **variables)
        code, _ = end(process, timeout=120)
        assert code == -signal.SIGKILL
    survived("kill -9: a fit of arrays", kills)
    assert outcome(*fit(tmp_path / "killed", epochs=kills + 1, resume=True)) == whole


def test_more_epochs_and_a_fit_without_a_folder_give_the_same(tmp_path):
    fit(tmp_path / "run", epochs=1)
    resumed = fit(tmp_path / "run", epochs=2, resume=True)
    alone = jaxrnn.fit(
        MODEL, optax.adam(0.05), *DATA, epochs=2, batch_size=4, validation=HELD_OUT,
        key=jax.random.key(0), progress=False,
    )  # fmt: skip
    assert outcome(*resumed) == outcome(*alone)
    again = fit(tmp_path / "run", epochs=2, resume=True)  # nothing is left to do
    assert outcome(*again) == outcome(*alone)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == list(again[1].rows)


def test_parameters_of_a_folder_are_the_best_or_the_newest(tmp_path):
    state, history = fit(tmp_path / "best", epochs=2)
    assert bits(jaxrnn.load_params(tmp_path / "best", MODEL, D)) == bits(state.params)
    assert history.best_epoch is not None
    state, _ = fit(tmp_path / "newest", epochs=2, validation=None)
    assert bits(jaxrnn.load_params(tmp_path / "newest", MODEL, D)) == bits(state.params)


def test_a_damaged_epoch_is_trained_again(tmp_path):
    whole = outcome(*fit(tmp_path / "run", epochs=2))
    newest = max((tmp_path / "run" / "checkpoints").iterdir(), key=lambda path: int(path.name))
    metadata = newest / "meta" / "metadata"
    metadata.write_text(metadata.read_text().replace("classifier", "regressor ").replace("0", "1"))
    with pytest.warns(jaxrnn.runs.CheckpointWarning):
        assert outcome(*fit(tmp_path / "run", epochs=2, resume=True)) == whole


def test_an_epoch_whose_steps_were_all_skipped_is_saved_and_is_not_the_best(tmp_path):
    broken = jax.tree.map(lambda p: p * 1e38, MODEL.init(jax.random.key(0), D))  # overflows
    _, history = fit(tmp_path / "run", epochs=2, params=broken, batch_size=14)
    assert np.isnan(history.column("loss")).all()
    _, resumed = fit(tmp_path / "run", epochs=3, params=broken, batch_size=14, resume=True)
    assert np.isnan(resumed.column("loss")).all()
    rows = [{"epoch": 1, "validation_loss": np.nan}, {"epoch": 2, "validation_loss": 0.5}]
    assert jaxrnn.History(tuple(rows)).best_epoch == 2


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    fit(folder, epochs=1)
    return folder


def test_verify_says_how_far_a_fit_was(finished, tmp_path, capsys):
    jaxrnn.save_params(tmp_path / "alone", MODEL.init(jax.random.key(0), D))
    assert verify.verify(verify.Settings(finished)) == 0
    assert verify.verify(verify.Settings(tmp_path / "alone")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("checkpoints/4: intact; epoch 1: loss ")
    assert "validation_loss" in lines[1]
    assert lines[2] == "best/0: intact; parameters"


REFUSED = {
    "without resume": ({}, ValueError, "continue it with resume=True"),
    "another model": (
        {"resume": True, "model": jaxrnn.classifier(BODY, C, pooling="mean")}, CheckpointError,
        "different run: model"),
    "other data": (
        {"resume": True, "data": (SEQUENCES[:14], 1 - CLASSES[:14])}, CheckpointError,
        "different run: data"),
    "another batch size": ({"resume": True, "batch_size": 5}, CheckpointError, "batch_size: 4 in"),
    "another key": (
        {"resume": True, "key": jax.random.key(1)}, CheckpointError, "different run: key"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_another_fit_is_refused(name, finished, as_users_run):
    options, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        fit(finished, **options)


def leaky(step_size):
    """A model whose `repr` does not show the step size."""

    def update(params, input_gates, hidden_gates, carry):
        change = jax.numpy.tanh(input_gates[0] + hidden_gates[0]) - carry.hidden
        return jaxrnn.HiddenCarry(carry.hidden + step_size * change)

    zeros = jaxrnn.zero_carry(jaxrnn.HiddenCarry, 4)
    cell = jaxrnn.Cell("leaky", 4, gates=("target",), initial_carry=zeros, update=update)
    return jaxrnn.classifier(jaxrnn.recurrent(cell), C)


def test_other_equations_of_the_same_name_are_refused(tmp_path, as_users_run):
    short = {"epochs": 1, "validation": None}
    fit(tmp_path, leaky(0.2), **short)
    for options in ({"model": leaky(0.3)}, {"optimizer": optax.adam(0.1)}):
        with pytest.raises(CheckpointError, match="equations of the model, its loss or the optim"):
            fit(tmp_path, **{"model": leaky(0.2)} | options | short, resume=True)
    _, history = fit(tmp_path, leaky(0.2), **short, resume=True)  # nothing is left to do
    assert history.column("epoch") == [1]


def test_an_interrupted_fit_says_how_to_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxrnn.runs.array_fit.replace_text", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        fit(tmp_path / "run")
    assert caught.value.__notes__ == [
        f"stopped; {tmp_path / 'run'} is intact: continue with resume=True"
    ]
    monkeypatch.undo()
    _, history = fit(tmp_path / "run", resume=True)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == history.column("epoch")


def test_an_interrupted_last_epoch_gets_its_line(tmp_path):
    fit(tmp_path, epochs=2)
    metrics = tmp_path / "metrics.jsonl"
    expected = metrics.read_text()
    metrics.write_text(expected.splitlines(keepends=True)[0])
    fit(tmp_path, epochs=2, resume=True)
    assert metrics.read_text() == expected


@pytest.mark.parametrize("left", ["parameters", "metrics"])
def test_what_is_in_a_folder_without_checkpoints_is_not_touched(left, finished, tmp_path):
    run_dir = tmp_path / "run"
    if left == "parameters":
        jaxrnn.save_params(run_dir, MODEL.init(jax.random.key(0), D))
    else:
        shutil.copytree(finished, run_dir, ignore=shutil.ignore_patterns("checkpoints", "best"))
    with pytest.raises(ValueError, match="but no checkpoints of a run"):
        fit(run_dir)
    if left == "parameters":
        jaxrnn.load_params(run_dir, MODEL, D)


def interrupted(*arguments):
    raise KeyboardInterrupt


def test_a_model_is_not_taken_for_parameters(tmp_path):
    with pytest.raises(TypeError, match="got the model SequenceModel"):
        jaxrnn.save_params(tmp_path / "model", MODEL)


def test_a_folder_of_another_kind_is_refused(finished, tmp_path, run, as_users_run):
    with pytest.raises(CheckpointError, match="is not from a run of `jaxrnn train`"):
        jaxrnn.load_run(finished)
    code, _, error = run("train", "--corpus", "songs", "--out", finished, "--resume")
    assert code == 2
    assert "is not from a run of `jaxrnn train`" in error
    with pytest.raises(RunFolderError, match="already holds a run or parameters"):
        jaxrnn.save_params(finished, MODEL.init(jax.random.key(0), D))
    with pytest.raises(CheckpointError, match=r"another model: params\.body\.0\.w_ih is float32"):
        jaxrnn.load_params(finished, MODEL, D + 1)
    with pytest.raises(CheckpointError, match="holds no"):
        jaxrnn.load_params(tmp_path / "nothing", MODEL, D)
    with pytest.raises(SaveFailedError, match="is not finite"):
        jaxrnn.save_params(tmp_path / "nan", {"w": np.full(3, np.nan)})
