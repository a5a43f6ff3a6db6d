"""Files of a checkpoint that are not what was written: an error or the same bits, never others."""

import os
import random
import shutil
import warnings

import jax.numpy as jnp
import pytest
from called import call
from faults.runs import bits, make_record, make_state

from jaxrnn.runs import CheckpointError, Checkpoints, CheckpointWarning, DamagedCheckpointError


def apart(function, folder, *arguments):
    """In a process of its own: orbax leaves coroutines behind that would fail later tests."""
    return call(folder.with_suffix(".call"), function, folder, *arguments)


def save_steps(run_dir, steps):
    record = make_record()
    _, state = make_state(record)
    with Checkpoints(run_dir) as checkpoints:
        for step in steps:
            checkpoints.save(state.replace(step=jnp.int32(step)), record)
    return record, state


def damage(path, generator):
    """One of what disks and copies do to a file."""
    content = bytearray(path.read_bytes())
    place = generator.randrange(len(content)) if content else 0
    kind = generator.choice(["flip", "cut", "zeros", "append", "empty", "delete", "swap"])
    if kind == "flip" and content:
        content[place] ^= 1 << generator.randrange(8)
    elif kind == "cut":
        del content[place:]
    elif kind == "zeros":
        content[place : place + 16] = bytes(len(content[place : place + 16]))
    elif kind == "append":
        content += generator.randbytes(16)
    elif kind == "empty":
        content.clear()
    elif kind == "swap":
        content[: len(content) // 2], content[len(content) // 2 :] = (
            content[len(content) // 2 :],
            content[: len(content) // 2],
        )
    if kind == "delete":
        path.unlink()
    else:
        path.write_bytes(content)


def mutate(run_dir, seed, count):
    """Damage one file after another; return how often it was detected and how often not."""
    record, state = save_steps(run_dir, [0])
    generator = random.Random(seed)
    whole = run_dir.with_name("whole")
    shutil.copytree(run_dir, whole)
    outcomes = {"detected": 0, "harmless": 0}
    for _ in range(count):
        shutil.rmtree(run_dir)
        shutil.copytree(whole, run_dir)
        files = sorted(p for p in (run_dir / "checkpoints" / "0").rglob("*") if p.is_file())
        damage(generator.choice(files), generator)
        with Checkpoints(run_dir, read_only=True) as checkpoints:
            try:
                saved = checkpoints.newest(lambda saved: (saved.record, saved.restore(state)))
            except CheckpointError:
                outcomes["detected"] += 1
                continue
        assert saved[0] == record
        assert bits(saved[1]) == bits(state)
        outcomes["harmless"] += 1
    return outcomes


def test_damaged_files_are_never_restored_in_silence(tmp_path, how_many, survived):
    count = how_many(30, 500)
    outcomes = apart(mutate, tmp_path / "run", 0, count)
    assert sum(outcomes.values()) == count
    assert outcomes["detected"] > count / 10  # most files repeat what others say
    survived("corruption: files damaged", count)


def fall_back(run_dir, seed):
    """Damage the newest of two steps; what is read, said, and set aside."""
    record, state = save_steps(run_dir, [3, 7])
    generator = random.Random(seed)
    newest = run_dir / "checkpoints" / "7"
    files = [p for p in newest.rglob("*") if p.is_file()]
    largest = sorted(files, key=lambda path: path.stat().st_size)[-3:]
    victim = generator.choice([*largest, newest / "meta" / "metadata", newest])
    if victim == newest:  # what is left of a step that was begun or half deleted
        shutil.rmtree(newest)
        newest.mkdir()
    else:
        for _ in range(3):
            content = bytearray(victim.read_bytes())
            for _ in range(8):
                content[generator.randrange(len(content))] ^= 0xFF
            victim.write_bytes(content)
    with warnings.catch_warnings(record=True) as said, Checkpoints(run_dir) as checkpoints:
        warnings.simplefilter("always", CheckpointWarning)
        step, restored = checkpoints.newest(lambda saved: (saved.step, saved.restore(state)))
        said = [str(w.message) for w in said if w.category is CheckpointWarning]
        assert bits(restored.params) == bits(state.params)
        if step == 7:
            assert not said  # the bytes had no meaning
            return 0
        assert step == 3
        assert len(said) == 1
        assert "step 7" in said[0]
        assert "continuing from step 3" in said[0]
        assert os.listdir(run_dir / "damaged") == ["7"]
        checkpoints.save(state.replace(step=jnp.int32(7)), record)
        assert checkpoints.steps() == [7, 3]
        checkpoints.open(7).verify()
    return 1


def fall_back_often(folder, count):
    return sum(fall_back(folder / str(seed), seed) for seed in range(count))


def test_a_damaged_newest_step_gives_way_to_the_one_before(tmp_path, how_many, survived):
    count = how_many(6, 30)
    fell_back = apart(fall_back_often, tmp_path, count)
    assert fell_back > count / 2
    survived("corruption: fall-backs", fell_back)


def all_damaged(run_dir):
    save_steps(run_dir, [3, 7])
    for meta in run_dir.rglob("meta/metadata"):
        meta.write_bytes(meta.read_bytes()[:-40])
    with Checkpoints(run_dir) as checkpoints:
        with pytest.raises(CheckpointError, match=r"holds no intact checkpoint: .*7.*3"):
            checkpoints.newest(lambda saved: saved)
        assert checkpoints.steps() == [7, 3]  # nothing is set aside that nothing replaces


def test_where_all_are_damaged_that_is_said_and_nothing_is_touched(tmp_path):
    apart(all_damaged, tmp_path)


def test_metadata_of_absurd_size_is_not_read(tmp_path):
    save_steps(tmp_path, [0])
    with (tmp_path / "checkpoints/0/meta/metadata").open("ab") as file:
        file.truncate(1 << 30)
    with (
        Checkpoints(tmp_path, read_only=True) as checkpoints,
        pytest.raises(DamagedCheckpointError, match="at most 67,108,864 bytes, got 1,073,741,824"),
    ):
        checkpoints.open(0)


def test_arrays_larger_than_the_memory_are_not_allocated(tmp_path, monkeypatch):
    _, state = save_steps(tmp_path, [0])
    monkeypatch.setattr("jaxrnn.runs.saved_checkpoint.physical_memory", lambda: 100)
    with (
        Checkpoints(tmp_path, read_only=True) as checkpoints,
        pytest.raises(CheckpointError, match="more than this machine's 100"),
    ):
        checkpoints.open(0).restore_params(state.params)
