"""One flipped bit in any file of a run: verified, loaded and resumed, and never used in silence."""

import functools
import random
import shutil
import warnings

import jax
import jax.numpy as jnp
import pytest
from faults.runs import bits, make_record, make_state
from faults.test_corruption import apart

from jaxrnn.runs import Best, CheckpointError, Checkpoints
from jaxrnn.runs.metrics import MetricsLog, read_metrics
from jaxrnn.runs.run_folder import RunFolder
from jaxrnn.runs.summary import read_summary, write_summary
from jaxrnn.training import Progress

STEPS = [3, 7]


def make_run(run_dir):
    """A folder with all that a run writes; (record, state) of a step, and the log's rows."""
    with (
        RunFolder(run_dir),
        Checkpoints(run_dir) as newest,
        Checkpoints(run_dir, "best") as best,
        MetricsLog(run_dir) as log,
    ):
        for step in STEPS:
            record, state = step_of_run(step)
            best.save_params(state.params, step, record)
            newest.save(state, record)
            log.add({"epoch": step, "step": step, "perplexity": 10.0 / step})
        write_summary(run_dir, {"epochs": 7, "finished": True, "perplexity": 10.0 / 7})
        return log.rows


@functools.cache
def step_of_run(step):
    record = make_record(Progress(step, 1, 9, 3.5, 24), best=Best(step, step, 7.5))
    _, state = make_state(record)
    params = jax.tree.map(lambda p: p + step, state.params)
    return record, state.replace(step=jnp.int32(step), params=params)


def look(run_dir, rows, kinds=("checkpoints", "best")):
    """Return whether a reader said anything; raise where one used what was not written."""
    said = False
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for kind in kinds:
            with Checkpoints(run_dir, kind, read_only=True) as checkpoints:
                said |= not verify(checkpoints)
                try:
                    step, came = checkpoints.newest(lambda saved, kind=kind: read(saved, kind))
                    record, state = step_of_run(step)
                    assert came == (record, bits(state if kind == "checkpoints" else state.params))
                except CheckpointError:
                    said = True
        log = read_metrics(run_dir)
        assert log == rows[: len(log)]
        cut = not (run_dir / "metrics.jsonl").read_bytes().endswith(b"\n")  # as by a kill
        assert warned or cut or said or log == rows
        try:
            assert read_summary(run_dir)["epochs"] == 7
        except ValueError:
            said = True
        with RunFolder(run_dir):
            pass
    return said or bool(warned) or cut


def verify(checkpoints):
    """Return whether each step is intact; one that is has the bits of that step."""
    intact = checkpoints.steps() == STEPS[::-1]
    for step in checkpoints.steps():
        try:
            checkpoints.open(step).verify()
        except CheckpointError:
            intact = False
    return intact


def read(saved, kind):
    _, state = step_of_run(saved.step)
    if kind == "best":
        return saved.step, (saved.record, bits(saved.restore_params(state.params)))
    return saved.step, (saved.record, bits(saved.restore(state)))


def flip_again_and_again(run_dir, seed, count):
    """How often a flip was said, of so many; those others changed nothing that is read."""
    rows = make_run(run_dir)
    generator, said = random.Random(seed), 0
    files = {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}
    events = {path for path in files if "tensorboard" in path.parts}  # which nothing here reads
    places = sorted(path for path, content in files.items() if content and path not in events)
    for _ in range(count):
        path = generator.choice(places)
        content = bytearray(files[path])
        content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        path.write_bytes(content)
        kinds = [part for part in path.parts if part in ("checkpoints", "best")]
        said += look(run_dir, rows, kinds)
        for kept in places:
            if not kept.exists() or kept.name == "jaxrnn.json" or kept == path:
                kept.write_bytes(files[kept])
    assert not look(run_dir, rows)
    shutil.rmtree(run_dir)
    return said


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.matrix)])
def test_a_flipped_bit_is_said_or_changes_nothing_that_is_read(seed, tmp_path, how_many, survived):
    count = how_many(24, 2500)
    said = apart(flip_again_and_again, tmp_path / "run", seed, count)
    assert said > count / 30  # most files repeat what others say
    survived("corruption: flipped bits", count)
