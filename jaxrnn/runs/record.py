"""The record of a run: the settings and numbers saved with the arrays of a checkpoint."""

import dataclasses
import importlib.metadata
import json
import os
import platform
from dataclasses import dataclass
from typing import Any

import jax

from jaxrnn.model_config import ModelConfig, make_cell
from jaxrnn.recurrence.implementations import default_implementation
from jaxrnn.text import Vocabulary
from jaxrnn.text.sources import is_cleaned_like
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
"""Environment variables that change the compiled program."""


@dataclass(frozen=True)
class TextRecord:
    """The text that a run trains on."""

    corpus: str | tuple[str, ...]
    """The corpus's name, or the paths it was read from."""
    digest: str
    """SHA-256 of its files."""
    max_chars: int
    """Characters (or words) to train on."""
    held_out_chars: int
    """Characters (or words) that are held out."""
    keep_line_breaks: bool = False
    """Whether line breaks are tokens; otherwise they became spaces, as in the book."""
    encoding: str = "utf-8"
    """The encoding of your own files; for bytes without effect."""
    validation_chars: int = 0
    """Characters (or words) between the two, on which the best parameters are chosen."""
    separate: bool = False
    """Whether these two are other files, not what follows the training text."""

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "TextRecord":
        """Rebuild the record from a dictionary of JSON types."""
        corpus = content["corpus"]
        return cls(**content | {"corpus": tuple(corpus) if isinstance(corpus, list) else corpus})


@dataclass(frozen=True)
class Best:
    """The step at which a run did best on its validation text."""

    step: int
    """Training steps done by then."""
    epoch: int
    """Epochs finished by then."""
    validation_perplexity: float
    """Perplexity of that text."""

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Best":
        """Rebuild it from a dictionary of JSON types."""
        now = {"held_out_perplexity": "validation_perplexity"}  # by which older runs chose
        return cls(**{now.get(name, name): value for name, value in content.items()})


@dataclass(frozen=True)
class Origin:
    """The parameters that a fine-tuned run began with."""

    run_dir: str
    """The folder of the run that they were read from."""
    step: int
    """Training steps done there by then."""
    digest: str
    """SHA-256 of the parameters."""
    vocab_size: int
    """The number of tokens that they know."""


@dataclass(frozen=True)
class Record:
    """The settings, text and progress that a checkpoint's arrays belong to."""

    model: ModelConfig
    """How the model is built."""
    training: TrainConfig
    """How it is trained."""
    text: TextRecord
    """The text that it is trained on."""
    vocabulary: Vocabulary
    """The tokens of that text."""
    progress: Progress
    """How far the training is."""
    best: Best | None = None
    """The best step so far; None without any validation perplexity."""
    origin: Origin | None = None
    """What was fine-tuned; None if the first parameters were drawn."""

    def differences(self, other: "Record") -> list[str]:
        """List what makes the arrays of the checkpoint `other` wrong for this run, one line each.

        Progress, epochs, the text's location and reporting options may differ.  Devices are
        compared by `environment`.
        """
        ignored = {"text.validation_chars", "text.held_out_chars"}
        if self.training.schedule == "steps":
            ignored.add("training.epochs")
        ignored |= {"training.devices", "training.parallel"}
        if self.text.digest == other.text.digest and is_cleaned_like(
            self.text.corpus, other.text.corpus
        ):
            ignored.add("text.corpus")
        mine, theirs = _flat_settings(self), _flat_settings(other)
        lines = [
            f"{name}: {theirs[name]} in the checkpoint, {mine[name]} here"
            for name in mine
            if mine[name] != theirs[name] and name not in ignored
        ]
        if self.vocabulary != other.vocabulary:
            lines.append(
                f"vocabulary: {len(other.vocabulary)} tokens in the checkpoint,"
                f" {len(self.vocabulary)} here"
            )
        return lines

    def environment(self) -> dict[str, str]:
        """Return what the last bits depend on besides the record."""
        return environment(self.model, self.training)

    def in_words(self, kind: str) -> str:
        """Say how far the training was."""
        best, progress = self.best, self.progress
        if kind == "best" and best is not None:
            of = f"validation perplexity {best.validation_perplexity:.3f}"
            return f"after epoch {best.epoch}, {of}"
        if progress.num_batches == 0:
            return "before the first step"
        return (
            f"after batch {progress.batch} of {progress.num_batches} in epoch {progress.epoch + 1},"
            f" perplexity {progress.perplexity:.3f}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the record as a dictionary of JSON types."""
        content = {
            "model": dataclasses.asdict(self.model),
            "training": dataclasses.asdict(self.training),
            "text": dataclasses.asdict(self.text),
            "vocabulary": self.vocabulary.to_json(),
            "progress": self.progress._asdict(),
            "best": self.best and dataclasses.asdict(self.best),
            "origin": self.origin and dataclasses.asdict(self.origin),
        }
        plain: dict[str, Any] = json.loads(
            json.dumps(content, default=lambda scalar: scalar.item())
        )
        return plain

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Record":
        """Rebuild the record that `to_json` returned."""
        origin = content.get("origin")  # older checkpoints have none
        return cls(
            model=ModelConfig(**content["model"]),
            training=TrainConfig(**content["training"]),
            text=TextRecord.from_json(content["text"]),
            vocabulary=Vocabulary.from_json(content["vocabulary"]),
            progress=Progress(**content["progress"]),
            best=content["best"] and Best.from_json(content["best"]),
            origin=origin and Origin(**origin),
        )


def environment(model: ModelConfig, training: TrainConfig) -> dict[str, str]:
    """Return versions, flags, code and device: what the last bits depend on besides the record."""
    sharded = training.parallel == "jit" and count_devices(training) > 1
    recurrence = "scan" if sharded else default_implementation(make_cell(model))
    return base_environment(recurrence, device(training))


def base_environment(recurrence: str, device: str) -> dict[str, str]:
    """Return versions, flags, what computes the recurrence, and the devices."""
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    flags = {name: os.environ.get(name, "") for name in FLAGS}
    return {
        "python": platform.python_version(),
        **packages,
        **flags,
        "recurrence": recurrence,
        "device": device,
    }


def device(training: TrainConfig) -> str:
    """Describe in words the devices that compute."""
    first, processes = jax.devices()[0], jax.process_count()
    words = f"{count_devices(training)} x {first.platform} ({first.device_kind})"
    if processes > 1:
        words += f" in {processes} processes"
    return words + (" by pmap" if training.parallel == "pmap" else "")


def _flat_settings(record: Record) -> dict[str, Any]:
    parts = ("model", "training", "text")
    return flat_settings({part: dataclasses.asdict(getattr(record, part)) for part in parts})
