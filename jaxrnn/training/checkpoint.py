"""Saves of a training on disk, by orbax: `RUN_DIR/checkpoints/STEP`.

A save is one commit of three items: `params` and `training` (everything else of the `TrainState`),
each a flat dictionary from an array's place to the array, and `meta`, JSON: what the arrays belong
to (`Record`), what wrote them (`environment`), and a SHA-256 of each array, since a flipped byte in
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
from jaxrnn.training.record import Record, environment
from jaxrnn.training.train_step import TrainState
from jaxrnn.typing import Params

FORMAT = 1
"""Number of the layout on disk, in every checkpoint."""

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
        params = _flatten({"params": state.params})  # so that no other array has the same place
        training = _flatten(_training_arrays(state))
        meta = {
            "format": FORMAT,
            "record": record.to_json(),
            "environment": environment(),
            "key": str(jax.random.key_impl(state.key)),
            "arrays": _descriptions(params | training),
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

    def newest(self) -> "Saved":
        """The newest checkpoint, its metadata read and verified.

        Raises:
            CheckpointError: there is none, or it is damaged.
        """
        step = self.latest_step()
        if step is None:
            raise CheckpointError(f"{self.folder} holds no checkpoint")
        meta = self.read(step, "meta", self._args.JsonRestore())
        digest = meta.pop("digest", None)
        if digest != _canonical_digest(meta):
            raise CheckpointError(f"the metadata of step {step} in {self.folder} is damaged")
        if meta["format"] != FORMAT:
            raise CheckpointError(
                f"step {step} in {self.folder} is of format {meta['format']}, this jaxrnn reads"
                f" {FORMAT}"
            )
        return Saved(self, step, meta, Record.from_json(meta["record"]))

    def read(self, step: int, item: str, how: Any) -> Any:
        """One item of a checkpoint, as orbax restores it.

        Raises:
            CheckpointError: it is unreadable.
        """
        try:
            return self._manager.restore(step, args=self._args.Composite(**{item: how}))[item]
        except Exception as error:  # a damaged file raises many unrelated types
            reason = str(error).split("\n")[0]
            raise CheckpointError(
                f"step {step} in {self.folder} is unreadable: {reason}"
            ) from error

    def read_arrays(self, step: int, item: str, described: dict[str, Any], like: Any) -> Any:
        """The arrays of an item in the form of `like`, each checked against its description.

        Raises:
            CheckpointError: they are unreadable, damaged, or of another form.
        """
        sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        wanted = {
            place: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=sharding)
            for place, array in _flatten(like).items()
        }
        for place, array in wanted.items():
            here, there = _type_of(array), described.get(place, {}).get("type", "missing")
            if here != there:
                raise CheckpointError(f"{place} is {there} in step {step}, and {here} here")
        arrays = self.read(step, item, self._args.StandardRestore(wanted))
        for place, description in _descriptions(arrays).items():
            if description != described[place]:
                raise CheckpointError(f"{place} in step {step} of {self.folder} is damaged")
        return jax.tree.unflatten(jax.tree.structure(like), [arrays[place] for place in wanted])


class Saved(NamedTuple):
    """One checkpoint, its metadata read."""

    checkpoints: Checkpoints
    step: int
    """Training steps before it."""
    meta: dict[str, Any]
    record: Record
    """What its arrays belong to."""

    def restore(self, like: TrainState) -> TrainState:
        """The state, in the form of `like`.

        Raises:
            CheckpointError: it is damaged, or of another form.
        """
        if self.meta["key"] != str(jax.random.key_impl(like.key)):
            raise CheckpointError(f"the random key of step {self.step} is a {self.meta['key']}")
        training = self._read("training", _training_arrays(like))
        key = jax.random.wrap_key_data(training.pop("key"), impl=self.meta["key"])
        return TrainState(params=self.restore_params(like.params), key=key, **training)

    def restore_params(self, like: Params) -> Params:
        """The parameters alone, in the form of `like`.

        Raises:
            CheckpointError: they are damaged, or of another form.
        """
        params: Params = self._read("params", {"params": like})["params"]
        return params

    def _read(self, item: str, like: Any) -> Any:
        return self.checkpoints.read_arrays(self.step, item, self.meta["arrays"], like)


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
        saved = checkpoints.newest()
        record = saved.record
        vocab_size = len(record.vocabulary)
        model = build(record.model, vocab_size)
        form = jax.eval_shape(lambda: model.init(jax.random.key(0), vocab_size))
        return LoadedRun(model, saved.restore_params(form), record.vocabulary)


def params_digest(params: Params) -> str:
    """One SHA-256 for all parameters: equal digests mean equal bits."""
    return _canonical_digest(_descriptions(_flatten(params)))


def _training_arrays(state: TrainState) -> dict[str, Any]:
    """All of the state but the parameters; the key as its bits."""
    key = jax.random.key_data(state.key)
    return {"opt_state": state.opt_state, "carry": state.carry, "key": key, "step": state.step}


def _flatten(tree: Any) -> dict[str, Any]:
    """A flat dictionary from each array's place in the tree to the array."""
    leaves = jax.tree.leaves_with_path(tree)
    flat = {jax.tree_util.keystr(path, simple=True, separator="."): x for path, x in leaves}
    if len(flat) < len(leaves):
        raise CheckpointError("two arrays of the state would have the same name on disk")
    return flat


def _type_of(array: Any) -> str:
    return f"{array.dtype}{list(array.shape)}"


def _descriptions(arrays: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The type of each array, and a SHA-256 of its place, type and bytes."""
    described = {}
    for place, array in arrays.items():
        host = np.asarray(array)
        content = f"{place} {_type_of(host)} ".encode() + host.tobytes()
        described[place] = {
            "type": _type_of(host),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    return described


def _canonical_digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
