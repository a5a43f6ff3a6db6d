"""The book's other experiments in a small form: each ends, draws, and leaves its numbers."""

import dataclasses
import importlib
import json
import os
import re
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from marks import in_matrix

import jaxrnn
from experiments import (
    bidirectional,
    gradients,
    jaychou,
    language_statistics,
    no_hidden_state,
    ptb,
    results,
    sine,
    time_machine,
)
from jaxrnn.commands import command_line


@pytest.fixture(autouse=True)
def optax_promotes(as_users_run):
    with jax.numpy_dtype_promotion("standard"):  # optax's own counters are not strict
        yield


SMALL = {
    "sine": ("--windows", 4, 8, "--steps", 20, "--latent-steps", 20, "--hidden-size", 4),
    "language_statistics": ("--corpus", "songs", "--unit", "character"),
    "no_hidden_state": (
        "--corpus", "songs", "--max-chars", 3000, "--held-out-chars", 300, "--epochs", 1,
        "--hidden-size", 8,
    ),
    "gradients": (
        "--corpus", "songs", "--hidden-size", 8, "--epochs", 1, "--num-steps", 6, "--truncate", 3,
    ),
    "bidirectional": (
        "--part", "blanks", "--corpus", "songs", "--epochs", 1, "--hidden-size", 8, "--seeds", 0,
    ),
}  # fmt: skip
SONGS = (Path(__file__).parents[2] / "jaxrnn/text/songs.txt").read_text(encoding="utf-8")
PICTURES = {
    "sine": ["errors.png", "predictions.png"],
    "language_statistics": ["zipf.png"],
    "no_hidden_state": ["context.png"],
    "gradients": ["clipping.png", "distance.png"],
    "bidirectional": ["blanks.png"],
}


def learn_nothing(*_):
    """In place of what learns to forecast: every point is to come again at every horizon."""
    return lambda series: np.tile(series, (max(sine.HORIZONS), 1))


LESS = {
    "sine": {"learn_window": learn_nothing, "learn_latent": learn_nothing},
    "no_hidden_state": {"CELLS": ("gru",), "CONTEXTS": (1, 8)},
    "gradients": {"NETWORKS": {"RNN": gradients.NETWORKS["RNN"]}},
    "bidirectional": {"SENTENCES": bidirectional.SENTENCES[:1], "ROUNDS": 1},
}
"""What some experiments have without `--matrix`, by the names in their modules."""


@pytest.fixture
def run_less(run, how_many, monkeypatch, capsys):
    """`run`, but with less to compile unless there is `--matrix`: each network takes seconds."""

    def run_less(name, *arguments):
        less = how_many(LESS.get(name), None)
        if less is None:
            return run(name, *arguments)
        module = importlib.import_module(f"experiments.{name}")
        for constant, value in less.items():
            monkeypatch.setattr(module, constant, value)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            command_line.main(getattr(module, name), module.Settings, description=module.__doc__)
        said = capsys.readouterr()
        return stop.value.code or 0, said.out, said.err

    return run_less


def check_outcome(outcome, out, names):
    """It ended, said at once what it does, and left these pictures."""
    code, said, complained = outcome
    assert code == 0, complained
    assert "nan" not in said
    assert re.match(r"\S.*: \w+ 0 of \d+ \(0%\), \d+:\d\d elapsed", complained), "said at once"
    assert sorted(path.name for path in out.glob("*.png")) == names
    for name in names:
        assert (out / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.filterwarnings("ignore:.*no installed font has Chinese")
@pytest.mark.parametrize("name", SMALL)
def test_an_experiment_ends_and_leaves_pictures_and_numbers(name, run_less, tmp_path):
    text = tmp_path / "songs.txt"
    text.write_text(SONGS[:4000], encoding="utf-8")
    flags = (text if flag == "songs" else flag for flag in SMALL[name])
    out = tmp_path / "out"
    out.mkdir()
    (out / "summary.json").write_text("mine")  # the name of a training's summary
    check_outcome(run_less(name, *flags, "--out", out), out, PICTURES[name])
    assert json.loads((out / "numbers.json").read_text())
    assert (out / "summary.json").read_text() == "mine"


@pytest.mark.parametrize("name", gradients.NETWORKS)
def test_every_network_whose_gradients_are_measured_can_be_built(name):
    config = jaxrnn.ModelConfig(hidden_size=4, init="uniform", **gradients.NETWORKS[name])
    model = jaxrnn.build_language_model(config, 5)
    assert jax.eval_shape(lambda: model.init(jax.random.key(0), 5)).body[0].w_hh.shape[0] == 4


@pytest.mark.parametrize("name", ["sine", "no_hidden_state", "gradients", "bidirectional"])
def test_a_network_larger_than_memory_is_one_line(name, run, tmp_path):
    flags = (*SMALL[name], "--hidden-size", 2**31 - 1, "--out", tmp_path / "out")
    code, _, complained = run(name, *flags)
    assert code == 2
    errors = [line for line in complained.splitlines() if line.startswith("error: ")]
    assert ["choose a smaller hidden_size" in error for error in errors] == [True]


def data(name):
    """Skip the test unless JAXRNN_DATA holds the file."""
    folder = os.environ.get("JAXRNN_DATA")
    if not folder or not (Path(folder) / name).is_file():
        pytest.skip(f"needs {name} in JAXRNN_DATA")


@pytest.mark.parametrize("preset", [*in_matrix("small"), "awd"])
def test_the_penn_treebank_is_scored_with_the_best_parameters(preset, run, tmp_path):
    """Also by the published network of 2018, at a reduced size."""
    data("ptb/ptb.train.txt")
    out = tmp_path / "out"
    settings = ("--epochs", 1, "--max-chars", 3000, "--validation-chars", 400,
                "--held-out-chars", 500, "--hidden-size", 8, "--embedding-size", 8,
                "--batch-size", 4, "--num-layers", 2, "--out", out)  # fmt: skip
    code, said, complained = run("ptb", preset, *settings)
    assert code == 0, complained
    summary = json.loads((out / "summary.json").read_text())
    assert summary["best"]["validation_perplexity"] > 1
    assert f"network: {summary['held_out_nats']['network']:.4f} nats" in said
    assert "3,000 words to train on" in said
    assert "400 for validation, 500 held out" in said
    assert "+ Kneser-Ney, n = 5" in said


def test_a_leaky_model_is_trained_and_writes(run, tmp_path):
    data("timemachine.txt")
    flags = ("--part", "leak", "--leak-epochs", 1, "--leak-hidden-size", 4, "--out", tmp_path)
    code, said, _ = run("bidirectional", *flags)
    assert code == 0
    assert "  - time traveller" in said


def test_the_text_of_the_penn_treebank_is_the_usual_one():
    data("ptb/ptb.train.txt")
    _, texts = ptb.PRESETS["small"].load()
    assert len(texts.vocabulary) == 10_000
    assert len(texts.ids) == 929_589
    assert len(texts.validation.ids) == 73_760
    assert len(texts.held_out.ids) == 82_430
    assert texts.validation.known.all()
    assert texts.held_out.known.all()


def test_the_word_corpus_has_the_books_words():
    data("timemachine.txt")
    _, texts = time_machine.PRESETS["words"].load()
    parts = (texts.ids, texts.validation.ids, texts.held_out.ids)
    assert sum(map(len, parts)) == 32_775


def test_every_row_of_the_table_is_a_preset():
    rows = [row for row in results.TIME_MACHINE if row.flags[0] not in time_machine.PRESETS]
    assert rows == []


def test_a_table_says_which_of_its_runs_is_under_way(monkeypatch, capsys):
    outcome = results.Outcome((1.0,), 2.0, 2.0, 1, 3.0, 4.0, 5.0)
    monkeypatch.setattr(results.jaxrnn, "load_corpus", lambda _: None)
    monkeypatch.setattr(results, "run", lambda *_: outcome)
    results.print_table("time_machine", Path("nowhere"))
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "run 1 of 27: RNN 512, sequential windows, seed 0"
    assert said[26] == "run 27 of 27: LSTM, Adam, seed 0"
    assert len(said) == 27 + 2 + 13


EXPERIMENTS = [bidirectional, gradients, jaychou, language_statistics, no_hidden_state, ptb, sine]
MAY_BE_HUGE = {"max_chars", "validation_chars", "held_out_chars", "max_vocabulary"}
"""Settings that Python and NumPy take as they are: a text has no more than it has."""


def integers_of(settings):
    """(a part of the settings, the name of a field that is a whole number or several), for all."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            yield from integers_of(value)
        elif type(value) is int or (isinstance(value, tuple) and value and type(value[0]) is int):
            yield settings, field.name


@pytest.mark.parametrize("module", EXPERIMENTS, ids=lambda module: module.__name__.split(".")[1])
def test_no_integer_is_too_large_for_jax(module):
    """JAX would raise an OverflowError, with a traceback, when it has long begun."""
    checked = [each for each in integers_of(module.Settings()) if each[1] not in MAY_BE_HUGE]
    assert checked
    for part, name in checked:
        huge = (10**20,) if isinstance(getattr(part, name), tuple) else 10**20
        with pytest.raises(ValueError, match=f"{name} must be"):
            dataclasses.replace(part, **{name: huge})


def test_an_unknown_preset_is_named(run):
    code, _, error = run("time_machine", "lstm3")
    assert code == 2
    assert error.startswith("error: the first argument must be one of rnn, rnn-random, ")
    assert error.endswith("got 'lstm3'\n")


@pytest.mark.parametrize(
    ("name", "message", "arguments"),
    [
        ("sine", "windows must be at most 300, got 400", ["--windows", "400"]),
        ("sine", "latent_steps must be at least 1", ["--latent-steps", "0"]),
        ("no_hidden_state", "held_out_chars must be above 128",
         ["--corpus", "songs", "--held-out-chars", "100"]),
        ("gradients", "truncate must be at least 1", ["--truncate", "0"]),
        ("gradients", "truncate must be below num_steps = 30", ["--num-steps", "30"]),
        ("sine", "windows must hold at least one", ["--windows"]),
        ("ptb", "held_out_chars must be at least 2", ["--held-out-chars", "0"]),
        ("ptb", "validation_chars must be at least 2", ["--validation-chars", "1"]),
        ("language_statistics", "held_out_share must be between 0 and 1",
         ["--held-out-share", "1"]),
        ("language_statistics", "a pattern, got nowhere.txt", ["--corpus", "nowhere.txt"]),
        ("bidirectional", "seeds must hold at least one", ["--seeds"]),
        ("ptb", "num_layers must be at least 1", ["--num-layers", "0"]),
        ("ptb", "decay must be at least 0", ["--decay", "-1"]),
        ("ptb", "init_scale must be between 0 and", ["--init-scale", "-1"]),
        ("ptb", "init_scale needs init uniform", ["--init", "normal"]),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line(name, message, arguments, run, tmp_path, survived):
    code, _, error = run(name, *arguments, "--out", tmp_path / "out")
    assert code == 2
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    survived("bad input", 1)


def test_an_experiment_does_not_write_into_a_run(run, tmp_path):
    small = ("--corpus", "songs", "--max-chars", 2500, "--hidden-size", 8)
    often = ("--epochs", 2, "--sample-every", 1)
    outcome = run("time_machine", "gru", *small, *often, "--out", tmp_path)
    check_outcome(outcome, tmp_path, ["curve.png"])
    before = (tmp_path / "summary.json").read_bytes()
    for name in SMALL:
        code, _, error = run(name, *SMALL[name], "--out", tmp_path)
        assert code == 2
        assert "already holds a run or parameters: choose another folder" in error
    assert (tmp_path / "summary.json").read_bytes() == before
