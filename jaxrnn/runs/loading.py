"""Trained models, read back from the folder of a finished or running training."""

from pathlib import Path
from typing import NamedTuple

import jax

from jaxrnn.layers import Layer
from jaxrnn.model_config import build_language_model
from jaxrnn.runs.checkpoints import Checkpoints, Kind
from jaxrnn.runs.saved_checkpoint import Saved
from jaxrnn.text import Vocabulary
from jaxrnn.typing import Params


class LoadedRun(NamedTuple):
    """A trained model, ready to generate, to score, or to be trained further."""

    model: Layer
    """The language model."""
    params: Params
    """Its trained parameters."""
    vocabulary: Vocabulary
    """The tokens that it reads and predicts."""


def load_run(run_dir: Path | str, kind: Kind = "checkpoints") -> LoadedRun:
    """Load the model, parameters and vocabulary of a run.

    With several processes, any one of them may call this alone.

    Args:
        run_dir: the folder of the run, such as the --out of `jaxrnn train`.
        kind: "checkpoints" for the newest parameters, "best" for those that did best on the
            held-out text.

    Raises:
        CheckpointError: no checkpoint is intact.

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
    with Checkpoints(run_dir, kind, read_only=True) as checkpoints:
        return checkpoints.newest(restored)


def restored(saved: Saved) -> LoadedRun:
    """Return the model, parameters and vocabulary of one checkpoint."""
    record = saved.text_record()
    vocab_size = len(record.vocabulary)
    model = build_language_model(record.model, vocab_size)
    form = jax.eval_shape(lambda: model.init(jax.random.key(0), vocab_size))
    return LoadedRun(model, saved.restore_params(form), record.vocabulary)
