"""Tiny Shakespeare, character by character, by an LSTM of two layers on two CPU cores.

    python -m experiments.shakespeare            2 x 512 units: an hour and a half at most
    python -m experiments.shakespeare choose     the same, to choose settings by: see below

The corpus and its split are those of nanoGPT, whose Transformer of 10.7 million parameters reaches
1.4697 nats per character: 1,003,854 characters to learn, the last 111,540 to be judged by.  This
model has 3.5 million, and reaches 1.468; 1.331 with dynamic evaluation.

The settings are those of `time_machine full`, with less regularization for a longer text, and as
many epochs as fit into an hour and a half; the rate of dynamic evaluation is the one chosen there.
The held-out text begins in the middle of a play whose names occur nowhere else, so all of the
training text is needed in the end.  `choose` trains on all but its last 50,000 characters, on which
other settings, the rate, and the weight of a mixture with counts can be chosen.  Ctrl-C saves,
--resume continues.

nanoGPT's number is a mean over random blocks of 256 characters, each of which begins with an empty
memory.  That estimate is printed, too; a recurrent network reads the text as a whole.
"""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np

import jaxrnn
from jaxrnn.checks import check_positive_integer
from jaxrnn.commands import command_line
from jaxrnn.commands.held_out import Methods, judge_run
from jaxrnn.commands.progress import track
from jaxrnn.commands.train import Flags, train
from jaxrnn.layers import Layer
from jaxrnn.runs.texts import Evaluated
from jaxrnn.typing import Params

BLOCK, BLOCKS = 256, 64
"""Characters in a block, and blocks in a batch, of nanoGPT's estimate."""

MODEL = jaxrnn.ModelConfig(
    cell="lstm",
    num_layers=2,
    hidden_size=512,
    embedding_size=128,
    init="uniform",
    forget_gate_bias=1.0,
    dropout=0.4,
    input_dropout=0.1,
    variational_dropout=True,
    weight_drop=0.3,
)
TRAINING = jaxrnn.TrainConfig(
    windows="sequential",
    random_offset=True,
    batch_size=32,
    num_steps=128,
    epochs=16,
    optimizer="adamw",
    learning_rate=0.003,
    schedule="cosine",
    warmup_steps=200,
    weight_decay=0.1,
    max_grad_norm=1.0,
    average=0.995,
)


@dataclass(frozen=True)
class Settings(Flags):
    """Settings of a model of tiny Shakespeare."""

    model: jaxrnn.ModelConfig = MODEL
    training: jaxrnn.TrainConfig = TRAINING
    corpus: str = "shakespeare"
    """Corpus to train on."""
    max_chars: int = 1_003_854
    """Characters to train on, from the beginning."""
    validation_chars: int = 0
    """Characters after those, on which the best parameters are chosen."""
    held_out_chars: int = 111_540
    """Characters after those that are held out: the last tenth."""
    prompts: tuple[str, ...] = ("ROMEO:", "First Citizen:\nBefore")
    """Prompts of the samples."""
    sample_every: int = 10
    """Epochs between two reports with samples."""
    sample_length: int = 200
    """Characters to generate after each prompt."""
    save_every: float = 60.0
    """Seconds between two checkpoints."""
    methods: Methods = field(
        default_factory=lambda: Methods(
            dynamic=True, dynamic_rates=(3e-4,), kneser_ney=7, network_weight=0.8
        )
    )
    random_batches: int = 200
    """Batches of nanoGPT's estimate."""
    out: Path = Path("runs/shakespeare/all")
    """Folder of the run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive_integer("random_batches", self.random_batches)
        if self.held_out_chars <= BLOCK:
            raise ValueError(f"held_out_chars must be above {BLOCK}, got {self.held_out_chars}")


PRESETS = {
    "all": Settings(),
    "choose": Settings(
        max_chars=953_854,
        validation_chars=50_000,
        methods=Methods(dynamic=True, kneser_ney=7),
        out=Path("runs/shakespeare/choose"),
    ),
}


def shakespeare(settings: Settings) -> int:
    """Train, judge by the held-out text, and return the exit code."""
    if code := train(settings):
        return code
    batches = settings.random_batches
    name = f"network, {batches} x {BLOCKS} random blocks of {BLOCK}"
    judge_run(settings, settings.methods, {name: partial(random_blocks, batches=batches)})
    return 0


def random_blocks(model: Layer, params: Params, text: Evaluated, batches: int) -> float:
    """Return nanoGPT's estimate in nats: the mean over random blocks, each from an empty memory."""
    generator, total = np.random.default_rng(0), 0.0
    for _ in track("random blocks", range(batches), "batch"):
        begins = generator.integers(0, len(text.ids) - BLOCK, BLOCKS)
        ids = text.ids[np.arange(BLOCK + 1)[:, None] + begins[None]]
        total -= float(jnp.sum(jaxrnn.score(model, params, ids).log_probability))
    return total / (batches * BLOCKS * BLOCK)


if __name__ == "__main__":
    command_line.main(shakespeare, Settings, presets=PRESETS, description=__doc__)
