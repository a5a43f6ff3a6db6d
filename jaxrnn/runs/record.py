"""What a run is: the words and numbers that stand in its checkpoints beside the arrays."""

import dataclasses
import importlib.metadata
import json
import os
import platform
from dataclasses import dataclass
from typing import Any

import jax

from jaxrnn.model_config import ModelConfig
from jaxrnn.text import Vocabulary
from jaxrnn.training.config import TrainConfig, flat_settings
from jaxrnn.training.parallel import count_devices
from jaxrnn.training.trainer import Progress

PACKAGES = ("jaxrnn", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
FLAGS = (
    "XLA_FLAGS",
    "JAX_ENABLE_X64",
    "JAX_DEFAULT_MATMUL_PRECISION",
    "JAX_DISABLE_MOST_OPTIMIZATIONS",
    "JAX_DISABLE_JIT",
    "JAX_DEFAULT_PRNG_IMPL",
    "JAX_THREEFRY_PARTITIONABLE",
)
"""Environment variables that change the program."""


@dataclass(frozen=True)
class TextRecord:
    """Which text a run trains on."""

    corpus: str
    """The corpus's name, or the path it was read from."""
    digest: str
    """SHA-256 of its file."""
    max_chars: int
    """Characters that are trained on."""
    held_out_chars: int
    """Characters after those that are held out."""
    keep_line_breaks: bool = False
    """Whether line breaks are tokens like others; or they became spaces, as in the book."""


@dataclass(frozen=True)
class Best:
    """Where a run has done best on its held-out text."""

    step: int
    """Training steps before it."""
    epoch: int
    """Epochs before it."""
    held_out_perplexity: float


@dataclass(frozen=True)
class Record:
    """What the arrays of a checkpoint belong to."""

    model: ModelConfig
    training: TrainConfig
    text: TextRecord
    vocabulary: Vocabulary
    progress: Progress
    best: Best | None = None

    def differences(self, other: "Record") -> list[str]:
        """What would make the arrays of `other` wrong for this run, one line each.

        How far the run is, how many epochs it is to go, where the same text lies, and what only
        reports may differ; of the devices the `environment` tells.
        """
        ignored = {"training.epochs", "text.held_out_chars"}
        ignored |= {"training.devices", "training.parallel"}
        if self.text.digest == other.text.digest:
            ignored.add("text.corpus")
        mine, theirs = _flat_settings(self), _flat_settings(other)
        lines = [
            f"{name}: {theirs[name]} there, {mine[name]} here"
            for name in mine
            if mine[name] != theirs[name] and name not in ignored
        ]
        if self.vocabulary != other.vocabulary:
            lines.append(
                f"vocabulary: {len(other.vocabulary)} tokens there, {len(self.vocabulary)} here"
            )
        return lines

    def to_json(self) -> dict[str, Any]:
        """As a dictionary of JSON types."""
        content = {
            "model": dataclasses.asdict(self.model),
            "training": dataclasses.asdict(self.training),
            "text": dataclasses.asdict(self.text),
            "vocabulary": self.vocabulary.to_json(),
            "progress": self.progress._asdict(),
            "best": self.best and dataclasses.asdict(self.best),
        }
        plain: dict[str, Any] = json.loads(
            json.dumps(content, default=lambda scalar: scalar.item())
        )
        return plain

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Record":
        """What `to_json` made."""
        return cls(
            model=ModelConfig(**content["model"]),
            training=TrainConfig(**content["training"]),
            text=TextRecord(**content["text"]),
            vocabulary=Vocabulary.from_json(content["vocabulary"]),
            progress=Progress(**content["progress"]),
            best=content["best"] and Best(**content["best"]),
        )


def environment(training: TrainConfig) -> dict[str, str]:
    """What the last bits of a run's numbers depend on beside its record; also, which `device`."""
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    flags = {name: os.environ.get(name, "") for name in FLAGS}
    return {"python": platform.python_version(), **packages, **flags, "device": device(training)}


def device(training: TrainConfig) -> str:
    """The devices that compute, in words."""
    first, processes = jax.devices()[0], jax.process_count()
    words = f"{count_devices(training)} x {first.platform} ({first.device_kind})"
    if processes > 1:
        words += f" in {processes} processes"
    return words + (" by pmap" if training.parallel == "pmap" else "")


def _flat_settings(record: Record) -> dict[str, Any]:
    parts = ("model", "training", "text")
    return flat_settings({part: dataclasses.asdict(getattr(record, part)) for part in parts})
