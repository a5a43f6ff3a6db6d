"""Parameters of a model in a folder, each array with a checksum."""

from pathlib import Path

import jax

from jaxrnn.layers import Layer
from jaxrnn.layers.layer import check_model
from jaxrnn.runs.array_record import ArrayRecord
from jaxrnn.runs.checkpoints import Checkpoints
from jaxrnn.runs.run_folder import RunFolder, check_no_run
from jaxrnn.training.train_step import check_params
from jaxrnn.typing import Params


def save_params(folder: Path | str, params: Params) -> None:
    """Save the parameters of a model to a new folder.

    The model is not saved: keep the line that makes it.  Equal arguments give equal models.

    Args:
        folder: where to; it must not hold a run or other parameters.
        params: a tree of arrays, all finite.

    Raises:
        TypeError: `params` is a model or a TrainState.
        RunFolderError: the folder holds a run or parameters already.
        SaveFailedError: it cannot be written, or a parameter is not finite.

    Examples:
        >>> import jax, jaxrnn, tempfile
        >>> model = jaxrnn.classifier(jaxrnn.recurrent(jaxrnn.gru(8)), num_classes=2)
        >>> params = model.init(jax.random.key(0), 3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     jaxrnn.save_params(f"{folder}/mine", params)
        ...     restored = jaxrnn.load_params(f"{folder}/mine", model, input_size=3)
        >>> bool((restored.head.kernel == params.head.kernel).all())
        True
    """
    if isinstance(params, Layer):
        raise TypeError(f"params must be the model's parameters, got the model {params}")
    check_params(params)
    check_no_run(Path(folder))
    with RunFolder(Path(folder)), Checkpoints(folder, "best") as checkpoints:
        checkpoints.save_params(params, 0, ArrayRecord())


def load_params(folder: Path | str, model: Layer, input_size: int) -> Params:
    """Load the parameters of a model from a folder, and verify their checksums.

    Args:
        folder: one that `save_params` wrote, or that of a run, whose best parameters are loaded,
            or the newest if nothing was held out.
        model: the model that they belong to.
        input_size: the size of its input vectors, D, or V for token ids.

    Raises:
        CheckpointError: there are no intact parameters, or they belong to another model.

    Examples:
        >>> import jax, jaxrnn, tempfile
        >>> model = jaxrnn.tagger(jaxrnn.recurrent(jaxrnn.lstm(8)), num_classes=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     jaxrnn.save_params(f"{folder}/mine", model.init(jax.random.key(0), 3))
        ...     params = jaxrnn.load_params(f"{folder}/mine", model, input_size=3)
        >>> params[1].kernel.shape
        (8, 2)
    """
    check_model("model", model)
    expected = jax.eval_shape(lambda: model.init(jax.random.key(0), input_size))
    has_best = (Path(folder) / "best").is_dir() and any((Path(folder) / "best").iterdir())
    with Checkpoints(folder, "best" if has_best else "checkpoints", read_only=True) as saves:
        return saves.newest(lambda saved: saved.restore_params(expected))
