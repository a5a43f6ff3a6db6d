"""When a run is saved, and what: its state now and then, its best parameters beside it."""

import math
import shutil
import tempfile
import time
import warnings
from types import TracebackType
from typing import Any

import jax
import jax.numpy as jnp

from experiments.run import Run
from jaxrnn.training import (
    Best,
    CheckpointError,
    Checkpoints,
    Progress,
    Record,
    Saved,
    TrainState,
)
from jaxrnn.training.checkpoint import MAX_TO_KEEP
from jaxrnn.training.config import plan_epoch
from jaxrnn.training.integrity import num_bytes
from jaxrnn.training.processes import check_shared_folder, of_first
from jaxrnn.training.record import environment


class Saver:
    """Saves one run, and restores it; a context manager."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._newest, self._best = (
            Checkpoints(run.settings.out, k) for k in ("checkpoints", "best")
        )
        self.best: Best | None = None
        self._best_params: Any = None  # not yet on disk
        self._last = time.perf_counter()
        self.seconds = 0.0
        """Time spent saving."""

    def __enter__(self) -> "Saver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None
    ) -> None:
        self._newest.__exit__()
        self._best.__exit__()

    def start(self) -> tuple[TrainState, Progress]:
        """Where training begins: at the beginning, or at the newest checkpoint that is whole.

        Raises:
            CheckpointError: there is none, it is of another run, or there is no room for more.
            ValueError: the folder holds a run, which is not to be resumed.
        """
        settings, state = self.run.settings, self.run.initial_state()
        check_shared_folder(settings.out)
        self._check_room(state)
        if not self._newest.steps():
            self._best.drop_after(-1)  # a kill within the first save may have left one
            if settings.resume:
                print(f"nothing to resume in {settings.out}: starting from the beginning")
            return state, Progress()
        if not settings.resume:
            raise ValueError(
                f"{settings.out} holds a run already: go on with --resume, or choose another --out"
            )

        def restore(saved: Saved) -> tuple[TrainState, Saved]:
            self._check_same_run(saved)
            return saved.restore(state), saved

        state, saved = self._newest.newest(restore)
        self._take_up_best(saved.record)
        done = saved.record.progress
        print(
            f"resuming {settings.out} after batch {done.batch} of {done.num_batches} in epoch"
            f" {done.epoch + 1}"
        )
        num_batches = len(plan_epoch(settings.training, len(self.run.texts.ids), done.epoch))
        if done.num_batches != num_batches:  # another text, which was accepted
            done = done._replace(batch=0, num_batches=0, nats=0.0, tokens=0)
        return state, done

    def _take_up_best(self, record: Record) -> None:
        """The best so far, if its parameters are there and the held-out text is the same."""
        self.best = record.best
        if record.text.held_out_chars != self.run.settings.held_out_chars and self.best:
            print("another held-out text: the best parameters so far no longer count")
            self.best = None
        if self.best and self.best.step not in self._best.steps():
            warnings.warn(f"the best parameters, of step {self.best.step}, are gone", stacklevel=3)
            self.best = None
        self._best.drop_after(self.best.step if self.best else -1)

    def _check_same_run(self, saved: Saved) -> None:
        settings = self.run.settings
        differences = self.run.record(Progress()).differences(saved.record)
        there, here = saved.meta["environment"], environment(settings.training)
        changed = {
            name: f"{name}: {there.get(name)} there, {value} here"
            for name, value in here.items()
            if value != there.get(name)
        }
        if "device" in changed:
            differences.append(changed.pop("device"))
        told = "; ".join(differences)
        if told and not settings.accept_changes:
            raise CheckpointError(
                f"{settings.out} is another run: {told}; --accept-changes goes on all the same"
            )
        if told:
            print(f"going on although {settings.out} is another run: {told}")
        if changed:
            print(f"the last bits may differ from those of one run: {'; '.join(changed.values())}")

    def _check_room(self, state: TrainState) -> None:
        """Raise now what would otherwise be raised after hours."""
        out = self.run.settings.out
        with tempfile.TemporaryFile(dir=out):
            pass
        # While one is written, none of the older ones is gone.
        there = len(self._newest.steps()) + len(self._best.steps())
        needed = max(1, 1 + sum(MAX_TO_KEEP.values()) - there) * num_bytes(state)
        free = shutil.disk_usage(out).free
        if free < needed:
            raise CheckpointError(
                f"{out} has {free:,} bytes free, and the checkpoints of this run need {needed:,}"
            )

    def consider(self, state: TrainState, progress: Progress, held_out: dict[str, float]) -> None:
        """Keep the parameters, if they are the best so far on the held-out text."""
        perplexity = of_first(held_out.get("held_out_perplexity", math.inf))
        least = self.best.held_out_perplexity if self.best else math.inf
        if not perplexity < least:
            return
        self.best = Best(int(state.step), progress.finished_epochs, perplexity)
        self._best_params = jax.tree.map(jnp.copy, state.params)  # the next call takes the buffers

    def is_due(self) -> bool:
        """Whether, by this process's clock, the last save is `save_every` seconds ago."""
        return time.perf_counter() - self._last >= self.run.settings.save_every

    def save(self, state: TrainState, progress: Progress) -> None:
        """Save now.

        Raises:
            SaveFailedError: that was not possible; the saves before are as they were.
        """
        began = time.perf_counter()
        record = self.run.record(progress, self.best)
        if self._best_params is not None:
            assert self.best is not None
            self._best.save_params(self._best_params, self.best.step, record)
            self._best_params = None
        self._newest.save(state, record)
        self._last = time.perf_counter()
        self.seconds += self._last - began
