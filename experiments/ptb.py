"""Words of the Penn Treebank, by the networks of Zaremba, Sutskever and Vinyals (arXiv:1409.2329).

    python -m experiments.ptb            small: 2 x 200 units, 13 epochs
    python -m experiments.ptb medium     2 x 650, dropout 0.5, 39 epochs: for a GPU
    python -m experiments.ptb large      2 x 1500, dropout 0.65, 55 epochs: for a GPU

Expect a test perplexity near 115 from small, after less than an hour on two CPU cores; the paper
has 114.5, 82.7 and 78.4.  The paper sums the loss over the steps of a window, while jaxrnn takes
the mean, so the learning rate is multiplied, and the clipping norm divided, by the number of steps.
Test and validation perplexity are those of the parameters that did best on the validation set.
Ctrl-C saves, --resume continues.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import jaxrnn
from jaxrnn.commands import command_line
from jaxrnn.commands.progress import track
from jaxrnn.commands.train import Flags, train
from jaxrnn.fine_tuning import vocabulary_for
from jaxrnn.runs import Record
from jaxrnn.runs.summary import read_summary, write_summary
from jaxrnn.runs.texts import Evaluated, Texts, own_vocabulary
from jaxrnn.text import Corpus, Unit, load_corpus
from jaxrnn.training.processes import is_first, wait_for_all


@dataclass(frozen=True)
class Settings(Flags):
    """Settings of a network on the Penn Treebank."""

    corpus: str = "ptb_train"
    """The training set; the model is evaluated on ptb_valid and ptb_test."""
    unit: Unit = "word"
    """Unit of the tokens."""
    prompts: tuple[str, ...] = ("the company said", "<eos> in new york")
    """Prompts of the samples."""
    sample_every: int = 1
    """Epochs between two reports with samples."""
    out: Path = Path("runs/ptb")
    """Folder of the run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("validation_chars", "held_out_chars"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name} must be at least 2, got {getattr(self, name)}")

    def load(self, previous: Record | None = None) -> tuple[Corpus, Texts]:
        """Load the training set, or its beginning, and the validation set."""
        corpus = load_corpus(self.corpus, encoding=self.encoding)
        words = " ".join(corpus.text.split()[: self.max_chars])
        vocabulary = self.vocabulary_of(previous) or own_vocabulary(
            words, self.unit, self.max_vocabulary
        )
        if self.from_run is not None:
            vocabulary = vocabulary_for(vocabulary, words, self.new_tokens)
        validation, held_out = (
            Evaluated(*vocabulary.encode_known(" ".join(load_corpus(name).text.split()[:most])))
            for name, most in (
                ("ptb_valid", self.validation_chars),
                ("ptb_test", self.held_out_chars),
            )
        )
        return corpus, Texts(vocabulary, vocabulary.encode(words), held_out, validation)


def preset(
    hidden_size: int,
    init_scale: float,
    dropout: float,
    num_steps: int,
    epochs: int,
    decay: float,
    decay_after: int,
    max_grad_norm: float,
) -> Settings:
    """Make the settings of a network of the paper, whose norm is for a loss summed over steps."""
    return Settings(
        jaxrnn.ModelConfig(
            cell="lstm",
            num_layers=2,
            hidden_size=hidden_size,
            embedding_size=hidden_size,
            init="uniform",
            init_scale=init_scale,
            dropout=dropout,
        ),
        jaxrnn.TrainConfig(
            windows="sequential",
            batch_size=20,
            num_steps=num_steps,
            epochs=epochs,
            learning_rate=1.0 * num_steps,
            decay=decay,
            decay_after=decay_after,
            max_grad_norm=max_grad_norm / num_steps,
        ),
        max_chars=1_000_000,
        validation_chars=1_000_000,
        held_out_chars=1_000_000,
    )


PRESETS = {
    "small": preset(200, 0.1, 0.0, 20, 13, 1 / 2, 4, 5.0),
    "medium": preset(650, 0.05, 0.5, 35, 39, 1 / 1.2, 6, 5.0),
    "large": preset(1500, 0.04, 0.65, 35, 55, 1 / 1.15, 14, 10.0),
}
PRESETS = {name: replace(each, out=each.out / name) for name, each in PRESETS.items()}


def ptb(settings: Settings) -> int:
    """Train, score the validation and the test set, and return the exit code."""
    if code := train(settings):
        return code
    model, params, vocabulary = jaxrnn.load_run(settings.out, "best")
    perplexities = {}
    for part in track("scoring", ("valid", "test"), "text", enabled=is_first()):
        ids, known = vocabulary.encode_known(load_corpus(f"ptb_{part}").text)
        perplexities[part] = float(jaxrnn.score(model, params, ids, known).perplexity)
    if is_first():
        summary = read_summary(settings.out)
        judged = {f"{part}_perplexity": p for part, p in perplexities.items()}
        write_summary(settings.out, summary | judged)
    wait_for_all("the summary is written")
    print(
        f"best parameters: validation perplexity {perplexities['valid']:.2f}, test perplexity"
        f" {perplexities['test']:.2f}"
    )
    return 0


if __name__ == "__main__":
    command_line.main(ptb, Settings, presets=PRESETS, description=__doc__)
