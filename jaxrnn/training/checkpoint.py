"""Saves of a training on disk, by orbax: `RUN_DIR/checkpoints/STEP`.

A save is one commit of three items: `params` and `training` (everything else of the `TrainState`),
each a flat dictionary from an array's place to the array, and `meta`, JSON: what the arrays belong
to (`Record`), the versions that wrote them, and a SHA-256 of each array, since a flipped byte in
array data would otherwise be restored without a word.  Nothing is pickled.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrnn.language_model import build
from jaxrnn.layers import Layer
from jaxrnn.text import Vocabulary
from jaxrnn.training.record import Record
from jaxrnn.training.train_step import TrainState
from jaxrnn.typing import Params

MAX_TO_KEEP = 3
"""Checkpoints of a run that stay on disk."""


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged, or of another run."""


class Checkpoints:
    """The checkpoints of one run; a context manager that closes them."""

    def __init__(self, run_dir: Path | str, *, read_only: bool = False) -> None:
        """Open `RUN_DIR/checkpoints`; unless `read_only`, make it if it is not there."""
        import orbax.checkpoint as ocp  # a second to import, so only where it is used

        self.folder = Path(run_dir).absolute() / "checkpoints"
        if read_only and not self.folder.is_dir():
            raise CheckpointError(f"{run_dir} holds no checkpoints")
        self._args = ocp.args
        options = ocp.CheckpointManagerOptions(
            max_to_keep=None if read_only else MAX_TO_KEEP,
            enable_async_checkpointing=False,
            cleanup_tmp_directories=not read_only,
            create=not read_only,
        )
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.close()

    def latest_step(self) -> int | None:
        """The training step of the newest checkpoint."""
        return self._manager.latest_step()

    def save(self, state: TrainState, record: Record) -> None:
        """Write a checkpoint, unless this very step is on disk already.

        Raises:
            CheckpointError: it could not be written.
        """
        step = int(state.step)
        if step == self.latest_step():
            return
        params, training = _flatten(state.params), _flatten(_training_arrays(state))
        meta = {
            "record": record.to_json(),
            "key": str(jax.random.key_impl(state.key)),
            "digests": _digests(params | training),
        }
        meta["digest"] = _canonical_digest(meta)
        args = self._args
        saved = self._manager.save(
            step,
            args=args.Composite(
                params=args.StandardSave(params),
                training=args.StandardSave(training),
                meta=args.JsonSave(meta),
            ),
        )
        if not saved:
            raise CheckpointError(f"step {step} was not saved to {self.folder}")

    def record(self) -> Record:
        """What the newest checkpoint belongs to."""
        return Record.from_json(self._meta()["record"])

    def restore(self, like: TrainState) -> TrainState:
        """The state of the newest checkpoint, in the form of `like`.

        Raises:
            CheckpointError: there is none, it is damaged, or of another form.
        """
        meta = self._meta()
        if meta["key"] != str(jax.random.key_impl(like.key)):
            raise CheckpointError(f"the random key must be of {meta['key']}, as the checkpoint's")
        params = self._arrays("params", like.params, meta)
        training = self._arrays("training", _training_arrays(like), meta)
        key = jax.random.wrap_key_data(training.pop("key"), impl=meta["key"])
        return TrainState(params=params, key=key, **training)

    def restore_params(self, like: Params) -> Params:
        """The parameters of the newest checkpoint alone, in the form of `like`.

        Raises:
            CheckpointError: there is none, it is damaged, or of another form.
        """
        return self._arrays("params", like, self._meta())

    def _meta(self) -> Mapping[str, Any]:
        meta = self._read("meta", self._args.JsonRestore())
        digest = meta.pop("digest", None)
        if digest != _canonical_digest(meta):
            raise CheckpointError(f"the metadata in {self.folder} is damaged")
        return dict(meta)

    def _arrays(self, item: str, like: Any, meta: Mapping[str, Any]) -> Any:
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        wanted = {
            place: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)
            for place, array in _flatten(like).items()
        }
        arrays = self._read(item, self._args.StandardRestore(wanted))
        for place, digest in _digests(arrays).items():
            if arrays[place].shape != wanted[place].shape:
                raise CheckpointError(f"{place} has shape {arrays[place].shape} in the checkpoint")
            if digest != meta["digests"].get(place):
                raise CheckpointError(f"{place} in {self.folder} is damaged: its SHA-256 differs")
        return jax.tree.unflatten(jax.tree.structure(like), [arrays[place] for place in wanted])

    def _read(self, item: str, how: Any) -> Any:
        step = self.latest_step()
        if step is None:
            raise CheckpointError(f"{self.folder} holds no checkpoint")
        try:
            return self._manager.restore(step, args=self._args.Composite(**{item: how}))[item]
        except Exception as error:  # a damaged file raises many unrelated types
            reason = str(error).split("\n")[0]
            raise CheckpointError(
                f"step {step} in {self.folder} is unreadable: {reason}"
            ) from error


class LoadedRun(NamedTuple):
    """A run read back, to generate, to score, or to train on."""

    model: Layer
    params: Params
    vocabulary: Vocabulary


def load(run_dir: Path | str) -> LoadedRun:
    """The model, parameters and vocabulary of a run's newest checkpoint.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    with Checkpoints(run_dir, read_only=True) as checkpoints:
        record = checkpoints.record()
        vocab_size = len(record.vocabulary)
        model = build(record.model, vocab_size)
        form = jax.eval_shape(lambda: model.init(jax.random.key(0), vocab_size))
        return LoadedRun(model, checkpoints.restore_params(form), record.vocabulary)


def params_digest(params: Params) -> str:
    """One SHA-256 for all parameters: equal digests mean equal bits."""
    return _canonical_digest(_digests(_flatten(params)))


def _training_arrays(state: TrainState) -> dict[str, Any]:
    """All of the state but the parameters; the key as its bits."""
    key = state.key
    if not isinstance(key, jax.ShapeDtypeStruct):
        key = jax.random.key_data(key)
    return {"opt_state": state.opt_state, "carry": state.carry, "key": key, "step": state.step}


def _flatten(tree: Any) -> dict[str, Any]:
    """A flat dictionary from each array's place in the tree to the array."""
    places, _ = jax.tree.flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): x for path, x in places}


def _digests(arrays: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of each array: where it stands, dtype, shape and bytes."""
    digests = {}
    for place, array in arrays.items():
        host = np.asarray(array)
        head = f"{place} {host.dtype} {host.shape} "
        digests[place] = hashlib.sha256(head.encode() + host.tobytes()).hexdigest()
    return digests


def _canonical_digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
