"""Stopping anywhere and going on changes no bit; leaving anything out of a checkpoint does."""

import dataclasses
import functools
import itertools

import jax
import numpy as np
import pytest
from faults.runs import bits, make_record, make_state, train
from marks import in_matrix

from jaxrnn.runs import Checkpoints
from jaxrnn.training import Progress
from jaxrnn.training import trainer as trainer_module


@pytest.fixture(autouse=True)
def a_step_a_call(monkeypatch):
    monkeypatch.setattr(trainer_module, "SECONDS_PER_CALL", 1e-9)
    with jax.numpy_dtype_promotion("standard"):  # optax's own counters are not strict
        yield


def told(progress):
    """Everything but times."""
    return progress._replace(seconds=0.0)


def record_of(cell, **parallel):
    record = make_record(cell=cell, dropout=0.2, epochs=3)
    return dataclasses.replace(record, training=dataclasses.replace(record.training, **parallel))


@functools.cache
def undisturbed(cell, **parallel):
    """The bits of the end, and how the run was told."""
    record = record_of(cell, **parallel)
    *_, (state, progress) = train(record, make_state(record)[1])
    return bits(state), told(progress)


def stop(cell, run_dir, after, **parallel):
    """Train some steps, and save."""
    record = record_of(cell, **parallel)
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


STOPS = [1, 2, 7, 15, 16, 17, 23, 31, 32, 33, 40, 47]


@pytest.mark.parametrize("cell", [*in_matrix("rnn", "gru"), "lstm"])
def test_resuming_anywhere_changes_no_bit(cell, tmp_path, how_many, survived):
    stops = how_many([1, 17, 40], STOPS)
    for after in stops:
        stop(cell, tmp_path / str(after), after)
        assert resume(tmp_path / str(after)) == undisturbed(cell)
    survived("resume: stops", len(stops))


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_resuming_on_four_devices_changes_no_bit(parallel, tmp_path, how_many, survived):
    devices = {"devices": 4, "parallel": parallel}
    stops = how_many([("lstm", 17)], list(itertools.product(["rnn", "gru", "lstm"], STOPS)))
    for cell, after in stops:
        run_dir = tmp_path / f"{cell}-{after}"
        stop(cell, run_dir, after, **devices)
        assert resume(run_dir) == undisturbed(cell, **devices)
    survived("resume: stops, four devices", len(stops))


def test_going_on_with_other_devices_agrees_but_for_rounding(tmp_path):
    stop("lstm", tmp_path, 17, devices=4)
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        saved = checkpoints.newest(lambda saved: saved)
        state = saved.restore(make_state(saved.record)[1])
    alone = record_of("lstm")
    *_, (ended, _) = train(alone, state, saved.record.progress)
    *_, (expected, _) = train(alone, make_state(alone)[1])
    for a, b in zip(jax.tree.leaves(ended.params), jax.tree.leaves(expected.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


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
