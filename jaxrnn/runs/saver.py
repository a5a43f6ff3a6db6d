"""When and what a run saves: its state every few seconds, and its best parameters."""

import contextlib
import dataclasses
import math
import shutil
import tempfile
import time
import warnings
from types import TracebackType
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.runs.checkpoints import MAX_TO_KEEP, Checkpoints
from jaxrnn.runs.digests import bytes_needed
from jaxrnn.runs.metrics import read_metrics
from jaxrnn.runs.record import Best, Record, environment
from jaxrnn.runs.run import Run
from jaxrnn.runs.run_folder import RunFolder, check_shared_folder
from jaxrnn.runs.saved_checkpoint import CheckpointError, Saved
from jaxrnn.text.sources import is_cleaned_like
from jaxrnn.training import Progress, TrainState
from jaxrnn.training.parallel import make_placement
from jaxrnn.training.processes import broadcast_from_first, max_over_processes


class Saver:
    """Saves one run, and restores it; a context manager."""

    def __init__(self, run: Run) -> None:
        self.run = run
        out = run.settings.out
        with contextlib.ExitStack() as stack:
            self._folder = stack.enter_context(RunFolder(out))
            self._newest = stack.enter_context(Checkpoints(out, "checkpoints"))
            self._best = stack.enter_context(Checkpoints(out, "best"))
            self._open = stack.pop_all()
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
        self._open.close()

    def start(self) -> tuple[TrainState, Progress]:
        """Return where training starts: at the beginning, or at the newest intact checkpoint.

        A new run is saved before its first step, which shows that saving works.

        Raises:
            CheckpointError: no checkpoint is intact, it belongs to a different run, or the disk has
                no room for more.
            ValueError: the folder holds a run and `resume` is False, or it holds a run's remains.
        """
        settings, state = self.run.settings, self.run.initial_state()
        check_shared_folder(settings.out)
        self._check_room(state)
        steps = self._newest.steps()
        if not steps or (steps == [0] and not settings.resume):
            self._begin(state, steps)
            return state, Progress()
        if not settings.resume:
            raise ValueError(
                f"{settings.out} already holds a run: add --resume to continue, or choose another"
                " --out"
            )

        def restore(saved: Saved) -> tuple[TrainState, Saved]:
            self._check_same_run(saved)
            return saved.restore(state), saved

        state, saved = self._newest.newest(restore)
        record = saved.text_record()
        self._restore_best(record)
        done = record.progress
        place = f"after batch {done.batch} of {done.num_batches} in epoch {done.epoch + 1}"
        print(f"resuming {settings.out} {place if done.num_batches else 'from the beginning'}")
        num_batches = len(settings.training.plans(len(self.run.texts.ids)).plan(done.epoch))
        if done.num_batches != num_batches:  # another text, by --accept-changes
            epoch = done.finished_epochs  # one that is not finished begins anew
            done = done._replace(epoch=epoch, batch=0, num_batches=0, nats=0.0, tokens=0)
        return state, done

    def _begin(self, state: TrainState, steps: list[int]) -> None:
        """Save the state before the first step; replaces a step 0 that no step has followed."""
        settings, left = self.run.settings, []
        if not steps:
            left = [f"best/{step}" for step in self._best.steps()]
            if read_metrics(settings.out):
                left.append("metrics.jsonl")
        if left:
            raise ValueError(
                f"{settings.out} holds {', '.join(left)} of a run whose checkpoints are gone: move"
                " them, or choose another --out"
            )
        if settings.resume:
            print(f"nothing to resume in {settings.out}: starting from the beginning")
        for step in steps:
            self._newest.delete(step)
        self._best.set_aside_after(-1)  # a run killed in its first save may have left one
        self.save(make_placement(settings.training).put_state(state), Progress())

    def _restore_best(self, record: Record) -> None:
        """Restore the best so far, if its parameters exist and the validation text is the same."""
        self.best, there = record.best, record.text
        here = self.run.record(Progress()).text
        here = dataclasses.replace(here, held_out_chars=there.held_out_chars)
        if is_cleaned_like(here.corpus, there.corpus):
            here = dataclasses.replace(here, corpus=there.corpus)
        if here != there and self.best:
            print("the validation text has changed: the best parameters so far no longer count")
            self.best = None
        if self.best and self.best.step not in self._best.steps():
            gone, self.best = self.best.step, self._best_before(self.best.step)
            instead = f": those of step {self.best.step} take their place" if self.best else ""
            warnings.warn(f"the best parameters, of step {gone}, are gone{instead}", stacklevel=3)
        self._best.set_aside_after(self.best.step if self.best else -1)

    def _best_before(self, step: int) -> Best | None:
        """Return the newest best older than a step that all processes can read."""
        for older in self._best.steps():
            best = None
            if older < step:
                with contextlib.suppress(CheckpointError):
                    best = self._best.open(older).text_record().best
            if not any(max_over_processes(best is None)):
                return best
        return None

    def _check_same_run(self, saved: Saved) -> None:
        settings = self.run.settings
        differences = self.run.record(Progress()).differences(saved.text_record())
        there, here = saved.meta["environment"], environment(settings.model, settings.training)
        changed = {
            name: f"{name}: {there.get(name, '')} in the checkpoint, {value} here"
            for name, value in here.items()
            if value != there.get(name, "")
        }
        if "device" in changed:
            differences.append(changed.pop("device"))
        differing = "; ".join(differences)
        if differing and not settings.accept_changes:
            raise CheckpointError(
                f"{settings.out} holds a different run: {differing}; --resume belongs to the whole"
                " command that began the run, and --accept-changes continues anyway"
            )
        if differing:
            print(f"continuing although {settings.out} holds a different run: {differing}")
        if changed:
            print(f"the last bits may differ from an unbroken run: {'; '.join(changed.values())}")

    def _check_room(self, state: TrainState) -> None:
        """Raise now if the folder is read-only, or the disk would be full hours later."""
        out = self.run.settings.out
        with tempfile.TemporaryFile(dir=out):
            pass
        # None of the older ones is deleted before a new one is written.
        existing = len(self._newest.steps()) + len(self._best.steps())
        needed = max(1, 1 + sum(MAX_TO_KEEP.values()) - existing) * bytes_needed(state)
        free = shutil.disk_usage(out).free
        if free < needed:
            raise CheckpointError(
                f"{out} has {free:,} bytes free, but the checkpoints of this run need {needed:,}"
            )

    def keep_if_best(
        self, state: TrainState, progress: Progress, validation_perplexity: float | None
    ) -> None:
        """Keep the parameters if they are the best so far on the validation text."""
        none = validation_perplexity is None
        perplexity = broadcast_from_first(math.inf if none else validation_perplexity)
        least = self.best.validation_perplexity if self.best else math.inf
        if not perplexity < least:
            return
        self.best = Best(int(state.step), progress.finished_epochs, perplexity)
        params = self.run.params(state)
        self._best_params = jax.tree.map(jnp.copy, params)  # training reuses the buffers

    def is_due(self) -> bool:
        """Return whether this process last saved `save_every` seconds ago or earlier.

        Call it every few seconds, as it also shows other machines that this run is alive.
        """
        self._folder.give_sign()
        return time.perf_counter() - self._last >= self.run.settings.save_every

    def save(self, state: TrainState, progress: Progress) -> None:
        """Save the state now, and the best parameters if they are new.

        Raises:
            SaveFailedError: saving failed; earlier checkpoints are unchanged.
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
