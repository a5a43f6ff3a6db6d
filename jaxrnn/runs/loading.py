"""Reading a finished or running training back, to use what it has learnt."""

from pathlib import Path
from typing import NamedTuple

import jax

from jaxrnn.layers import Layer
from jaxrnn.model_config import build_language_model
from jaxrnn.runs.checkpoints import Checkpoints, Kind
from jaxrnn.runs.saved import Saved
from jaxrnn.text import Vocabulary
from jaxrnn.typing import Params


class LoadedRun(NamedTuple):
    """A run read back, to generate, to score, or to train on."""

    model: Layer
    params: Params
    vocabulary: Vocabulary


def load_run(run_dir: Path | str, kind: Kind = "checkpoints") -> LoadedRun:
    """The model, parameters and vocabulary of a run's newest checkpoint, or of its best.

    Of several processes, any may call it alone.

    Raises:
        CheckpointError: there is none that is whole.
    """

    def use(saved: Saved) -> LoadedRun:
        record = saved.record
        vocab_size = len(record.vocabulary)
        model = build_language_model(record.model, vocab_size)
        form = jax.eval_shape(lambda: model.init(jax.random.key(0), vocab_size))
        return LoadedRun(model, saved.restore_params(form), record.vocabulary)

    with Checkpoints(run_dir, kind, read_only=True) as checkpoints:
        return checkpoints.newest(use)
