"""How a training ends, and how far it says to be until then."""

import contextlib
import json
import re
import signal

import jax
import pytest
from marks import in_matrix


@pytest.fixture(autouse=True)
def as_a_user(as_users_run):
    """Errors of the library itself."""


def test_without_a_terminal_lines_say_how_far_a_training_is(one_epoch):
    _, complained = one_epoch
    first, *_, last = complained.splitlines()
    assert re.fullmatch(r"training: epoch 0 of 1 \(0%\), \d+:\d\d elapsed, compiling", first)
    assert last.startswith("training: epoch 1 of 1 (100%), ")
    assert re.search(r"elapsed, perplexity [\d.]+, [\d,]+ tokens/s$", last)


def test_a_training_that_is_stopped_in_its_first_epoch_has_no_curve(small, run, monkeypatch):
    """After two of its eight batches."""
    out, settings = small
    signals = iter([None, None, signal.SIGINT])
    monkeypatch.setattr("jaxrnn.training.trainer.SECONDS_PER_CALL", 1e-9)
    monkeypatch.setattr(
        "jaxrnn.runs.interrupts.deferred_interrupts",
        lambda: contextlib.nullcontext(lambda: next(signals)),
    )
    code, said, complained = run("train", *settings, "--epochs", 3)
    assert code == 128 + signal.SIGINT, complained
    stopped, summary, last = said.splitlines()[-3:]
    assert stopped == f"stopped and saved: add --resume to the same command to continue from {out}"
    assert summary.startswith("0.25 epochs in ")
    assert summary.endswith(f"s in all; metrics, summary and checkpoints in {out}")
    assert last.startswith("training perplexity ")
    assert not (out / "curve.png").exists()


@pytest.mark.parametrize("left", [None, "[]", '{"epochs": 1}', *in_matrix("", "{}", "null")])
def test_a_finished_run_without_an_intact_summary_gets_one(trained_small, run, left):
    """As after a kill on its last steps, or damage."""
    out, settings = trained_small
    path = out / "summary.json"
    summary = json.loads(path.read_text())
    path.unlink() if left is None else path.write_text(left)
    code, said, complained = run("train", *settings, "--epochs", 1, "--resume")
    assert code == 0, complained
    assert "has finished 1 epochs" in said
    again = json.loads(path.read_text())
    assert again["params_digest"] == summary["params_digest"]
    assert again["held_out_perplexity"] == summary["held_out_perplexity"]


def test_steps_skipped_at_the_very_end_are_an_error_too(small, run, monkeypatch):
    _, settings = small
    monkeypatch.setattr(
        "jaxrnn.training.gradient.loss_of_batch",
        lambda *_: (jax.numpy.float32("nan"), 1, None, _[4]),
    )
    code, _, error = run("train", *settings, "--max-skipped", 8, "--epochs", 1)
    assert code == 2
    assert "was not finite in 8 batches in a row, up to batch 8 of epoch 1" in error
