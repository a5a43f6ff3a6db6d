"""Stopping anywhere and going on changes no bit; leaving anything out of a checkpoint does."""

import dataclasses

import jax
import pytest
from faults.runs import bits, make_record, make_state, train

from jaxrnn.training import Checkpoints, Progress
from jaxrnn.training import trainer as trainer_module


@pytest.fixture(autouse=True)
def a_step_a_call(monkeypatch):
    monkeypatch.setattr(trainer_module, "SECONDS_PER_CALL", 1e-9)
    with jax.numpy_dtype_promotion("standard"):  # optax's own counters are not strict
        yield


def told(progress):
    """Everything but times."""
    return progress._replace(seconds=0.0)


def undisturbed(record):
    """The bits of the end, and how the run was told at each step."""
    *_, (state, progress) = train(record, make_state(record)[1])
    return bits(state), told(progress)


def stop_and_resume(record, run_dir, stop, change=lambda state, progress, fresh: (state, progress)):
    """Train to a step, save, restore into new objects, change what the mutant says, go on."""
    steps = train(record, make_state(record)[1])
    for _ in range(stop):
        state, progress = next(steps)
    with Checkpoints(run_dir) as checkpoints:
        checkpoints.save(state, dataclasses.replace(record, progress=progress))
    _, fresh = make_state(record)
    with Checkpoints(run_dir) as checkpoints:
        state, progress = checkpoints.newest(
            lambda saved: (saved.restore(fresh), saved.record.progress)
        )
    state, progress = change(state, progress, make_state(record)[1])
    *_, (state, progress) = train(record, state, progress)
    return bits(state), told(progress)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_resuming_anywhere_changes_no_bit(cell, tmp_path, how_many, survived):
    record = make_record(cell=cell, dropout=0.2, epochs=3)
    expected = undisturbed(record)
    stops = how_many([1, 17, 40], [1, 2, 7, 15, 16, 17, 23, 31, 32, 33, 40, 47])
    for stop in stops:
        assert stop_and_resume(record, tmp_path / str(stop), stop) == expected
    survived("resume: stops", len(stops))


MUTANTS = {
    "params": lambda state, progress, fresh: (state.replace(params=fresh.params), progress),
    "opt_state": lambda state, progress, fresh: (
        state.replace(opt_state=fresh.opt_state),
        progress,
    ),
    "carry": lambda state, progress, fresh: (state.replace(carry=fresh.carry), progress),
    "key": lambda state, progress, fresh: (state.replace(key=fresh.key), progress),
    "step": lambda state, progress, fresh: (state.replace(step=fresh.step), progress),
    "epoch": lambda state, progress, fresh: (state, progress._replace(epoch=0)),
    "batch": lambda state, progress, fresh: (state, progress._replace(batch=0)),
    "sums of the epoch": lambda state, progress, fresh: (
        state,
        progress._replace(nats=0.0, tokens=0),
    ),
    "all of the place": lambda state, progress, fresh: (state, Progress()),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_whatever_is_left_out_shows(mutant, tmp_path, survived):
    record = make_record(dropout=0.2, epochs=3)
    expected = undisturbed(record)
    stop = 40  # within the last epoch, whose sums the last progress tells
    assert stop_and_resume(record, tmp_path / "whole", stop) == expected
    assert stop_and_resume(record, tmp_path / "mutant", stop, MUTANTS[mutant]) != expected
    survived("omitted state: mutants caught", 1)
