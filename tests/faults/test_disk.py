"""A disk that is full, or not to be written to: a clear error, and the last good step intact."""

import re
import shutil
from typing import NamedTuple

import jax.numpy as jnp
import preloaded
import pytest
from faults.runs import make_record, make_state
from subprocesses import ROOT, STATEFUL, environment, finish, train

from jaxrnn.runs import CheckpointError, Checkpoints, SaveFailedError
from jaxrnn.runs.digests import SPARE_BYTES, num_bytes

pytestmark = pytest.mark.usefixtures("only_compiled_programs")


class Usage(NamedTuple):
    """The usage of a disk."""

    free: int


def test_a_save_that_fails_leaves_the_one_before(tmp_path, compiled_programs, how_many, survived):
    out = tmp_path / "run"
    shutil.copytree(compiled_programs.with_name("one"), out)
    with Checkpoints(out, read_only=True) as checkpoints:
        newest = checkpoints.steps()[0]
    sizes = how_many([2048], [2**k for k in range(4, 17)] + [3 * 2**k for k in range(3, 15)])
    for size in sizes:
        words = map(str, (size, *STATEFUL, "--out", out, "--epochs", 3, "--resume"))
        process = preloaded.Process("faults.small_files", list(words), ROOT, environment())
        code, _, complained = finish(process)
        assert code == 2
        # Threads of tensorstore, left amid the save, may have something to say on the same line.
        assert re.search("error: .*too large", complained), complained
        with Checkpoints(out, read_only=True) as checkpoints:
            checkpoints.open(checkpoints.steps()[0]).verify()
            assert checkpoints.steps()[0] >= newest
    assert "3 epochs" in train(out, "--epochs", 3, "--resume")
    survived("full disk", len(sizes))


def test_a_folder_that_cannot_be_written_to_is_known_before_training(tmp_path, run, survived):
    (tmp_path / "file").write_text("")
    code, said, complained = run("train", *STATEFUL, "--out", tmp_path / "file" / "run")
    assert code == 2
    assert complained.startswith("error: ")
    assert complained.count("\n") == 1
    assert "model" not in said
    survived("full disk", 1)


def test_room_for_the_checkpoints_is_looked_for_before_training(tmp_path, monkeypatch, survived):
    from jaxrnn.runs.run import Run
    from jaxrnn.runs.saver import Saver
    from jaxrnn.runs.settings import Settings

    run = Run(Settings(corpus="songs", max_chars=2000, out=tmp_path))
    arrays = 8 * num_bytes(run.initial_state())  # all that a run keeps, and the one being written
    for free in (1000, arrays, arrays + 7 * SPARE_BYTES):
        monkeypatch.setattr("shutil.disk_usage", lambda folder, free=free: Usage(free))
        with Saver(run) as saver, pytest.raises(CheckpointError, match=f"{free:,} bytes f"):
            saver.start()
    survived("full disk", 3)


def test_a_disk_without_room_is_known_before_a_save(tmp_path, monkeypatch, survived):
    """Nothing is begun that would leave half a save."""
    record = make_record()
    _, state = make_state(record)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, record)
        before = sorted(tmp_path.rglob("*"))
        monkeypatch.setattr("jaxrnn.runs.checkpoints.shutil.disk_usage", lambda folder: Usage(1000))
        later = state.replace(step=jnp.int32(9))
        with pytest.raises(SaveFailedError, match=r"step 9 .*: 1,000 bytes are free, but [\d,]+ a"):
            checkpoints.save(later, record)
        assert sorted(tmp_path.rglob("*")) == before
        monkeypatch.undo()
        checkpoints.save(later, record)
        assert checkpoints.steps() == [9, 0]
    survived("full disk", 1)
