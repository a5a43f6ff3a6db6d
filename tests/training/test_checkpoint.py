"""Checkpoints: what comes back is what was saved, bit for bit, or an error that says why."""

import dataclasses
import itertools
import json
import multiprocessing
import random
from concurrent.futures import ProcessPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn.training import CheckpointError, Checkpoints, Progress, Record, TextRecord
from jaxrnn.training.checkpoint import params_digest

VOCABULARY = jaxrnn.Vocabulary.of("abcdefghij")
V = len(VOCABULARY)
IDS = np.random.default_rng(0).integers(0, V, 300).astype(np.int32)
TRAINING = jaxrnn.TrainConfig(
    windows="sequential", batch_size=3, num_steps=6, epochs=4, optimizer="adam", learning_rate=0.01
)


@pytest.fixture(autouse=True)
def optax_promotes():
    with jax.numpy_dtype_promotion("standard"):  # optax's own counters are not strict
        yield


def make_record(progress=Progress(), **change):
    model = jaxrnn.ModelConfig(cell=change.get("cell", "lstm"), hidden_size=5)
    training = dataclasses.replace(TRAINING, epochs=change.get("epochs", 4))
    text = TextRecord("abc", change.get("digest", "0" * 64), 100, 20)
    return Record(model, training, text, VOCABULARY, progress)


def make_state(record):
    training, model = record.training, jaxrnn.build(record.model, V)
    optimizer, key = training.make_optimizer(), jax.random.key(7)
    return model, jaxrnn.init_state(model, optimizer, V, training.batch_size, key)


def assert_same_bits(came, expected):
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(expected), strict=True):
        if jnp.issubdtype(b.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_state_comes_back_bit_for_bit(cell, tmp_path):
    record = make_record(Progress(epoch=2, batch=5, num_batches=9, nats=1 / 3, tokens=8), cell=cell)
    _, state = make_state(record)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, record)
    with Checkpoints(tmp_path) as checkpoints:
        saved = checkpoints.newest()
        assert_same_bits(saved.restore(make_state(record)[1]), state)
        assert saved.record == record


def test_resuming_in_mid_epoch_changes_no_bit(tmp_path, monkeypatch):
    """Every call is a step; stop after each of some steps, restore into new objects, go on."""
    monkeypatch.setattr("jaxrnn.training.trainer.SECONDS_PER_CALL", 1e-9)
    record = make_record()

    def run(state, progress, stop_after=None):
        model, _ = make_state(record)
        config = record.training
        steps = jaxrnn.train(model, config.make_optimizer(), config, IDS, state, progress)
        *_, last = itertools.islice(steps, stop_after)
        return last

    whole, end = run(make_state(record)[1], Progress())
    for stop_after in (1, 16, 17, 40):
        folder = tmp_path / str(stop_after)
        state, progress = run(make_state(record)[1], Progress(), stop_after)
        with Checkpoints(folder) as checkpoints:
            checkpoints.save(state, dataclasses.replace(record, progress=progress))
        with Checkpoints(folder) as checkpoints:
            saved = checkpoints.newest()
            state = saved.restore(make_state(record)[1])
            progress = saved.record.progress
        state, progress = run(state, progress)
        assert_same_bits(state, whole)
        assert progress._replace(seconds=0) == end._replace(seconds=0)


def test_load_gives_model_params_and_vocabulary(tmp_path):
    record = make_record()
    model, state = make_state(record)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, record)
    run = jaxrnn.load(tmp_path)
    assert run.vocabulary == VOCABULARY
    assert params_digest(run.params) == params_digest(state.params)
    ids = jnp.array([[0], [1]])
    expected, _ = model.apply(state.params, ids, model.initial_carry(state.params, 1))
    came, _ = run.model.apply(run.params, ids, run.model.initial_carry(run.params, 1))
    np.testing.assert_array_equal(came, expected)


def test_only_the_last_few_stay(tmp_path):
    record = make_record()
    _, state = make_state(record)
    with Checkpoints(tmp_path) as checkpoints:
        for step in range(1, 7):
            checkpoints.save(state.replace(step=jnp.int32(step)), record)
        assert checkpoints.latest_step() == 6
    assert sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir()) == [4, 5, 6]


def test_saving_the_same_step_again_changes_nothing(tmp_path):
    record = make_record()
    _, state = make_state(record)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, record)
        checkpoints.save(state, record)
        assert checkpoints.latest_step() == 0


def flip_and_restore(run_dir):
    """Flip bits of each file of a checkpoint in turn, and count what comes of it."""
    record = make_record()
    _, state = make_state(record)
    with Checkpoints(run_dir) as checkpoints:
        checkpoints.save(state, record)
    generator = random.Random(0)
    files = [p for p in (run_dir / "checkpoints" / "0").rglob("*") if p.is_file()]
    outcomes = {"detected": 0, "harmless": 0}
    for path in files:
        original = path.read_bytes()
        for _ in range(3 if original else 0):
            damaged = bytearray(original)
            damaged[generator.randrange(len(damaged))] ^= 1 << generator.randrange(8)
            path.write_bytes(damaged)
            try:
                with Checkpoints(run_dir) as checkpoints:
                    saved = checkpoints.newest()
                    restored = saved.restore(state)
                    assert saved.record == record
            except CheckpointError:
                outcomes["detected"] += 1
            else:
                assert_same_bits(restored, state)
                outcomes["harmless"] += 1
        path.write_bytes(original)
    return outcomes


def test_flipped_bytes_are_never_restored_in_silence(tmp_path):
    """In a process of its own: orbax leaves coroutines behind that would fail later tests."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        outcomes = process.submit(flip_and_restore, tmp_path).result(timeout=300)
    assert outcomes["detected"] >= 10


def test_another_runs_checkpoint_is_told_apart():
    saved = make_record(cell="lstm", digest="1" * 64, epochs=9)
    differences = make_record(cell="gru").differences(saved)
    assert differences == [
        "model.cell: lstm there, gru here",
        f"text.digest: {'1' * 64} there, {'0' * 64} here",
    ]
    assert make_record(epochs=9).differences(make_record(Progress(epoch=3))) == []


def test_what_is_not_a_run_is_said(tmp_path):
    with pytest.raises(CheckpointError, match="holds no checkpoints"):
        jaxrnn.load(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        jaxrnn.load(tmp_path)


def test_a_state_of_another_shape_is_refused(tmp_path):
    record = make_record()
    _, state = make_state(record)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, record)
        _, other = make_state(make_record(cell="gru"))
        with pytest.raises(CheckpointError, match=r"params.*is .* in step 0, and .* here|body"):
            checkpoints.newest().restore(other)
        wide = jax.tree.map(lambda p: p.astype(jnp.bfloat16), state.params)
        with pytest.raises(CheckpointError, match=r"is float32\[.*\] in step 0, and bfloat16"):
            checkpoints.newest().restore_params(wide)


def test_another_format_is_refused(tmp_path, monkeypatch):
    record = make_record()
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(make_state(record)[1], record)
        monkeypatch.setattr("jaxrnn.training.checkpoint.FORMAT", 2)
        with pytest.raises(CheckpointError, match="of format 1, this jaxrnn reads 2"):
            checkpoints.newest()


def test_two_arrays_of_one_name_are_refused():
    with pytest.raises(CheckpointError, match="same name"):
        params_digest({"a.b": jnp.ones(1), "a": {"b": jnp.ones(1)}})


def test_nothing_is_pickled(tmp_path):
    record = make_record()
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(make_state(record)[1], record)
    for path in (tmp_path / "checkpoints").rglob("*"):
        assert not path.is_file() or not path.read_bytes().startswith(b"\x80")
    meta = json.loads((tmp_path / "checkpoints/0/meta/metadata").read_text())
    assert meta["record"]["model"]["cell"] == "lstm"
