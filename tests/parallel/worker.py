"""What each of two processes does for a test: `python worker.py TASK ... COORDINATOR PROCESS`."""

import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import jax
import numpy as np
import pytest
from faults import test_resume as resuming
from parallel.runs import WINDOWS, make_config, make_model, run

from jaxrnn.training import Checkpoints, trainer
from jaxrnn.training.checkpoint import CheckpointWarning
from jaxrnn.training.processes import check_shared_folder, connect, is_first
from jaxrnn.training.saved import DamagedCheckpointError


def courses(folder, cells):
    """Every course of `test_processes`, written by the first process."""
    for cell, windows, parallel in itertools.product(cells.split(), WINDOWS, ("jit", "pmap")):
        config = make_config(windows, parallel=parallel)
        losses, params, state = run(make_model(cell), config)
        rows = {shard.data.shape[0] for x in jax.tree.leaves(state.carry)
                for shard in x.addressable_shards}  # fmt: skip
        assert rows == {config.batch_size // 4}
        if is_first():
            path = Path(folder) / f"{cell} {windows} {parallel}.npz"
            np.savez(path, losses, *jax.tree.leaves(params))


def resumes(folder, cells, *stops):
    """`faults.test_resume`, each stop of each cell."""
    for cell in cells.split():
        for after in map(int, stops):
            run_dir = Path(folder) / f"{cell}-{after}"
            resuming.stop(cell, run_dir, after)
            assert resuming.resume(run_dir) == resuming.undisturbed(cell)


def together(folder):
    """What one process alone sees, all act on."""
    alone, run_dir = Path(folder) / str(jax.process_index()), Path(folder) / "run"
    alone.mkdir()
    with pytest.raises(ValueError, match="must be a folder that all processes share"):
        check_shared_folder(alone)
    for after in (1, 2):
        resuming.stop("rnn", run_dir, after)

    def restore(saved):
        state = saved.restore(resuming.make_state(saved.record)[1])
        if saved.step == 2 and not is_first():
            raise DamagedCheckpointError("as this process has it, step 2 is damaged")
        return int(state.step)

    with Checkpoints(run_dir) as checkpoints:
        with pytest.warns(CheckpointWarning, match="going on from step 1"):
            assert checkpoints.newest(restore) == 1
        assert checkpoints.steps() == [1]


if __name__ == "__main__":
    task, *arguments, coordinator, process = sys.argv[1:]
    trainer.SECONDS_PER_CALL = 1e-9  # a step a call
    connect(coordinator, 2, int(process))
    {"courses": courses, "resumes": resumes, "together": together}[task](*arguments)
