"""The book's character models of The Time Machine (H. G. Wells, 1895), one command each.

    python -m experiments.time_machine               RNN of 512 units, sequential windows: near 1.05
    python -m experiments.time_machine rnn-random    random windows: near 1.5
    python -m experiments.time_machine gru           and lstm: 256 units, N(0, 0.01^2): near 1.1
    python -m experiments.time_machine lstm-uniform  and gru-uniform: as the book's library layers
    python -m experiments.time_machine lstm2         and lstm2-slow, gru2: two layers, rates 2, 1, 2
    python -m experiments.time_machine rnn-adam      and gru-adam, lstm-adam
    python -m experiments.time_machine words         the book's 32,775 words
    python -m experiments.time_machine full          the whole book, judged by its last tenth
    python -m experiments.time_machine full-plain    the same by a network without regularization
    python -m experiments.time_machine --all         the table of docs/results.md, three seeds each

The first 10,000 characters, batch 32, 35 steps, SGD at 1 with gradients clipped to 1, 500 epochs
with a random offset each: half a minute to two minutes on two CPU cores.  The models memorise the
text, so the held-out perplexity is the number that matters.

`full` and `words` are to generalise.  `full` has two wide layers, regularized, and takes a quarter
of an hour; `words` has one, and takes four minutes on one core.  Their settings, the rates of
dynamic evaluation and the weights of the mixtures with counts are those that did best on the last
tenth of the training text while a network learnt the rest:

    full --max-chars 138170 --validation-chars 15352 --network-weight None
    words --max-chars 26548 --validation-chars 2950 --network-weight None

Each name has its own folder below runs/time_machine.  Ctrl-C saves, --resume continues.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jaxrnn
from experiments import results
from jaxrnn.commands import command_line
from jaxrnn.commands.held_out import Methods, judge_run
from jaxrnn.commands.train import Flags, train


@dataclass(frozen=True)
class Settings(Flags):
    """Settings of the book's run."""

    corpus: str = "time_machine"
    """Corpus to train on."""
    prompts: tuple[str, ...] = ("time traveller", "traveller")
    """Prompts of the samples."""
    validation_chars: int | None = 0
    """Characters after those to train on, on which the best parameters are chosen."""
    sample_every: int = 10
    """Epochs between two reports with samples."""
    methods: Methods = field(default_factory=Methods)
    out: Path = Path("runs/time_machine")
    """Folder of the run."""
    all: bool = False
    """Do all runs of the table, in runs/results, and print it; other flags are ignored."""


def preset(model: dict[str, Any], training: dict[str, Any], **more: Any) -> Settings:
    """Make the book's settings, with these changes."""
    book: dict[str, Any] = {
        "windows": "sequential",
        "random_offset": True,
        "epochs": 500,
        "learning_rate": 1.0,
        "max_grad_norm": 1.0,
    }
    return Settings(jaxrnn.ModelConfig(**model), jaxrnn.TrainConfig(**(book | training)), **more)


def regularized(model: dict[str, Any], training: dict[str, Any], **more: Any) -> Settings:
    """Make the settings of two regularized LSTM layers, with these changes."""
    wide: dict[str, Any] = {
        "cell": "lstm",
        "num_layers": 2,
        "hidden_size": 512,
        "embedding_size": 128,
        "init": "uniform",
        "forget_gate_bias": 1.0,
        "dropout": 0.5,
        "input_dropout": 0.1,
        "variational_dropout": True,
        "weight_drop": 0.4,
    }
    cosine: dict[str, Any] = {
        "num_steps": 64,
        "epochs": 40,
        "optimizer": "adamw",
        "learning_rate": 0.003,
        "schedule": "cosine",
        "warmup_steps": 100,
        "weight_decay": 0.3,
        "average": 0.995,
    }
    methods = Methods(dynamic=True, dynamic_rates=(3e-4,), kneser_ney=7, network_weight=0.644)
    return preset(wide | model, cosine | training, **({"methods": methods} | more))


DEEP: dict[str, Any] = {"num_layers": 2, "init": "uniform"}
ADAM: dict[str, Any] = {"optimizer": "adam", "learning_rate": 0.01}
PRESETS = {
    "rnn": preset({"hidden_size": 512}, {}),
    "rnn-random": preset({"hidden_size": 512}, {"windows": "random"}),
    "rnn-uniform": preset({"init": "uniform"}, {}),
    "gru": preset({"cell": "gru"}, {}),
    "gru-uniform": preset({"cell": "gru", "init": "uniform"}, {}),
    "lstm": preset({"cell": "lstm"}, {}),
    "lstm-uniform": preset({"cell": "lstm", "init": "uniform"}, {}),
    "lstm2": preset({"cell": "lstm", **DEEP}, {"learning_rate": 2.0}),
    "lstm2-slow": preset({"cell": "lstm", **DEEP}, {}),
    "gru2": preset({"cell": "gru", **DEEP}, {"learning_rate": 2.0}),
    "rnn-adam": preset({"hidden_size": 512, "init": "uniform"}, ADAM | {"learning_rate": 0.001}),
    "gru-adam": preset({"cell": "gru", "init": "uniform"}, ADAM),
    "lstm-adam": preset({"cell": "lstm", "init": "uniform"}, ADAM),
    "full": regularized({}, {}, max_chars=153_522, held_out_chars=17_058),
    "full-plain": preset(
        {"cell": "lstm", "init": "uniform"},
        ADAM | {"epochs": 30, "learning_rate": 0.003, "decay": 0.8, "decay_after": 10},
        max_chars=153_522,
        held_out_chars=17_058,
    ),
    "words": preset(
        {
            "cell": "lstm",
            "embedding_size": 256,
            "tie_embeddings": True,
            "init": "uniform",
            "forget_gate_bias": 0.0,
            "dropout": 0.6,
            "embedding_dropout": 0.3,
            "weight_drop": 0.4,
        },
        {
            "batch_size": 16,
            "epochs": 32,
            "optimizer": "adamw",
            "learning_rate": 0.004,
            "schedule": "cosine",
            "warmup_steps": 50,
            "weight_decay": 0.5,
            "average": 0.99,
            "unigram_bias": True,
        },
        corpus="time_machine_words",
        unit="word",
        max_chars=29_498,
        held_out_chars=3_277,
        methods=Methods(dynamic=True, dynamic_rates=(1e-3,), kneser_ney=4, network_weight=0.57),
        prompts=("the time traveller", "he said"),
    ),
}
PRESETS = {name: replace(each, out=each.out / name) for name, each in PRESETS.items()}


def time_machine(settings: Settings) -> int:
    """Do one run or the whole table, and return the exit code."""
    if settings.all:
        results.print_table("time_machine", results.Settings().out)
        return 0
    code = train(settings)
    if code == 0 and settings.methods != Methods():
        judge_run(settings, settings.methods)
    return code


if __name__ == "__main__":
    command_line.main(time_machine, Settings, presets=PRESETS, description=__doc__)
