"""Tiny Shakespeare, character by character, by recurrent networks.

    python -m experiments.shakespeare          LSTM, 2 x 512: an hour on two CPU cores
    python -m experiments.shakespeare small    LSTM, 1 x 256: ten minutes

The corpus and its split are those of nanoGPT, whose Transformer of 10.7 million parameters reaches
1.4697 nats per character: 1,003,854 characters to learn, the last 111,540 to be judged by.  Of the
former, the last 50,000 are not trained on: they choose the best parameters, and the rates of
dynamic evaluation.  Ctrl-C saves, --resume continues.

nanoGPT's number is a mean over random blocks of 256 characters, of which each begins with an empty
memory.  That estimate is printed, too; a recurrent network reads the text as a whole.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

import jaxrnn
from jaxrnn.commands import command_line
from jaxrnn.commands.held_out import Methods, judge
from jaxrnn.commands.progress import track
from jaxrnn.commands.train import Flags, train
from jaxrnn.layers import Layer
from jaxrnn.runs.run import Run
from jaxrnn.runs.summary import read_summary, write_summary
from jaxrnn.runs.texts import Evaluated
from jaxrnn.training.processes import is_first, wait_for_all
from jaxrnn.typing import Params

BLOCK, BLOCKS, BATCHES = 256, 64, 200
"""Characters in a block, blocks in a batch and batches of nanoGPT's estimate."""


@dataclass(frozen=True)
class Settings(Flags):
    """Settings of a model of tiny Shakespeare."""

    corpus: str = "shakespeare"
    """Corpus to train on."""
    max_chars: int = 953_854
    """Characters to train on, from the beginning."""
    validation_chars: int = 50_000
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
    methods: Methods = field(default_factory=lambda: Methods(kneser_ney=7, dynamic=True))
    out: Path = Path("runs/shakespeare")
    """Folder of the run."""


def preset(model: dict[str, Any], training: dict[str, Any]) -> Settings:
    """Make the settings of a regularized LSTM."""
    lstm: dict[str, Any] = {
        "cell": "lstm",
        "init": "uniform",
        "forget_gate_bias": 1.0,
        "variational_dropout": True,
    }
    adam: dict[str, Any] = {
        "windows": "sequential",
        "random_offset": True,
        "batch_size": 32,
        "num_steps": 128,
        "optimizer": "adamw",
        "learning_rate": 0.002,
        "schedule": "cosine",
        "warmup_steps": 200,
        "max_grad_norm": 1.0,
    }
    return Settings(jaxrnn.ModelConfig(**(lstm | model)), jaxrnn.TrainConfig(**(adam | training)))


PRESETS = {
    "large": preset(
        {
            "num_layers": 2,
            "hidden_size": 512,
            "embedding_size": 128,
            "dropout": 0.5,
            "input_dropout": 0.1,
            "weight_drop": 0.3,
        },
        {"epochs": 30, "weight_decay": 0.05, "average": 0.998},
    ),
    "small": preset(
        {
            "hidden_size": 256,
            "embedding_size": 64,
            "dropout": 0.2,
            "input_dropout": 0.0,
        },
        {"epochs": 15, "learning_rate": 0.004, "average": 0.998},
    ),
}
PRESETS = {name: replace(each, out=each.out / name) for name, each in PRESETS.items()}


def shakespeare(settings: Settings) -> int:
    """Train, judge the best parameters by the held-out text, and return the exit code."""
    if code := train(settings):
        return code
    if is_first():
        run = Run(replace(settings, resume=True))
        model, params, _ = jaxrnn.load_run(settings.out, "best")
        found = {}
        for judged in judge(model, params, run.texts, settings.methods):
            print(judged.in_words(), flush=True)
            found[judged.method] = judged.nats
        name = f"{BATCHES} x {BLOCKS} random blocks of {BLOCK} characters"
        found[name] = blocks_estimate(model, params, run.texts.held_out)
        print(f"network, {name}: {found[name]:.4f} nats")
        write_summary(settings.out, read_summary(settings.out) | {"held_out_nats": found})
    wait_for_all("the summary is written")
    return 0


def blocks_estimate(model: Layer, params: Params, text: Evaluated, seed: int = 0) -> float:
    """Return nanoGPT's estimate in nats: the mean over random blocks, each from an empty memory."""
    generator, total = np.random.default_rng(seed), 0.0
    for _ in track("random blocks", range(BATCHES), "batch"):
        begins = generator.integers(0, len(text.ids) - BLOCK, BLOCKS)
        ids = text.ids[np.arange(BLOCK + 1)[:, None] + begins[None]]
        total -= float(jnp.mean(jaxrnn.score(model, params, ids).log_probability))
    return total / (BATCHES * BLOCK)


if __name__ == "__main__":
    command_line.main(shakespeare, Settings, presets=PRESETS, description=__doc__)
