"""Stopping anywhere and going on changes no bit; leaving anything out of a checkpoint does."""

import dataclasses
import itertools

import jax
import numpy as np
import optax
import pytest
from faults.runs import bits, make_record, make_state, train
from marks import in_matrix

import jaxrnn
from jaxrnn.runs import Checkpoints
from jaxrnn.training import Progress
from jaxrnn.training import trainer as trainer_module
from jaxrnn.training.averaging import AverageState
from jaxrnn.training.parallel import make_placement


@pytest.fixture(autouse=True)
def a_step_a_call(monkeypatch):
    monkeypatch.setattr(trainer_module, "SECONDS_PER_CALL", 1e-9)
    with jax.numpy_dtype_promotion("standard"):  # optax's own counters are not strict
        yield


def told(progress):
    """Everything but times."""
    return progress._replace(seconds=0.0)


REGULARIZED = "regularized"
"""The name, in the place of a cell's, of an LSTM with everything that a run can have."""
MODEL = jaxrnn.ModelConfig(
    cell="lstm", hidden_size=5, embedding_size=5, tie_embeddings=True, dropout=0.2,
    embedding_dropout=0.1, recurrent_dropout=0.1, weight_drop=0.2, zoneout=0.1,
    variational_dropout=True,
)  # fmt: skip
TRAINING = {
    "random_lengths": True, "random_offset": True, "optimizer": "adamw", "weight_decay": 0.1,
    "schedule": "cosine", "warmup_steps": 20, "activation_penalty": 2.0, "temporal_penalty": 1.0,
    "average": 0.9, "average_after": 1,
}  # fmt: skip


def record_of(name, **more):
    if name == REGULARIZED:
        record, more = dataclasses.replace(make_record(epochs=3), model=MODEL), TRAINING | more
    else:
        record = make_record(cell=name, dropout=0.2, epochs=3)
    return dataclasses.replace(record, training=dataclasses.replace(record.training, **more))


def train_and_save(name, run_dir, stops, **more):
    """Train to the end, and save after some steps on the way, each in a folder of its own.

    Returns:
        The bits of the end, and how the run was told.
    """
    record, number = record_of(name, **more), 0
    for number, (state, progress) in enumerate(train(record, make_state(record)[1]), 1):
        if number in stops:
            with Checkpoints(run_dir / str(number)) as checkpoints:
                checkpoints.save(state, dataclasses.replace(record, progress=progress))
    assert number > max(stops)
    return bits(state), told(progress)


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
STOPS_REGULARIZED = [1, 2, 7, 11, 12, 13, 14, 17, 20, 23, 26, 29]
"""Of epochs of 11 to 13 windows, the first without an average and with a rate that grows."""


@pytest.mark.parametrize("name", [*in_matrix("rnn", "gru", "lstm"), REGULARIZED])
def test_resuming_anywhere_changes_no_bit(name, tmp_path, how_many, survived):
    few, more = ([1, 20], STOPS_REGULARIZED) if name == REGULARIZED else ([1, 17, 40], STOPS)
    stops = how_many(few, more)
    expected = train_and_save(name, tmp_path, stops)
    for after in stops:
        assert resume(tmp_path / str(after)) == expected
    area = "with every regularizer" if name == REGULARIZED else "stops"
    survived(f"resume: {area}", len(stops))


@pytest.mark.parametrize(
    ("name", "parallel"),
    [
        (REGULARIZED, "pmap"),
        *in_matrix((REGULARIZED, "jit")),
        *in_matrix(*itertools.product(("rnn", "gru", "lstm"), ("jit", "pmap"))),
    ],
)
def test_resuming_on_four_devices_changes_no_bit(name, parallel, tmp_path, how_many, survived):
    stops = how_many([17], STOPS_REGULARIZED if name == REGULARIZED else STOPS)
    expected = train_and_save(name, tmp_path, stops, devices=4, parallel=parallel)
    for after in stops:
        assert resume(tmp_path / str(after)) == expected
    area = "with every regularizer" if name == REGULARIZED else "stops"
    survived(f"resume: {area}, four devices", len(stops))


def test_going_on_with_other_devices_agrees_but_for_rounding(tmp_path):
    """With as many devices as before, bit for bit."""
    whole = train_and_save("lstm", tmp_path, [17], devices=4)
    assert resume(tmp_path / "17") == whole
    with Checkpoints(tmp_path / "17", read_only=True) as checkpoints:
        saved = checkpoints.newest(lambda saved: saved)
        state = saved.restore(make_state(saved.record)[1])
    alone = record_of("lstm")
    *_, (ended, _) = train(alone, state, saved.record.progress)
    *_, (expected, _) = train(alone, make_state(alone)[1])
    for a, b in zip(jax.tree.leaves(ended.params), jax.tree.leaves(expected.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


def forgetting(kind, field):
    """Forget a field of a part of the optimizer's state."""

    def change(state, progress, fresh):
        parts = (
            jax.tree.leaves(each.opt_state, is_leaf=lambda part: isinstance(part, kind))
            for each in (state, fresh)
        )
        mixed = [
            old._replace(**{field: getattr(new, field)}) if isinstance(old, kind) else old
            for old, new in zip(*parts, strict=True)
        ]
        assert any(isinstance(part, kind) for part in mixed)
        form = jax.tree.structure(state.opt_state, is_leaf=lambda part: isinstance(part, kind))
        return state.replace(opt_state=jax.tree.unflatten(form, mixed)), progress

    return change


MUTANTS = {
    "params": lambda state, progress, fresh: (state.replace(params=fresh.params), progress),
    "opt_state": lambda state, progress, fresh: (
        state.replace(opt_state=fresh.opt_state),
        progress,
    ),
    "the average": forgetting(AverageState, "average"),
    "when the average began": forgetting(AverageState, "num_updates"),
    "the place in the schedule": forgetting(optax.ScaleByScheduleState, "count"),
    "the moments' count": forgetting(optax.ScaleByAdamState, "count"),
    "the first moments": forgetting(optax.ScaleByAdamState, "mu"),
    "the second moments": forgetting(optax.ScaleByAdamState, "nu"),
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
    """A run that was stopped within its last epoch, whose sums the last progress tells; its end."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch, jax.numpy_dtype_promotion("standard"):
        patch.setattr(trainer_module, "SECONDS_PER_CALL", 1e-9)
        expected = train_and_save(REGULARIZED, folder, [29])
    return folder / "29", expected


@pytest.fixture(scope="module")
def one_program():
    """`make_placement`, by which all mutants share the program of the first."""
    compiled = {}

    def make(config):
        placement = make_placement(config)

        def compile_once(program, *arguments):
            if config not in compiled:
                compiled[config] = placement.compile(program, *arguments)
            return compiled[config]

        return placement._replace(compile=compile_once)

    return make


@pytest.mark.parametrize("mutant", MUTANTS)
def test_whatever_is_left_out_shows(mutant, stopped, one_program, monkeypatch, survived):
    """Nothing left out: `test_resuming_anywhere_changes_no_bit`."""
    monkeypatch.setattr(trainer_module, "make_placement", one_program)
    run_dir, expected = stopped
    if mutant == "epoch":  # with random lengths, the first has another number of batches
        with pytest.raises(ValueError, match="progress must have epochs of"):
            resume(run_dir, MUTANTS[mutant])
    else:
        assert resume(run_dir, MUTANTS[mutant]) != expected
    survived("omitted state: mutants caught", 1)
