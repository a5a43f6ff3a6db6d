"""Do the part of one of two processes in a test.

Called as `python -m parallel.worker TASK ... COORDINATOR PROCESS`.
"""

import itertools
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from faults import test_resume as resuming
from parallel.runs import make_config, make_model, run

from jaxrnn.commands import command_line
from jaxrnn.commands.train import train
from jaxrnn.runs import Checkpoints
from jaxrnn.runs.checkpoints import CheckpointWarning
from jaxrnn.runs.run_folder import check_shared_folder
from jaxrnn.runs.settings import Settings
from jaxrnn.training import feed, trainer
from jaxrnn.training.parallel import make_placement
from jaxrnn.training.processes import connect, is_first, wait_for_all


def courses(folder, *which):
    """Courses of `test_processes`, CELL-WINDOWS-PARALLEL each, written by the first process."""
    for name in which:
        cell, windows, parallel = name.split("-")
        config = make_config(windows, parallel=parallel)
        losses, params, state = run(make_model(cell), config)
        rows = {shard.data.shape[0] for x in jax.tree.leaves(state.carry)
                for shard in x.addressable_shards}  # fmt: skip
        assert rows == {config.batch_size // 4}
        if is_first():
            np.savez(Path(folder) / f"{name}.npz", losses, *jax.tree.leaves(params))


def resumes(folder, names, *stops):
    """`faults.test_resume`, each stop of each cell, or of REGULARIZED."""
    for name in names.split():
        expected = resuming.train_and_save(name, Path(folder) / name, [int(stop) for stop in stops])
        for after in stops:
            assert resuming.resume(Path(folder) / name / after) == expected


def together(folder):
    """Check that all processes act on what one of them alone has seen."""
    alone, run_dir = Path(folder) / str(jax.process_index()), Path(folder) / "run"
    alone.mkdir()
    with pytest.raises(ValueError, match="must be a folder that all processes share"):
        check_shared_folder(alone)
    record = resuming.record_of("rnn")
    put, state = make_placement(record.training).put_state, resuming.make_state(record)[1]
    with Checkpoints(run_dir) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(put(state.replace(step=jnp.int32(step))), record)
    if not is_first():
        spoil()
        dawdle()

    def restore(saved):
        return int(saved.restore(resuming.make_state(saved.record)[1]).step)

    with Checkpoints(run_dir) as checkpoints:
        with pytest.warns(CheckpointWarning, match="continuing from step 1"):
            assert checkpoints.newest(restore) == 1
        assert checkpoints.steps() == [1]
    if is_first():
        with Checkpoints(run_dir, read_only=True) as checkpoints:
            assert checkpoints.newest(restore) == 1  # the other does not come
    wait_for_all("the first has read")  # a process that ends waits for a minute only


def spoil():
    """For this process alone: the metadata of step 3, the carry of step 2."""
    read = Checkpoints._read

    def read_wrongly(checkpoints, step, item, types):
        if (step, item) == (3, "meta"):
            raise OSError("not to be read here")
        arrays = read(checkpoints, step, item, types)
        if (step, item) == (2, "training"):
            arrays["carry.0.hidden"] = arrays["carry.0.hidden"] + 1
        return arrays

    Checkpoints._read = read_wrongly


def dawdle():
    """Read the folder of checkpoints slowly; nothing may change in it meanwhile."""
    import orbax.checkpoint as ocp

    reload = ocp.CheckpointManager.reload

    def reload_slowly(manager):
        there = sorted(Path(manager.directory).iterdir())
        time.sleep(1)
        assert sorted(Path(manager.directory).iterdir()) == there
        reload(manager)

    ocp.CheckpointManager.reload = reload_slowly


def late(parallel, *arguments):
    """The whole command; the second process takes longer over its text and its program than a group
    of devices takes to form.
    """

    def after_a_while(work):
        def work_later(*arguments):
            time.sleep(35)
            return work(*arguments)

        return work_later

    if not is_first():
        Settings.load = after_a_while(Settings.load)
        trainer._make_run_steps = after_a_while(trainer._make_run_steps)
    sys.argv[1:] = ["--parallel", parallel, *arguments]
    command_line.main(train, Settings)


def fails(*arguments):
    """The whole command; the second process meets an error in the midst of training."""
    calls, check = itertools.count(), feed.check_ids

    def check_some(*arguments):
        if next(calls) == 9:
            raise ValueError("the text is gone")
        check(*arguments)

    if not is_first():
        feed.check_ids = check_some
    sys.argv[1:] = arguments
    command_line.main(train, Settings)


def waits():
    """The second process waits for the first, which is long about something."""
    # Python loses a KeyboardInterrupt that meets a callback of its garbage collector, as it may in
    # a long import; here it shall meet the waiting.
    from orbax.checkpoint import multihost  # noqa: F401

    def run(_):
        if is_first():
            time.sleep(120)
        print("waiting", flush=True)
        wait_for_all("the first is done")

    sys.argv[1:] = []
    command_line.main(run, Settings)


if __name__ == "__main__":
    task, *arguments, coordinator, process = sys.argv[1:]
    trainer.SECONDS_PER_CALL = 1e-9  # a step a call
    connect(coordinator, 2, int(process))
    tasks = (courses, resumes, together, late, fails, waits)
    {function.__name__: function for function in tasks}[task](*arguments)
    jax.distributed.shutdown()  # together, however long each of them takes to end
