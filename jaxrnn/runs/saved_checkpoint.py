"""One checkpoint on disk: metadata and arrays, verified and restored."""

import errno
import itertools
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.checks import check_regular_file
from jaxrnn.runs.array_record import AnyRecord, read_record
from jaxrnn.runs.digests import (
    Description,
    canonical_digest,
    describe,
    flatten,
    is_key,
    not_finite,
    num_bytes,
    type_of,
)
from jaxrnn.runs.files import short_message
from jaxrnn.runs.record import Record
from jaxrnn.training.memory import physical_memory
from jaxrnn.training.train_step import TrainState
from jaxrnn.typing import Params

FORMAT = 3
"""Version of the layout on disk, stored in every checkpoint."""

READABLE = (2, 3)
"""Formats that can be read.  Runs of format 2 have no marker, metrics without checksums, and spaces
for line breaks."""

MAX_META_BYTES = 1 << 26
"""A larger file is not read, unless it holds array data."""

MACHINE_ERRNOS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EPERM)
"""Errors that say nothing about a file's content."""

Read = Callable[[str, Any], Any]
"""(item, the types of its arrays, or None for `meta`) -> the content of its files."""


class CheckpointError(ValueError):
    """A checkpoint is missing, or does not fit the run."""


class SaveFailedError(CheckpointError):
    """A checkpoint could not be written."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint is not what was written, or was never complete."""


class Saved(NamedTuple):
    """One checkpoint, its metadata read and verified.

    Examples:
        >>> import pathlib, tempfile
        >>> from jaxrnn.runs import Checkpoints
        >>> from jaxrnn.runs.run import Run
        >>> from jaxrnn.runs.saver import Saver
        >>> from jaxrnn.runs.settings import Settings
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with Saver(Run(Settings(corpus="songs", out=pathlib.Path(folder)))) as saver:
        ...         state, progress = saver.start()  # saves step 0
        ...     with Checkpoints(folder, read_only=True) as checkpoints:
        ...         saved = checkpoints.open(0)
        ...         saved.verify()
        ...         state = saved.restore(state)
        >>> saved.record.text.corpus, saved.record.progress.epoch
        ('songs', 0)
    """

    name: str
    """Its step and folder, for messages."""
    step: int
    """Training steps done by then."""
    meta: dict[str, Any]
    """Its metadata, as JSON types."""
    record: AnyRecord
    """What its arrays belong to: a `Record` of a text, or an `ArrayRecord`."""
    read: Read
    """Reads one of its items."""

    def text_record(self) -> Record:
        """Return the record; raise a CheckpointError unless it is that of a text."""
        if isinstance(self.record, Record):
            return self.record
        raise CheckpointError(f"{self.name} is not from a run of `jaxrnn train`")

    def restore(self, like: TrainState) -> TrainState:
        """Return the state, with the structure of `like`.

        Raises:
            DamagedCheckpointError: an array is damaged.
            CheckpointError: the structure, a shape or a dtype differs.
        """
        if "training" not in self.meta["arrays"]:
            raise CheckpointError(f"{self.name} holds only parameters")
        if self.meta["key"] != str(jax.random.key_impl(like.key)):
            raise CheckpointError(
                f"the random key of {self.name} is of type {self.meta['key']}, not"
                f" {jax.random.key_impl(like.key)}"
            )
        training = self._restore("training", training_arrays(like))
        key = jax.random.wrap_key_data(training.pop("key"), impl=self.meta["key"])
        return TrainState(params=self.restore_params(like.params), key=key, **training)

    def restore_params(self, like: Params) -> Params:
        """Return only the parameters, with the structure of `like`; errors as in `restore`."""
        params: Params = self._restore("params", {"params": like})["params"]
        return params

    def verify(self) -> None:
        """Read all arrays; raise a DamagedCheckpointError if they are not what was saved."""
        for item in self.meta["arrays"]:
            self._arrays(item)

    def check_is_there(self, folder: Path) -> None:
        """Raise a DamagedCheckpointError unless each item has an index in that folder."""
        for item in self.meta["arrays"]:
            if not (folder / item / "manifest.ocdbt").is_file():
                raise DamagedCheckpointError(f"{item} of {self.name} are not in {folder}")

    def _restore(self, item: str, like: Any) -> Any:
        here = {place: type_of(array) for place, array in flatten(like).items()}
        there = {
            place: f"{d['dtype']}{d['shape']}" for place, d in self.meta["arrays"][item].items()
        }
        for place in here | there:
            if here.get(place) != there.get(place):
                what = "model" if item == "params" else "model, batch size or optimizer"
                raise CheckpointError(
                    f"{self.name} is of another {what}: {place} is {there.get(place, 'missing')}"
                    f" there, but {here.get(place, 'missing')} here"
                )
        arrays = self._arrays(item)
        leaves = zip(here, jax.tree.leaves(like), strict=True)
        restored = [
            jax.random.wrap_key_data(arrays[place], impl=jax.random.key_impl(leaf))
            if is_key(leaf)
            else arrays[place]
            for place, leaf in leaves
        ]
        return jax.tree.unflatten(jax.tree.structure(like), restored)

    def _arrays(self, item: str) -> dict[str, Any]:
        """Read the arrays of an item, each checked against its description."""
        descriptions: dict[str, Description] = self.meta["arrays"][item]
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        wanted = {
            place: jax.ShapeDtypeStruct(d["shape"], jnp.dtype(d["dtype"]), sharding=device)
            for place, d in descriptions.items()
        }
        if num_bytes(wanted) > physical_memory():
            raise CheckpointError(
                f"{item} of {self.name} need {num_bytes(wanted):,} bytes of memory, more than this"
                f" machine's {physical_memory():,}"
            )
        arrays = dict(_read(self.name, self.read, item, wanted))
        for place, description in describe(arrays).items():
            if description != descriptions[place]:
                raise DamagedCheckpointError(f"{place} in {self.name} is damaged")
        if item == "params" and (wrong := not_finite(arrays)):
            raise DamagedCheckpointError(f"{wrong} in {self.name} is not finite")
        return arrays


def training_arrays(state: TrainState) -> dict[str, Any]:
    """Return everything in the state but the parameters; the key as its bits."""
    key = jax.random.key_data(state.key)
    return {"opt_state": state.opt_state, "carry": state.carry, "key": key, "step": state.step}


def make_meta(record: AnyRecord, items: dict[str, Any], **more: str) -> dict[str, Any]:
    """Return the metadata of flat arrays: what they belong to, what made them, their digests."""
    meta = {
        "format": FORMAT,
        "record": record.to_json(),
        "environment": record.environment(),
        "arrays": {item: describe(arrays) for item, arrays in items.items()},
        **more,
    }
    return meta | {"digest": canonical_digest(meta)}


def read_saved(folder: Path, step: int, read: Read) -> Saved:
    """Open a checkpoint and verify its metadata.

    Raises:
        DamagedCheckpointError: the metadata is damaged.
        CheckpointError: the format is unknown.
    """
    name = f"step {step} in {folder}"
    _check_files(name, folder / str(step))
    meta = _read(name, read, "meta", None)
    try:
        if meta.pop("digest") != canonical_digest(meta):
            raise ValueError("its checksum does not match")
        if meta["format"] in READABLE:
            _check_form(meta)
            return Saved(name, step, meta, read_record(meta["record"]), read)
    except Exception as error:  # malformed content raises many unrelated types
        raise DamagedCheckpointError(
            f"the metadata of {name} is damaged: {short_message(error)}"
        ) from error
    known = " and ".join(map(str, READABLE))
    raise CheckpointError(f"{name} is of format {meta['format']}, this jaxrnn reads {known}")


def _check_files(name: str, folder: Path) -> None:
    """Raise unless all files are regular and small enough to read.

    Others could block a reader forever, or fill the memory.
    """
    try:
        check_regular_file(folder / "meta" / "metadata")
        for place, _, files in os.walk(folder):
            most = math.inf if Path(place).name == "d" else MAX_META_BYTES
            for file in files:
                check_regular_file(Path(place) / file, most)
    except (OSError, ValueError) as error:
        raise DamagedCheckpointError(f"{name} is not intact: {error}") from error


def _check_form(meta: dict[str, Any]) -> None:
    """Raise unless the arrays are those of a checkpoint, or only parameters."""
    arrays = meta["arrays"]
    if set(arrays) != ({"params", "training"} if "key" in meta else {"params"}):
        raise ValueError(f"its arrays are {', '.join(arrays)}")
    if not arrays["params"]:
        raise ValueError("it has no parameters")
    for description in itertools.chain(*(item.values() for item in arrays.values())):
        jnp.dtype(description["dtype"])
        if not all(size >= 0 for size in description["shape"]):
            raise ValueError(f"the shape of an array is {description['shape']}")


def _read(name: str, read: Read, item: str, how: Any) -> Any:
    try:
        return read(item, how)
    except (MemoryError, jax.errors.JaxRuntimeError):  # the fault of the machine, not of the file
        raise
    except Exception as error:  # a damaged file raises many unrelated types
        if isinstance(error, OSError) and error.errno in MACHINE_ERRNOS:
            raise CheckpointError(f"{name} could not be read: {error}") from error
        raise DamagedCheckpointError(f"{name} is unreadable: {short_message(error)}") from error
