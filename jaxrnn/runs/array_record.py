"""The record of a fit of arrays, or of parameters alone: what a checkpoint's arrays belong to."""

import hashlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import jax
import numpy as np

from jaxrnn.fitting.evaluation import base_function
from jaxrnn.fitting.history import History, describe
from jaxrnn.fitting.setup import Fitting
from jaxrnn.layers import Layer, Recurrent
from jaxrnn.recurrence.implementations import default_implementation
from jaxrnn.runs.files import plain
from jaxrnn.runs.record import Record, base_environment
from jaxrnn.training.train_step import TrainState, make_train_step
from jaxrnn.typing import Params

NOTHING = History()


@dataclass(frozen=True)
class ArrayRecord:
    """The fit, or the parameters alone, that the arrays of a checkpoint belong to."""

    model: str = ""
    """The model in one line, as `repr` prints it."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The other arguments that the numbers depend on."""
    data: str = ""
    """SHA-256 of the sequences and their targets, those for validation included."""
    history: History = NOTHING
    """The numbers of the epochs so far."""
    computed_by: tuple[str, str] = ("", "")
    """What computed the recurrence, and on which devices."""
    program: tuple[str, str] = ("", "")
    """The versions of JAX and of jaxrnn, and a digest of the training step that they traced."""

    @classmethod
    def of(cls, fitting: Fitting, state: TrainState, history: History = NOTHING) -> "ArrayRecord":
        """Return the record of a fit."""
        names = {name: _name(function) for name, function in fitting.functions.items()}
        settings = {
            "functions": names,
            "batch_size": fitting.batch_size,
            "key": np.asarray(jax.random.key_data(fitting.key)).ravel().tolist(),
        }
        first, count = jax.devices()[0], fitting.mesh.size
        cells = {layer.cell for layer in _layers(fitting.model, state.params)}
        ways = sorted(default_implementation(cell) for cell in cells)
        return cls(
            repr(fitting.model), settings, _digest(fitting), history,
            ("scan" if count > 1 else ", ".join(ways),
             f"{count} x {first.platform} ({first.device_kind})"),
            (f"jax {jax.__version__}, jaxrnn {version('jaxrnn')}", _program(fitting, state)),
        )  # fmt: skip

    def differences(self, other: "ArrayRecord") -> list[str]:
        """List what makes the arrays of the checkpoint `other` wrong for this fit."""
        pairs = {
            "model": (self.model, other.model),
            "data": (self.data[:12], other.data[:12]),
            **{name: (value, other.settings.get(name)) for name, value in self.settings.items()},
        }
        found = [
            f"{name}: {there} in the checkpoint, {here} here"
            for name, (here, there) in pairs.items()
            if here != there
        ]
        (versions, program), (other_versions, other_program) = self.program, other.program
        if not found and versions == other_versions and program != other_program:
            found.append("the equations of the model, its loss or the optimizer have changed")
        return found

    def environment(self) -> dict[str, str]:
        """Return what the last bits depend on besides the record."""
        return base_environment(*self.computed_by)

    def in_words(self, kind: str) -> str:
        """Say how far the training was."""
        if not self.settings:
            return "parameters"
        rows = self.history.rows
        best = self.history.best_epoch
        if kind == "best" and best is not None:
            return describe(rows[best - 1])
        return describe(rows[-1]) if rows else "before the first step"

    def to_json(self) -> dict[str, Any]:
        """Return the record as a dictionary of JSON types."""
        content = {
            "kind": "arrays",
            "model": self.model,
            "settings": self.settings,
            "data": self.data,
            "history": plain(list(self.history.rows)),
            "computed_by": list(self.computed_by),
            "program": list(self.program),
        }
        types: dict[str, Any] = json.loads(json.dumps(content))
        return types

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "ArrayRecord":
        """Rebuild the record that `to_json` returned."""
        recurrence, device = content["computed_by"]
        versions, program = content.get("program", ("", ""))
        return cls(
            str(content["model"]),
            dict(content["settings"]),
            str(content["data"]),
            History(tuple(map(_numbers, content["history"]))),
            (str(recurrence), str(device)),
            (str(versions), str(program)),
        )


def _numbers(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with NaN for the numbers that JSON could not express."""
    return {name: math.nan if value is None else value for name, value in row.items()}


AnyRecord = Record | ArrayRecord


def read_record(content: dict[str, Any]) -> AnyRecord:
    """Rebuild a record of either kind from its JSON types."""
    of_arrays = content.get("kind") == "arrays"
    return ArrayRecord.from_json(content) if of_arrays else Record.from_json(content)


def _name(function: Callable[..., Any]) -> str:
    """Return the name of a function, with the arguments that `functools.partial` has set."""
    options = getattr(function, "keywords", {})
    name = getattr(base_function(function), "__name__", type(function).__name__)
    return f"{name}({options})" if options else name


def _layers(model: Layer, params: Params) -> list[Recurrent]:
    """Return the recurrent layers of a model."""
    if isinstance(model, Recurrent):
        return [model]
    return [layer for part in model.parts(params) for layer in _layers(*part)]


def _program(fitting: Fitting, state: TrainState) -> str:
    """Return the digest of a training step: activations, constants and rates included.

    `repr` of a model or an optimizer does not show what its functions compute.  How many steps an
    iteration of a loop takes depends on the device, and where functions lie on the process.
    """
    step = make_train_step(fitting.model, fitting.optimizer, fitting.functions["loss"])
    batch = fitting.data.batch(np.zeros(1, int), fitting.batch_size, int(fitting.lengths[0]))
    traced = jax.make_jaxpr(step)(state, batch)
    digest = hashlib.sha256(re.sub(r" at 0x\w+|\bunroll=\d+", "", str(traced)).encode())
    for constant in traced.consts:
        digest.update(np.asarray(constant).tobytes())
    return digest.hexdigest()


def _digest(fitting: Fitting) -> str:
    digest = hashlib.sha256()
    for data in (fitting.data, fitting.validation):
        if data is None:
            continue
        for first in range(0, len(data), 1024):
            rows = np.arange(first, min(first + 1024, len(data)))
            batch = data.batch(rows, len(rows), data.num_steps)
            for array in jax.tree.leaves((batch, data.lengths[rows])):
                digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()
