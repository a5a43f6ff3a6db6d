"""The Penn Treebank by recurrent networks: its words, and its characters.

    python -m experiments.ptb               small: 2 x 200 units, 13 epochs, as published in 2014
    python -m experiments.ptb regularized   the same network, regularized as in 2018
    python -m experiments.ptb characters    2 x 512 units on the words spelt out: bits per character
    python -m experiments.ptb medium        2 x 650, dropout 0.5, 39 epochs: for a GPU
    python -m experiments.ptb large         2 x 1500, dropout 0.65, 55 epochs: for a GPU
    python -m experiments.ptb awd           AWD-LSTM, 3 layers of 1150, 750 epochs: for a GPU

small, medium and large are the networks of Zaremba, Sutskever and Vinyals (arXiv:1409.2329), whose
test perplexities are 114.5, 82.7 and 78.4; expect one near 115 from small, after half an hour on
two CPU cores.  The paper sums the loss over the steps of a window, while jaxrnn takes the mean, so
the learning rate is multiplied, and the clipping norm divided, by the number of steps.

awd is the network of Merity, Keskar and Socher (arXiv:1708.02182), whose test perplexity is 57.3.
Its averaging begins after a fixed number of epochs, not when the validation perplexity stops
falling.  regularized has its methods at the size of small.

All are judged by the test set.  The validation set chooses the best parameters and, in a mixture
with counts, its weight.  Ctrl-C saves, --resume continues.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import jaxrnn
from experiments import shakespeare
from jaxrnn.checks import check_choice
from jaxrnn.commands import command_line
from jaxrnn.commands.held_out import Methods, judge_run
from jaxrnn.commands.train import Flags, train
from jaxrnn.fine_tuning import vocabulary_for
from jaxrnn.runs import Record
from jaxrnn.runs.texts import Evaluated, Texts, own_vocabulary
from jaxrnn.text import Corpus, Unit, load_corpus, tokenize
from jaxrnn.text.units import join_tokens


@dataclass(frozen=True)
class Settings(Flags):
    """Settings of a network on the Penn Treebank."""

    corpus: str = "ptb_train"
    """The training set; the validation and the test set are those that belong to it."""
    unit: Unit = "word"
    """Unit of the tokens."""
    max_chars: int = 10_000_000
    """Words (or characters) to train on, from the beginning of the training set."""
    validation_chars: int = 1_000_000
    """Words (or characters) of the validation set."""
    held_out_chars: int = 1_000_000
    """Words (or characters) of the test set."""
    prompts: tuple[str, ...] = ("the company said", "<eos> in new york")
    """Prompts of the samples."""
    sample_every: int = 1
    """Epochs between two reports with samples."""
    methods: Methods = field(default_factory=lambda: Methods(kneser_ney=5))
    out: Path = Path("runs/ptb")
    """Folder of the run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("corpus", self.corpus, ("ptb_train", "ptb_train_characters"))
        for name in ("validation_chars", "held_out_chars"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name} must be at least 2, got {getattr(self, name)}")

    def load(self, previous: Record | None = None) -> tuple[Corpus, Texts]:
        """Load the three sets, or the beginning of each."""
        corpora = [load_corpus(self.corpus.replace("train", p)) for p in ("train", "valid", "test")]
        most = self.max_chars, self.validation_chars, self.held_out_chars
        training, validation, held_out = (
            join_tokens(tokenize(corpus.text, self.unit)[:number], self.unit)
            for corpus, number in zip(corpora, most, strict=True)
        )
        vocabulary = self.vocabulary_of(previous) or own_vocabulary(
            training, self.unit, self.max_vocabulary
        )
        if self.from_run is not None:
            vocabulary = vocabulary_for(vocabulary, training, self.new_tokens)
        texts = Texts(
            vocabulary,
            vocabulary.encode(training),
            Evaluated(*vocabulary.encode_known(held_out)),
            Evaluated(*vocabulary.encode_known(validation)),
            keep_line_breaks=self.unit == "character",
            separate=True,
        )
        return corpora[0], texts


def zaremba(
    hidden_size: int,
    init_scale: float,
    dropout: float,
    num_steps: int,
    epochs: int,
    decay: float,
    decay_after: int,
    max_grad_norm: float,
) -> Settings:
    """Make the settings of a network of 2014, whose norm is for a loss summed over steps."""
    model = jaxrnn.ModelConfig(
        cell="lstm",
        num_layers=2,
        hidden_size=hidden_size,
        embedding_size=hidden_size,
        init="uniform",
        init_scale=init_scale,
        dropout=dropout,
    )
    training = jaxrnn.TrainConfig(
        windows="sequential",
        batch_size=20,
        num_steps=num_steps,
        epochs=epochs,
        learning_rate=1.0 * num_steps,
        decay=decay,
        decay_after=decay_after,
        max_grad_norm=max_grad_norm / num_steps,
    )
    return Settings(model, training)


AWD = Settings(
    jaxrnn.ModelConfig(
        cell="lstm",
        num_layers=3,
        hidden_size=1150,
        embedding_size=400,
        tie_embeddings=True,
        init="uniform",
        dropout=0.25,
        input_dropout=0.4,
        output_dropout=0.4,
        variational_dropout=True,
        embedding_dropout=0.1,
        weight_drop=0.5,
    ),
    jaxrnn.TrainConfig(
        windows="sequential",
        random_lengths=True,
        batch_size=40,
        num_steps=70,
        epochs=750,
        learning_rate=30.0,
        max_grad_norm=0.25,
        weight_decay=1.2e-6,
        activation_penalty=2.0,
        temporal_penalty=1.0,
        average=1.0,
        average_after=100,
    ),
)
REGULARIZED = Settings(
    replace(
        AWD.model,
        num_layers=2,
        hidden_size=200,
        embedding_size=200,
        forget_gate_bias=1.0,
        dropout=0.2,
        input_dropout=0.2,
        output_dropout=0.3,
        embedding_dropout=0.05,
        weight_drop=0.2,
    ),
    replace(
        AWD.training,
        batch_size=20,
        num_steps=35,
        epochs=40,
        optimizer="adamw",
        learning_rate=0.003,
        schedule="cosine",
        warmup_steps=500,
        weight_decay=0.01,
        average=0.999,
        average_after=0,
    ),
)
CHARACTERS = Settings(
    replace(shakespeare.MODEL, dropout=0.2, input_dropout=0.0, weight_drop=0.2),
    replace(shakespeare.TRAINING, epochs=6, weight_decay=0.01, average=0.999),
    corpus="ptb_train_characters",
    unit="character",
    prompts=("the company said", "in new york"),
    sample_length=200,
    methods=Methods(kneser_ney=8),
)
PRESETS = {
    "small": zaremba(200, 0.1, 0.0, 20, 13, 1 / 2, 4, 5.0),
    "regularized": REGULARIZED,
    "characters": CHARACTERS,
    "medium": zaremba(650, 0.05, 0.5, 35, 39, 1 / 1.2, 6, 5.0),
    "large": zaremba(1500, 0.04, 0.65, 35, 55, 1 / 1.15, 14, 10.0),
    "awd": AWD,
}
PRESETS = {name: replace(each, out=each.out / name) for name, each in PRESETS.items()}


def ptb(settings: Settings) -> int:
    """Train, judge by the test set, and return the exit code."""
    if code := train(settings):
        return code
    judge_run(settings, settings.methods)
    return 0


if __name__ == "__main__":
    command_line.main(ptb, Settings, presets=PRESETS, description=__doc__)
