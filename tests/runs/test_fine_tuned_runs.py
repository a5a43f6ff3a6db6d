"""Runs that begin with another run's parameters."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from command_fixtures import command
from faults.runs import VOCABULARY, make_record, make_state
from marks import in_matrix
from subprocesses import digest, epochs, rows

import jaxrnn
from jaxrnn.commands.train import train
from jaxrnn.runs import Checkpoints, CheckpointWarning, Origin, Record
from jaxrnn.runs.digests import params_digest
from jaxrnn.runs.settings import Settings
from jaxrnn.runs.start import find_start
from jaxrnn.text.pieces import pieces_of
from jaxrnn.text.token_file import write_token_file

OLD, KNOWN, NEW = "abcd efgh\nhgfe dcba\n", "dcba\nefgh abcd hgfe\n", "abzd efgh\nhgfy dzba\n"
SMALL = ("--batch-size", 4, "--num-steps", 10, "--max-chars", 700, "--sample-length", 3)


@pytest.fixture(autouse=True)
def as_a_user(as_users_run, monkeypatch):
    """Errors of the library itself; no curves, at which no test here looks."""
    monkeypatch.setattr("jaxrnn.runs.report.plot_perplexity", lambda *_: None)


def content_of(folder):
    """Every file below a folder, with its time."""
    return {p: (p.stat().st_mtime_ns, p.is_file() and p.read_bytes()) for p in folder.rglob("*")}


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """The text of the trained run, one of the same characters, and one of others, too."""
    folder = tmp_path_factory.mktemp("texts")
    for name, text in {"old": OLD, "known": KNOWN, "new": NEW}.items():
        (folder / f"{name}.txt").write_text(text * 60)
    return folder


@pytest.fixture(scope="module")
def trained(texts):
    """The folder of a trained run, which no test may change."""
    model = jaxrnn.ModelConfig(cell="gru", hidden_size=8, init="uniform", dropout=0.1)
    training = jaxrnn.TrainConfig(
        batch_size=4, num_steps=10, epochs=3, optimizer="adam", learning_rate=0.03
    )
    more = {"max_chars": 700, "sample_length": 3, "sample_every": 1, "out": texts / "trained"}
    train(Settings(model, training, corpus=str(texts / "old.txt"), **more))
    before = content_of(texts / "trained")
    yield texts / "trained"
    assert content_of(texts / "trained") == before


def learning(texts):
    """Flags of a run that learns the other characters, too."""
    flags = ["--corpus", texts / "new.txt", "--new-tokens", "add", "--windows", "sequential"]
    return [*flags, "--optimizer", "adam", "--learning-rate", 0.03, "--sample-every", 1, *SMALL]


@pytest.fixture(scope="module")
def learnt(trained, texts):
    """(folder, standard output) of such a run of three epochs, which no test may change."""
    out = texts / "learnt"
    flags = ("--from", trained, *learning(texts), "--epochs", 3, "--out", out)
    code, said, complained = command("train", *flags)
    assert code == 0, complained
    return out, said


def newest_record(out):
    with Checkpoints(out, read_only=True) as checkpoints:
        return checkpoints.newest(lambda saved: saved.record)


def save_run(folder, vocabulary=VOCABULARY):
    """Save a run that has made no step."""
    record = dataclasses.replace(make_record(), vocabulary=vocabulary)
    with jax.numpy_dtype_promotion("standard"), Checkpoints(folder) as checkpoints:
        checkpoints.save(make_state(record)[1], record)
    return folder


def test_a_model_learns_another_text_and_says_where_it_comes_from(trained, learnt, run):
    out, said = learnt
    last = json.loads((trained / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    assert f"fine-tuned from step {last} in {trained}; SHA-256 {digest(trained)}" in said
    assert "2 characters added to its vocabulary of 10" in said
    record, old = newest_record(out), newest_record(trained)
    assert record.origin == Origin(str(trained), last, digest(trained), 10)
    assert record.model == old.model
    assert record.vocabulary.tokens == (*old.vocabulary.tokens, "z", "y")
    assert rows(out)[0]["step"] == last // 3, "its steps are counted from 0"
    perplexities = [row["perplexity"] for row in rows(out)]
    assert perplexities[-1] < perplexities[0] < rows(trained)[0]["perplexity"]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["origin"] == dataclasses.asdict(record.origin)
    code, said, _ = run("generate", out, "--prompt", "abz")
    assert code == 0
    assert said.startswith("abz")


@pytest.mark.parametrize("use", [*in_matrix("checkpoints"), "best"])
def test_a_rate_of_zero_keeps_parameters_and_perplexity(use, trained, texts, run, tmp_path):
    out = tmp_path / "out"
    flags = ("--from", trained, "--from-use", use, "--corpus", texts / "old.txt", *SMALL)
    code, _, complained = run("train", *flags, "--learning-rate", 0, "--epochs", 1, "--out", out)
    assert code == 0, complained
    origin, summary = newest_record(out).origin, json.loads((trained / "summary.json").read_text())
    assert digest(out) == origin.digest
    expected = summary["best"] if use == "best" else summary
    for name in ("held_out_perplexity", *["validation_perplexity"] * (use == "best")):
        assert rows(out)[-1][name] == expected[name]
    assert params_digest(jaxrnn.load_run(trained, use).params) == origin.digest


def test_new_tokens_are_refused_in_one_line(trained, texts, run, tmp_path):
    out = tmp_path / "out"
    flags = ("--from", trained, "--corpus", texts / "new.txt", "--out", out, *SMALL)
    code, _, error = run("train", *flags)
    assert (code, error.count("\n")) == (2, 1)
    assert f"{trained} cannot continue with {texts / 'new.txt'}: the vocabulary" in error
    assert "lacks 2 characters, 15.00% of the text: 'z' 'y'; --new-tokens add" in error
    code, _, error = run("train", *flags, "--new-tokens", "unk")
    assert (code, error.count("\n")) == (2, 1)
    assert "--new-tokens unk needs an unknown token in the vocabulary of 10, but it has" in error
    assert not out.exists()


def test_new_tokens_are_read_as_the_unknown_token(texts, run, tmp_path):
    """Also those of the held-out text, which are not scored."""
    known = jaxrnn.Vocabulary.of("abcdefghi", unknown="?")
    source, out = save_run(tmp_path / "source", known), tmp_path / "out"
    flags = ("--from", source, "--corpus", texts / "new.txt", "--new-tokens", "unk", *SMALL)
    code, _, complained = run("train", *flags, "--epochs", 1, "--out", out)
    assert code == 0, complained
    record = newest_record(out)
    assert record.vocabulary.tokens[0] == "?"
    assert len(record.vocabulary) == 10
    lost = sum(NEW.count(c) for c in " zy\n") / len(NEW)
    assert record.vocabulary.counts[0] == round(700 * lost)
    np.testing.assert_allclose(rows(out)[-1]["held_out_unknown_share"], lost, atol=0.01)


def test_a_fine_tuned_run_resumes_bit_for_bit_from_its_own_folder(
    trained, learnt, texts, run, tmp_path
):
    source = shutil.copytree(trained, tmp_path / "source")
    (whole, _), parts = learnt, tmp_path / "parts"
    flags = ("--from", source, *learning(texts), "--out", parts)
    assert run("train", *flags, "--epochs", 1)[0] == 0
    shutil.rmtree(source)
    assert run("train", *flags, "--epochs", 2, "--resume")[0] == 0
    code, said, complained = run("train", *flags[2:], "--epochs", 3, "--resume")
    assert code == 0, complained
    origin = newest_record(parts).origin
    assert f"fine-tuned from step {origin.step} in {source}" in said
    assert digest(parts) == digest(whole)
    assert rows(parts) == rows(whole)
    assert epochs(parts) == [1, 2, 3]
    assert origin == dataclasses.replace(newest_record(whole).origin, run_dir=str(source))
    code, _, error = run("train", "--from", trained, *flags[2:], "--resume")
    assert code == 2
    assert f"--from is {trained}, but the run in {parts} began with the" in error
    assert f"parameters of {source}: leave out --from to resume it" in error


def test_a_damaged_checkpoint_of_the_trained_run_is_passed_over(trained, tmp_path):
    source = shutil.copytree(trained, tmp_path / "source")
    steps = sorted(int(path.name) for path in (source / "checkpoints").iterdir())
    (source / "checkpoints" / str(steps[-1]) / "meta" / "metadata").write_text("{}")
    before = content_of(source)
    with pytest.warns(CheckpointWarning, match=f"continuing from step {steps[-2]}"):
        start = find_start(Settings(from_run=source, out=tmp_path / "out"))
    assert start.origin.step == steps[-2]
    assert content_of(source) == before


def test_flags_that_contradict_the_trained_run_are_refused(trained, texts, run, tmp_path):
    corpus, out = texts / "known.txt", tmp_path / "out"
    flags = ("--corpus", corpus, "--out", out, *SMALL)
    empty = tmp_path / "empty"
    (empty / "checkpoints").mkdir(parents=True)
    unit, ids = "character", tmp_path / "ids"
    write_token_file(lambda: pieces_of([texts / "new.txt"], unit), ids, unit)
    wrong = {
        f"hidden_size must be 8, as in {trained}, whose parameters are fine-tuned, got 16": (
            "--from", trained, "--hidden-size", 16
        ),
        "unit must be character, as in": ("--from", trained, "--unit", "word"),
        "--from and --out must be different folders, got": ("--from", tmp_path / "x/../out"),
        "nowhere holds no checkpoints": ("--from", "nowhere"),
        "checkpoints holds no intact checkpoint: there is none": ("--from", empty),
        "empty holds no best": ("--from", empty, "--from-use", "best"),
        "--new-tokens add needs --from, got none": ("--new-tokens", "add"),
        "--from-use best needs --from, got none": ("--from-use", "best"),
        f"ids has different tokens than the run in {trained}": (
            "--from", trained, "--corpus", ids
        ),
    }  # fmt: skip
    for message, more in wrong.items():
        code, _, error = run("train", *flags, *more)
        assert code == 2
        assert message in error
        assert error.count("\n") == 1
    assert not out.exists()
    own = save_run(tmp_path / "own")
    code, _, error = run("train", *flags, "--from", trained, "--out", own, "--resume")
    assert code == 2
    assert "own began with the parameters of no other run: leave out --from" in error


def test_flags_of_the_model_that_are_not_set_follow_the_trained_run(tmp_path):
    words = jaxrnn.Vocabulary.of("a b c d e f g h i j", unit="word")
    folder = save_run(tmp_path / "words", words)
    start = find_start(Settings(from_run=folder, out=tmp_path / "out"))
    assert start.settings.model == make_record().model
    assert start.settings.unit == "word"
    assert start.previous.vocabulary == words
    same = jaxrnn.ModelConfig(cell="lstm", hidden_size=5)
    assert find_start(Settings(same, from_run=folder, out=tmp_path / "out")).settings.model == same


def test_records_tell_an_origin_and_those_without_the_field_are_read():
    record = make_record()
    content = record.to_json()
    assert content.pop("origin") is None
    assert Record.from_json(content) == record
    tuned = dataclasses.replace(record, origin=Origin("runs/a", 7, "0" * 64, 10))
    assert Record.from_json(tuned.to_json()) == tuned
