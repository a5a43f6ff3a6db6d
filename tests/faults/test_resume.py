"""Stopping anywhere and going on changes no bit; leaving anything out of a checkpoint does."""

import dataclasses
import functools
import itertools

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


@functools.cache
def undisturbed(cell):
    """The bits of the end, and how the run was told."""
    record = make_record(cell=cell, dropout=0.2, epochs=3)
    *_, (state, progress) = train(record, make_state(record)[1])
    return bits(state), told(progress)


def stop(cell, run_dir, after):
    """Train some steps, and save."""
    record = make_record(cell=cell, dropout=0.2, epochs=3)
    *_, (state, progress) = itertools.islice(train(record, make_state(record)[1]), after)
    with Checkpoints(run_dir) as checkpoints:
        checkpoints.save(state, dataclasses.replace(record, progress=progress))


def resume(run_dir, change=lambda state, progress, fresh: (state, progress)):
    """Restore into new objects, change what the mutant says, and go on to the end."""
    with Checkpoints(run_dir, read_only=True) as checkpoints:
        saved = checkpoints.newest(lambda saved: saved)
        state = saved.restore(make_state(saved.record)[1])
    fresh = make_state(saved.record)[1]
    state, progress = change(state, saved.record.progress, fresh)
    *_, (state, progress) = train(saved.record, state, progress)
    return bits(state), told(progress)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_resuming_anywhere_changes_no_bit(cell, tmp_path, how_many, survived):
    stops = how_many([1, 17, 40], [1, 2, 7, 15, 16, 17, 23, 31, 32, 33, 40, 47])
    for after in stops:
        stop(cell, tmp_path / str(after), after)
        assert resume(tmp_path / str(after)) == undisturbed(cell)
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


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that was stopped within its last epoch, whose sums the last progress tells."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch, jax.numpy_dtype_promotion("standard"):
        patch.setattr(trainer_module, "SECONDS_PER_CALL", 1e-9)
        stop("lstm", folder, 40)
    return folder


@pytest.mark.parametrize("mutant", MUTANTS)
def test_whatever_is_left_out_shows(mutant, stopped, survived):
    """Nothing left out: `test_resuming_anywhere_changes_no_bit`."""
    assert resume(stopped, MUTANTS[mutant]) != undisturbed("lstm")
    survived("omitted state: mutants caught", 1)
