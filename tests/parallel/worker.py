"""What each of two processes does for a test: `python worker.py TASK ... COORDINATOR PROCESS`."""

import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import jax
import numpy as np
from faults import test_resume as resuming
from parallel.runs import WINDOWS, make_config, make_model, run

from jaxrnn.training import trainer
from jaxrnn.training.processes import connect, is_first


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
    trainer.SECONDS_PER_CALL = 1e-9
    for cell in cells.split():
        for after in map(int, stops):
            run_dir = Path(folder) / f"{cell}-{after}"
            resuming.stop(cell, run_dir, after)
            assert resuming.resume(run_dir) == resuming.undisturbed(cell)


if __name__ == "__main__":
    task, *arguments, coordinator, process = sys.argv[1:]
    connect(coordinator, 2, int(process))
    {"courses": courses, "resumes": resumes}[task](*arguments)
