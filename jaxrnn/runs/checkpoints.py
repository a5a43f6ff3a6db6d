"""Saves of a training on disk, by orbax: `RUN_DIR/checkpoints/STEP`, and `RUN_DIR/best/STEP`.

A save is one commit of two or three items: `params`, `training` (everything else of the
`TrainState`; not of the best parameters), each a flat dictionary from an array's place to the
array, and `meta`, JSON: what the arrays belong to (`Record`), what wrote them (`environment`), and
a SHA-256 of each array, since a flipped byte in array data would otherwise be restored without a
word.  Nothing is pickled.
"""

import contextlib
import functools
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import jax

from jaxrnn.runs.integrity import bytes_needed, flatten, not_finite
from jaxrnn.runs.record import Record
from jaxrnn.runs.saved import (
    CheckpointError,
    DamagedCheckpointError,
    Saved,
    SaveFailedError,
    make_meta,
    read_saved,
    short_message,
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
"""The newest of a run, with all that training needs; the parameters that did best, alone."""

MAX_TO_KEEP: dict[Kind, int] = {"checkpoints": 3, "best": 4}
"""Saves of each kind that stay on disk: the best that any checkpoint names is among them."""

Use = TypeVar("Use")


class CheckpointWarning(UserWarning):
    """A damaged checkpoint was passed over."""


class Checkpoints:
    """The checkpoints of one run, the newest or the best; a context manager that closes them."""

    def __init__(
        self,
        run_dir: Path | str,
        kind: Kind = "checkpoints",
        *,
        read_only: bool = False,
    ) -> None:
        """Open `RUN_DIR/checkpoints` or `RUN_DIR/best`; unless `read_only`, make it if need be.

        Where a run has several processes, all of them do so, and call the same methods; what is
        `read_only` one of them may open alone.

        Raises:
            CheckpointError: there is none to read.
            ValueError: orbax would read the folder's path as another one.
        """
        import orbax.checkpoint as ocp  # a second to import, so only where it is used

        self.folder = Path(run_dir).absolute() / kind
        self.kind = kind
        self.read_only = read_only
        check_name(self.folder, read_only)
        if read_only and not self.folder.is_dir():
            raise CheckpointError(f"{run_dir} holds no {kind}")
        self._ocp = ocp
        processes = self._alone() if read_only else ocp.options.MultiprocessingOptions()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=None,  # it would delete by number, whatever is in the folder of that name
            enable_async_checkpointing=False,
            cleanup_tmp_directories=not read_only,
            create=not read_only,
            multiprocessing_options=processes,
        )
        self._manager = ocp.CheckpointManager(self.folder, options=options)
        self._was_read = False

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.close()

    def steps(self) -> list[int]:
        """The training steps that there seem to be checkpoints of, the newest first.

        Unless `read_only`, all processes are told what the first one sees.
        """
        steps = steps_in(self.folder)
        return steps if self.read_only else broadcast_from_first(steps)

    def save(self, state: TrainState, record: Record) -> None:
        """Write a checkpoint, unless this very step is on disk already.

        Raises:
            SaveFailedError: it could not be written, is not found where it was written, or has
                parameters that are not finite; those before it are as they were.
        """
        items = {"params": {"params": state.params}, "training": training_arrays(state)}
        self._write(int(state.step), items, record, key=str(jax.random.key_impl(state.key)))

    def save_params(self, params: Params, step: int, record: Record) -> None:
        """Write parameters alone, of a step; errors as in `save`."""
        self._write(step, {"params": {"params": params}}, record)

    def _write(self, step: int, items: dict[str, Any], record: Record, **more: str) -> None:
        if self._holds(step):
            return
        flat = {item: flatten(arrays) for item, arrays in items.items()}
        args = {item: self._ocp.args.StandardSave(arrays) for item, arrays in flat.items()}
        needed, free = bytes_needed(flat), shutil.disk_usage(self.folder).free
        try:
            if wrong := not_finite(flat["params"]):
                raise ValueError(f"{wrong} is not finite")
            if free < needed:
                raise OSError(f"{free:,} bytes are free, and {needed:,} needed")
            args["meta"] = self._ocp.args.JsonSave(make_meta(record, flat, **more))
            # By force, as a process's own list may be older than that of the first.
            saved = self._manager.save(step, args=self._ocp.args.Composite(**args), force=True)
        except jax.errors.JaxRuntimeError:  # another process is lost
            raise
        except Exception as error:  # a full disk alone raises two unrelated types
            raise SaveFailedError(
                f"step {step} could not be saved to {self.folder}: {short_message(error)}"
            ) from error
        if not saved:
            raise SaveFailedError(f"step {step} was not saved to {self.folder}")
        self._look_at(step)
        if is_first():
            saves = [s for s in steps_in(self.folder) if is_save(self.folder / str(s))]
            for old in saves[MAX_TO_KEEP[self.kind] :]:
                with contextlib.suppress(OSError):  # then it stays for now
                    delete(self.folder / str(old))

    def _holds(self, step: int) -> bool:
        """Whether a step is on disk; a folder of that name which is no save makes room."""
        if step not in self.steps():
            return False
        try:
            self.open(step)
            damaged = False
        except CheckpointError:
            damaged = True
        (damaged,) = map(bool, max_over_processes(damaged))
        if damaged:
            self._move(step, "damaged")
        return not damaged

    def _look_at(self, step: int) -> None:
        """Raise unless a save is found where it was written; the first one is read as a whole.

        A storage library may read a path in its own way, and write somewhere else.
        """
        problem = ""
        if is_first():
            try:
                saved = self.open(step)
                saved.check_is_there(self.folder / str(step))
                if not self._was_read:
                    saved.verify()
            except CheckpointError as error:
                problem = str(error)
                if isinstance(error, DamagedCheckpointError):
                    delete(self.folder / str(step))
        if problem := broadcast_from_first(problem):
            raise SaveFailedError(f"step {step} cannot be read after it was saved: {problem}")
        self._was_read = True

    def newest(self, use: Callable[["Saved"], Use]) -> Use:
        """`use` of the newest checkpoint that is intact.

        A warning names each damaged one that is newer; unless `read_only`, it is set aside in
        `damaged/`, so that its step can be saved again.

        Raises:
            CheckpointError: there is none, or `use` raised it.
        """
        steps = self.steps()
        damaged = {}
        for step in steps:
            reason = None
            try:
                result = use(self.open(step))
            except DamagedCheckpointError as error:
                reason = str(error)
            failed = reason is not None
            # Together, or some would go on from another step.
            if failed if self.read_only else any(max_over_processes(failed)):
                damaged[step] = reason or f"step {step} in {self.folder} is damaged for others"
                continue
            for passed_over, reason in damaged.items():
                message = f"{reason}: going on from step {step}"
                warnings.warn(message, CheckpointWarning, stacklevel=2)
                if not self.read_only:
                    self._move(passed_over, "damaged")
            return result
        found = "; ".join(damaged.values()) or "there is none"
        raise CheckpointError(f"{self.folder} holds no checkpoint that is whole: {found}")

    def delete(self, step: int) -> None:
        """Delete a step, which its run is about to save anew."""
        if is_first() and is_save(self.folder / str(step)):
            delete(self.folder / str(step))
        self._reload(f"step {step} is deleted")

    def set_aside_after(self, step: int) -> None:
        """Move what is newer than a step to `set_aside/`: it is of a future that may not come."""
        for newer in self.steps():
            if newer > step and is_save(self.folder / str(newer)):
                self._move(newer, f"set_aside/{self.kind}")

    def _move(self, step: int, folder: str) -> None:
        """Out of the way, to a folder of the run's."""
        if is_first():
            move(self.folder / str(step), self.folder.parent / folder)
        self._reload(f"step {step} is in {folder}")

    def _reload(self, why: str) -> None:
        wait_for_all(why)
        self._manager.reload()

    def open(self, step: int) -> "Saved":
        """A checkpoint, its metadata read and verified.

        Raises:
            DamagedCheckpointError: the metadata is damaged.
            CheckpointError: it is of another format.
        """
        return read_saved(self.folder, step, functools.partial(self._read, step))

    def _read(self, step: int, item: str, types: Any) -> Any:
        """By this process alone: one that meets damage would leave the others waiting."""
        ocp, plain = self._ocp, types is None
        handler = ocp.JsonCheckpointHandler() if plain else ocp.StandardCheckpointHandler()
        how = ocp.args.JsonRestore() if plain else ocp.args.StandardRestore(types)
        reader = ocp.Checkpointer(handler, multiprocessing_options=self._alone())
        return reader.restore(self.folder / str(step) / item, args=how)

    def _alone(self) -> Any:
        this = jax.process_index()
        return self._ocp.options.MultiprocessingOptions(primary_host=None, active_processes={this})
