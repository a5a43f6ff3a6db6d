"""`jaxrnn.fit` in a folder: checkpoints after each epoch, and a resume that gives the same bits."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import optax

from jaxrnn.fitting.epochs import run_epochs
from jaxrnn.fitting.history import History
from jaxrnn.fitting.report import reported
from jaxrnn.fitting.setup import Fitting
from jaxrnn.layers import Layer
from jaxrnn.runs.array_record import ArrayRecord
from jaxrnn.runs.checkpoints import Checkpoints
from jaxrnn.runs.files import plain, replace_text
from jaxrnn.runs.run_folder import RunFolder
from jaxrnn.runs.saved_checkpoint import CheckpointError, Saved
from jaxrnn.training.train_step import TrainState
from jaxrnn.typing import Key, Params


def fit(
    model: Layer,
    optimizer: optax.GradientTransformation,
    inputs: Any,
    targets: Any,
    *,
    run_dir: Path | str,
    resume: bool = False,
    params: Params | None = None,
    progress: bool = True,
    key: Key,
    **options: Any,
) -> tuple[TrainState, History]:
    """Train as `jaxrnn.fit` does, and save every epoch to a folder.

    A run that was stopped, even by `kill -9`, continues after its last whole epoch with
    `resume=True` and the same arguments, and ends with the bits of a run that was not stopped.  The
    folder holds `checkpoints` (the three newest), `best` (the best parameters on validation data)
    and `metrics.jsonl`, a line per epoch.  `jaxrnn verify RUN_DIR` checks them, and
    `jaxrnn.load_params` reads the parameters.

    Args:
        model, optimizer, inputs, targets, params, progress, key: as for `jaxrnn.fit`.
        run_dir: the folder, which is made if need be.
        resume: continue the run in the folder if there is one.  More epochs may be asked for.
        **options: all other arguments of `jaxrnn.fit`, by name.

    Returns:
        (state, history), as `jaxrnn.fit` does.

    Raises:
        CheckpointError: the folder holds a different run, or no intact checkpoint.
        RunFolderError: another process trains there, or it holds files that no run wrote.
        TypeError, ValueError: an argument is wrong, or the folder holds a run and `resume` is
            False.

    Examples:
        >>> import jax, jaxrnn, jaxrnn.runs, numpy as np, optax, tempfile
        >>> model = jaxrnn.classifier(jaxrnn.recurrent(jaxrnn.gru(8)), num_classes=2)
        >>> data = np.ones((5, 8, 3)), [0, 1] * 4
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     options = {"run_dir": folder, "progress": False, "key": jax.random.key(0)}
        ...     _ = jaxrnn.runs.fit(model, optax.adam(0.01), *data, epochs=1, **options)
        ...     state, history = jaxrnn.runs.fit(
        ...         model, optax.adam(0.01), *data, epochs=3, resume=True, **options
        ...     )
        >>> history.column("epoch")
        [1, 2, 3]
    """
    fitting = Fitting.of(model, optimizer, inputs, targets, key=key, **options)
    folder = Path(run_dir)
    with ExitStack() as stack:
        stack.enter_context(_says_how_to_go_on(folder))
        stack.enter_context(RunFolder(folder))
        newest = stack.enter_context(Checkpoints(folder))
        best = stack.enter_context(Checkpoints(folder, "best"))
        first = fitting.init_state(params)
        saves = _Saves(newest, best, ArrayRecord.of(fitting, first))
        state, history = saves.start(first, resume)
        reached = fitting.put_state(state), history
        show = stack.enter_context(reported(fitting.epochs, len(history.rows), enabled=progress))
        if history.rows:  # the run may have been killed before it wrote the last one
            _write_metrics(folder, history)
        for reached in run_epochs(fitting, *reached):  # noqa: B020, read before the first epoch
            saves.save(*reached)
            _write_metrics(folder, reached[1])
            show(reached[1].rows[-1])
        return saves.with_best(*reached)


def _write_metrics(folder: Path, history: History) -> None:
    replace_text(folder / "metrics.jsonl", "".join(map(_line, history.rows)))


@contextmanager
def _says_how_to_go_on(folder: Path) -> Iterator[None]:
    """Add to a KeyboardInterrupt that the folder is intact."""
    try:
        yield
    except KeyboardInterrupt as error:
        error.add_note(f"stopped; {folder} is intact: continue with resume=True")
        raise


class _Saves(NamedTuple):
    """The checkpoints of a fit."""

    newest: Checkpoints
    best: Checkpoints
    record: ArrayRecord
    """The record before the first epoch."""

    def start(self, state: TrainState, resume: bool) -> tuple[TrainState, History]:
        """Return where to start: at the beginning, or after the newest intact checkpoint."""
        folder = self.newest.folder.parent
        if not self.newest.steps():
            left = [f"best/{step}" for step in self.best.steps() if not self._is_first(step)]
            if (folder / "metrics.jsonl").exists():
                left.append("metrics.jsonl")
            if left:
                raise ValueError(
                    f"{folder} holds {', '.join(left)}, but no checkpoints of a run: move them, or"
                    " choose another run_dir"
                )
            self.best.set_aside_after(-1)  # killed within its first epoch
            return state, History()
        if not resume:
            raise ValueError(
                f"{folder} already holds a run: continue it with resume=True, or choose another"
                " run_dir"
            )

        def restore(saved: Saved) -> tuple[TrainState, History]:
            if not isinstance(saved.record, ArrayRecord):
                raise CheckpointError(f"{folder} holds a run of `jaxrnn train`")
            if differences := self.record.differences(saved.record):
                raise CheckpointError(f"{folder} holds a different run: {'; '.join(differences)}")
            return saved.restore(state), saved.record.history

        restored, history = self.newest.newest(restore)
        self.best.set_aside_after(int(restored.step))
        return restored, history

    def _is_first(self, step: int) -> bool:
        """Return whether the best parameters on disk are those of a first epoch, or damaged."""
        try:
            record = self.best.open(step).record
        except CheckpointError:
            return True
        return isinstance(record, ArrayRecord) and len(record.history.rows) == 1

    def save(self, state: TrainState, history: History) -> None:
        """Save an epoch: first what is best, which the newest checkpoint then counts on."""
        record = replace(self.record, history=history)
        if history.best_epoch == len(history.rows):
            self.best.save_params(state.params, int(state.step), record)
        self.newest.save(state, record)

    def with_best(self, state: TrainState, history: History) -> tuple[TrainState, History]:
        """Return the state with the best parameters, if there are validation data."""
        if history.best_epoch is None:
            return state, history
        best = self.best.newest(lambda saved: saved.restore_params(state.params))
        return state.replace(params=best), history


def _line(row: dict[str, Any]) -> str:
    return json.dumps(plain(row)) + "\n"
