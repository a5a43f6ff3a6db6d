"""Trained models, read back from the folder of a finished or running training."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar, get_args

import jax

from jaxrnn.checks import check_choice
from jaxrnn.layers import Layer
from jaxrnn.model_config import build_language_model
from jaxrnn.runs.checkpoints import Checkpoints, Kind
from jaxrnn.runs.record import Record
from jaxrnn.runs.saved_checkpoint import CheckpointError, Saved
from jaxrnn.text import Vocabulary
from jaxrnn.training.averaging import average_of
from jaxrnn.training.train_step import init_state
from jaxrnn.typing import Params

Use = Literal["checkpoints", "best", "average"]
"""The newest parameters, those that did best on the validation text, or the newest average."""

Result = TypeVar("Result")


class LoadedRun(NamedTuple):
    """A trained model, ready to generate, to score, or to be trained further."""

    model: Layer
    """The language model."""
    params: Params
    """Its trained parameters."""
    vocabulary: Vocabulary
    """The tokens that it reads and predicts."""


def load_run(run_dir: Path | str, use: Use | None = None) -> LoadedRun:
    """Load the model, parameters and vocabulary of a run.

    With several processes, any one of them may call this alone.

    Args:
        run_dir: the folder of the run, such as the --out of `jaxrnn train`.
        use: "checkpoints" for the newest parameters, "best" for those that did best on the
            validation text, "average" for the newest average.  None means the average if the run
            keeps one, for it is what the run's reports are about, and else the newest parameters.

    Raises:
        CheckpointError: no checkpoint is intact, or the run has no best parameters or average.
        ValueError: no parameters have that name.

    Examples:
        >>> import jaxrnn, pathlib, tempfile
        >>> from jaxrnn.runs.run import Run
        >>> from jaxrnn.runs.saver import Saver
        >>> from jaxrnn.runs.settings import Settings
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     settings = Settings(corpus="songs", out=pathlib.Path(folder))
        ...     with Saver(Run(settings)) as saver:  # `jaxrnn train` begins like this
        ...         _ = saver.start()
        ...     model, params, vocabulary = jaxrnn.load_run(folder)
        >>> len(vocabulary)
        1447
    """
    return with_saved(run_dir, use, lambda saved, run: run)


def newest_record(run_dir: Path | str) -> Record:
    """Return the record of the newest intact checkpoint; errors as in `load_run`."""
    with Checkpoints(run_dir, read_only=True) as checkpoints:
        return checkpoints.newest(lambda saved: saved.text_record())


def with_saved(
    run_dir: Path | str, use: Use | None, then: Callable[[Saved, LoadedRun], Result]
) -> Result:
    """Return `then` of the newest intact checkpoint, and of the run with the parameters to use."""
    if use is not None:
        check_choice("use", use, get_args(Use))
    kind: Kind = "best" if use == "best" else "checkpoints"

    def load(saved: Saved) -> Result:
        record = saved.text_record()
        keeps = use is None and record.training.average is not None
        restore = _average if keeps or use == "average" else _params
        model = build_language_model(record.model, len(record.vocabulary))
        run = LoadedRun(model, restore(saved, record, model), record.vocabulary)
        return then(saved, run)

    with Checkpoints(run_dir, kind, read_only=True) as checkpoints:
        if kind == "best" and not checkpoints.steps():
            raise CheckpointError(
                f"{run_dir} has no best parameters, for lack of a validation text: use the newest"
                " ones, or train with --validation-chars"
            )
        return checkpoints.newest(load)


def _params(saved: Saved, record: Record, model: Layer) -> Params:
    vocab_size = len(record.vocabulary)
    form = jax.eval_shape(lambda: model.init(jax.random.key(0), vocab_size))
    return saved.restore_params(form)


def _average(saved: Saved, record: Record, model: Layer) -> Params:
    training, vocab_size = record.training, len(record.vocabulary)
    if training.average is None:
        raise CheckpointError(f"{saved.name} holds no average: train with --average to keep one")
    optimizer = training.make_optimizer(record.text.max_chars)
    key = jax.random.key(training.seed)
    like = init_state(model, optimizer, vocab_size, training.batch_size, key)
    return average_of(saved.restore(like).opt_state)
