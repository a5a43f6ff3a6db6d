"""Read every checkpoint of a run, and say which are what was saved.

    python -m experiments.verify runs/jaychou

Each line names a checkpoint, where in the training it is, and whether all its bytes are those that
were written.  The exit code is 1 if one is damaged.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args

import tyro

from experiments import command
from jaxrnn.training import CheckpointError, Checkpoints, Kind, Saved, perplexity


@dataclass(frozen=True)
class Settings:
    """What is verified."""

    run_dir: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""


def verify(settings: Settings) -> int:
    """Print a line for each checkpoint; returns the exit code."""
    damaged = found = 0
    for kind in get_args(Kind):
        if kind == "best" and not (settings.run_dir / kind).is_dir():
            continue
        with Checkpoints(settings.run_dir, kind, read_only=True) as checkpoints:
            for step in checkpoints.steps():
                found += 1
                try:
                    saved = checkpoints.open(step)
                    saved.verify()
                except CheckpointError as error:
                    damaged += 1
                    print(f"{kind}/{step}: {error}")
                else:
                    print(f"{kind}/{step}: whole; {_told(kind, saved)}")
    if not found:
        raise CheckpointError(f"{settings.run_dir} holds no checkpoint")
    return 1 if damaged else 0


def _told(kind: str, saved: Saved) -> str:
    best, progress = saved.record.best, saved.record.progress
    if kind == "best" and best is not None:
        return f"after epoch {best.epoch}, held-out perplexity {best.held_out_perplexity:.3f}"
    return (
        f"after batch {progress.batch} of {progress.num_batches} in epoch {progress.epoch + 1},"
        f" perplexity {perplexity(progress.nats_per_token):.3f}"
    )


if __name__ == "__main__":
    command.main(verify, Settings, description=__doc__)
