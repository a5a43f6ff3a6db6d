"""Checkpoints on disk, by orbax: `RUN_DIR/checkpoints/STEP`, and `RUN_DIR/best/STEP`.

A checkpoint is one commit of two or three items.  `params` and `training` (the rest of the
`TrainState`; not for the best parameters) are flat dictionaries from an array's place to the array.
`meta` is JSON: what the arrays belong to (`Record`), what wrote them (`environment`), and a SHA-256
of each, because orbax would restore a flipped byte silently.  Nothing is pickled.
"""

import contextlib
import functools
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import jax

from jaxrnn.runs import orbax_storage
from jaxrnn.runs.array_record import AnyRecord
from jaxrnn.runs.digests import bytes_needed, flatten, not_finite
from jaxrnn.runs.files import short_message
from jaxrnn.runs.saved_checkpoint import (
    CheckpointError,
    DamagedCheckpointError,
    Saved,
    SaveFailedError,
    make_meta,
    read_saved,
    training_arrays,
)
from jaxrnn.runs.step_folders import check_name, delete, is_save, move, steps_in
from jaxrnn.training.processes import (
    broadcast_from_first,
    is_first,
    max_over_processes,
    wait_for_all,
)
from jaxrnn.training.train_step import TrainState
from jaxrnn.typing import Params

Kind = Literal["checkpoints", "best"]
"""The newest checkpoints, with all that resuming needs, or the best parameters alone."""

MAX_TO_KEEP: dict[Kind, int] = {"checkpoints": 3, "best": 4}
"""Checkpoints kept on disk; a best step that one of them names is always among them."""

Result = TypeVar("Result")


class CheckpointWarning(UserWarning):
    """A damaged checkpoint was skipped."""


class Checkpoints:
    """The checkpoints of one run, the newest or the best; a context manager that closes them.

    Examples:
        >>> import jaxrnn.runs, tempfile
        >>> with tempfile.TemporaryDirectory() as out, jaxrnn.runs.Checkpoints(out) as checkpoints:
        ...     checkpoints.steps()  # none yet
        []
    """

    def __init__(
        self, run_dir: Path | str, kind: Kind = "checkpoints", *, read_only: bool = False
    ) -> None:
        """Open `RUN_DIR/checkpoints` or `RUN_DIR/best`, created if need be unless `read_only`.

        All processes of a run must do so and call the same methods, unless `read_only`.

        Raises:
            CheckpointError: there is no such folder to read.
            ValueError: orbax would take the folder's path for another one.
        """
        self.folder = Path(run_dir).absolute() / kind
        self.kind = kind
        self.read_only = read_only
        check_name(self.folder, read_only)
        if read_only and not self.folder.is_dir():
            raise CheckpointError(f"{run_dir} holds no {kind}")
        # A manager looks at all steps, which the run may be deleting while another process reads.
        self._manager = None if read_only else orbax_storage.make_manager(self.folder)
        self._was_read = False

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        if self._manager is not None:
            self._manager.close()

    def steps(self) -> list[int]:
        """List the saved steps, newest first; unless `read_only`, as seen by the first process."""
        steps = steps_in(self.folder)
        return steps if self.read_only else broadcast_from_first(steps)

    def save(self, state: TrainState, record: AnyRecord) -> None:
        """Write a checkpoint, unless this very step is on disk already.

        Raises:
            SaveFailedError: it could not be written, is not found where it was written, or has
                parameters that are not finite; earlier checkpoints are unchanged.
        """
        items = {"params": {"params": state.params}, "training": training_arrays(state)}
        self._write(int(state.step), items, record, key=str(jax.random.key_impl(state.key)))

    def save_params(self, params: Params, step: int, record: AnyRecord) -> None:
        """Write only the parameters of a step; errors as in `save`."""
        self._write(step, {"params": {"params": params}}, record)

    def _writer(self) -> Any:
        """Return the manager, or raise a ValueError where there is none."""
        if self._manager is None:
            raise ValueError(f"{self.folder} was opened with read_only=True")
        return self._manager

    def _write(self, step: int, items: dict[str, Any], record: AnyRecord, **more: str) -> None:
        manager = self._writer()
        if self._holds(step):
            return
        flat = {item: flatten(arrays) for item, arrays in items.items()}
        needed, free = bytes_needed(flat), shutil.disk_usage(self.folder).free
        try:
            if wrong := not_finite(flat["params"]):
                raise ValueError(f"{wrong} is not finite")
            if free < needed:
                raise OSError(f"{free:,} bytes are free, but {needed:,} are needed")
            saved = orbax_storage.write(manager, step, flat, make_meta(record, flat, **more))
        except jax.errors.JaxRuntimeError:  # another process has died
            raise
        except Exception as error:  # even a full disk raises two unrelated types
            raise SaveFailedError(
                f"step {step} could not be saved to {self.folder}: {short_message(error)}"
            ) from error
        if not saved:
            raise SaveFailedError(f"step {step} was not saved to {self.folder}")
        self._check_written(step)
        if is_first():
            saves = [s for s in steps_in(self.folder) if is_save(self.folder / str(s))]
            for old in saves[MAX_TO_KEEP[self.kind] :]:
                with contextlib.suppress(OSError):  # then the next save deletes it
                    delete(self.folder / str(old))

    def _holds(self, step: int) -> bool:
        """Return whether a step is on disk and intact; a damaged one is moved away."""
        if step not in self.steps():
            return False
        try:
            self.open(step)
            damaged = False
        except CheckpointError:
            damaged = True
        (damaged,) = map(bool, max_over_processes(damaged))
        if damaged:
            self._move_damaged(step)
        return not damaged

    def _check_written(self, step: int) -> None:
        """Raise unless a save is where it should be: orbax may read the path in its own way."""
        problem = ""
        if is_first():
            try:
                saved = self.open(step)
                saved.check_is_there(self.folder / str(step))
                if not self._was_read:  # the first one is read completely
                    saved.verify()
            except CheckpointError as error:
                problem = str(error)
                if isinstance(error, DamagedCheckpointError):
                    delete(self.folder / str(step))
        if problem := broadcast_from_first(problem):
            raise SaveFailedError(f"step {step} cannot be read after it was saved: {problem}")
        self._was_read = True

    def newest(self, use: Callable[["Saved"], Result]) -> Result:
        """Return `use` of the newest intact checkpoint.

        A warning names each damaged one that was skipped; unless `read_only`, it is moved to
        `damaged/`, so its step can be saved again.

        Raises:
            CheckpointError: no checkpoint is intact, or `use` raised it.
        """
        damaged = {}
        for step in self.steps():
            reason = None
            try:
                result = use(self.open(step))
            except DamagedCheckpointError as error:
                reason = str(error)
            failed = reason is not None
            # Decided together, or processes would continue from different steps.
            if failed if self.read_only else any(max_over_processes(failed)):
                damaged[step] = reason or f"some process cannot read step {step} in {self.folder}"
                continue
            for skipped, reason in damaged.items():
                message = f"{reason}: continuing from step {step}"
                warnings.warn(message, CheckpointWarning, stacklevel=2)
                if not self.read_only:
                    self._move_damaged(skipped)
            return result
        if self.read_only and damaged and not damaged.keys() & {*self.steps()}:
            return self.newest(use)  # the run has gone on meanwhile
        found = "; ".join(damaged.values()) or "there is none"
        raise CheckpointError(f"{self.folder} holds no intact checkpoint: {found}")

    def delete(self, step: int) -> None:
        """Delete a step that its run is about to save again."""
        with self._changing(f"step {step} is deleted"):
            if is_first() and is_save(self.folder / str(step)):
                delete(self.folder / str(step))

    def set_aside_after(self, step: int) -> None:
        """Move steps newer than this one to `set_aside/`; the run may now take another path."""
        aside = self.folder.parent / "set_aside" / self.kind
        for newer in (newer for newer in self.steps() if newer > step):
            with self._changing(f"step {newer} is set aside"):
                if is_first() and is_save(self.folder / str(newer)):
                    move(self.folder / str(newer), aside)

    def _move_damaged(self, step: int) -> None:
        with self._changing(f"step {step} is in damaged/"):
            if is_first():
                move(self.folder / str(step), self.folder.parent / "damaged")

    @contextlib.contextmanager
    def _changing(self, done: str) -> Iterator[None]:
        """Let the first process change the folder while no other reads it."""
        manager = self._writer()
        wait_for_all(f"before {done}")
        yield
        wait_for_all(done)
        manager.reload()

    def open(self, step: int) -> "Saved":
        """Return a checkpoint, its metadata read and verified.

        Raises:
            CheckpointError: it is damaged (`DamagedCheckpointError`) or of unknown format.
        """
        return read_saved(self.folder, step, functools.partial(self._read, step))

    def _read(self, step: int, item: str, types: Any) -> Any:
        return orbax_storage.read(self.folder / str(step) / item, types)
