"""Print how probable texts are under a trained model, the book's motive for language models.

    jaxrnn score runs/jaychou 你先走 你走先
    jaxrnn score runs/jaychou --shuffle-test
    jaxrnn score runs/mine --held-out --use best --kneser-ney 7 --dynamic

Prints the texts, the most probable first, with their log-probability and perplexity.  Each is
scored as a line of the corpus, after a line break.  `--shuffle-test` takes the lines that were held
out from training, and counts how often a line is more probable than the same characters shuffled.
`--held-out` scores the text that was held out as a whole, also by a network that goes on learning
(`--dynamic`), or mixed with counts (`--kneser-ney`).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, NamedTuple, NoReturn

import jax
import numpy as np
import tyro

import jaxrnn
from jaxrnn.checks import check_positive_integer, check_seed
from jaxrnn.commands import command_line
from jaxrnn.commands.held_out import Methods, another_file, judge, texts_of
from jaxrnn.layers import Layer
from jaxrnn.losses import perplexity
from jaxrnn.runs import Record, Use
from jaxrnn.runs.loading import newest_record
from jaxrnn.text.sources import BUNDLED
from jaxrnn.typing import Params

MAX_SHUFFLES = 1000
"""Limited, as all shuffled copies of all lines are scored at once."""


@dataclass(frozen=True)
class Settings:
    """The flags of `jaxrnn score`."""

    run_dir: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    texts: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Texts to rank."""
    use: Use | None = None
    """Use the newest parameters (checkpoints), those that did best on the validation text, or the
    average that --average keeps; by default the average if there is one, else the newest."""
    held_out: bool = False
    """Score the held-out text of the run."""
    methods: Methods = field(default_factory=Methods)
    shuffle_test: bool = False
    """Compare each held-out line with its characters shuffled, under this model and under an
    untrained one."""
    shuffles: int = 10
    """Shuffled copies of each line in the shuffle test."""
    seed: int = 0
    """Seed of the shuffles and of the untrained model."""


def score(settings: Settings) -> None:
    """Rank the texts, judge the held-out text, or run the shuffle test."""
    check_seed("seed", settings.seed)
    check_positive_integer("shuffles", settings.shuffles, MAX_SHUFFLES)
    if bool(settings.texts) + settings.shuffle_test + settings.held_out != 1:
        raise ValueError("give texts to rank, or --held-out, or --shuffle-test")
    if settings.methods != Methods() and not settings.held_out:
        raise ValueError("--kneser-ney and --dynamic need --held-out")
    model, params, vocabulary = jaxrnn.load_run(settings.run_dir, settings.use)
    if settings.shuffle_test:
        _print_shuffle_test(settings, model, params, vocabulary)
        return
    if settings.held_out:
        texts = texts_of(newest_record(settings.run_dir))
        known = texts.held_out.known
        for i, judged in enumerate(judge(model, params, texts, settings.methods)):
            if i == 0:
                print(f"held-out text: {len(known):,} {vocabulary.unit}s, {known.mean():.1%} known")
            print(judged.in_words(), flush=True)
        return
    for text in settings.texts:
        if not text:
            raise ValueError("texts must hold at least one character each, got an empty one")
        vocabulary.check_known(line_break(vocabulary) + text)
        if num_predicted(vocabulary, text) < 1:
            raise ValueError(
                f"texts must hold two {vocabulary.unit}s at least, got {text!r}: without a token"
                " for line breaks, nothing predicts the first one"
            )
    log_probabilities = score_lines(model, params, vocabulary, settings.texts)
    if np.isnan(log_probabilities).any():
        raise ValueError(f"the model in {settings.run_dir} gives NaN probabilities")
    for place in np.argsort(-log_probabilities):
        text, nats = settings.texts[place], -float(log_probabilities[place])
        each = perplexity(nats / num_predicted(vocabulary, text))
        print(f"{text}  log-probability {-nats:.2f}, perplexity {each:.1f}")


def line_break(vocabulary: jaxrnn.Vocabulary) -> str:
    """Return the text between two lines: <eos> in the Penn Treebank, else a newline or a space.

    It is empty if the training text has neither.
    """
    if "<eos>" in vocabulary:
        return "<eos> "
    if vocabulary.unit == "word":
        return " "
    # A vocabulary of bytes has all of them, whether they occur or not.
    counts = dict(zip(vocabulary.tokens, vocabulary.counts, strict=True))
    return next((token for token in "\n " if counts.get(token)), "")


def num_predicted(vocabulary: jaxrnn.Vocabulary, line: str) -> int:
    """Return how many tokens of a line are predicted: all, if the text between lines is a token."""
    return len(vocabulary.encode(line_break(vocabulary) + line)) - 1


def score_lines(
    model: Layer, params: Params, vocabulary: jaxrnn.Vocabulary, lines: tuple[str, ...]
) -> np.ndarray:
    """Return the log-probability of each line after a line break, without unknown tokens."""
    encoded = [vocabulary.encode_known(line_break(vocabulary) + line) for line in lines]
    (ids, _), (known, _) = (jaxrnn.pad(rows) for rows in zip(*encoded, strict=True))
    return np.asarray(jaxrnn.score(model, params, ids, known).log_probability)


class ShuffleTest(NamedTuple):
    """The outcome of `compare_with_shuffled`."""

    wins: int
    """Pairs of a line and a shuffled copy in which the line is more probable."""
    pairs: int
    """All pairs."""


def compare_with_shuffled(
    model: Layer,
    params: Params,
    vocabulary: jaxrnn.Vocabulary,
    lines: list[str],
    shuffles: int,
    seed: int,
) -> ShuffleTest:
    """Count how often a line is more probable than its characters in another order."""
    generator = np.random.default_rng(seed)
    copies = []
    for line in lines:
        for _ in range(shuffles):
            shuffled = line
            while shuffled == line:
                shuffled = "".join(generator.permutation(list(line)))
            copies.append(shuffled)
    scores = score_lines(model, params, vocabulary, (*lines, *copies))
    originals, others = scores[: len(lines)], scores[len(lines) :].reshape(-1, shuffles)
    return ShuffleTest(int((originals[:, None] > others).sum()), others.size)


def held_out_lines(record: Record, vocabulary: jaxrnn.Vocabulary) -> list[str]:
    """Return the complete held-out lines that have at least two different characters.

    Characters that are not in the vocabulary are removed, so both orders consist of the same ones.
    """
    if record.text.separate:
        raise another_file(record.text.corpus)
    corpus = jaxrnn.load_corpus(record.text.corpus, fallback=BUNDLED, encoding=record.text.encoding)
    if corpus.digest != record.text.digest:
        raise ValueError(
            f"corpus {record.text.corpus} must have the run's SHA-256, {record.text.digest}, got"
            f" {corpus.digest}"
        )
    begin = record.text.max_chars + record.text.validation_chars
    text = corpus.text[begin : begin + record.text.held_out_chars]
    lines = ["".join(c for c in line if c in vocabulary) for line in text.splitlines()[1:-1]]
    return [line for line in lines if len(set(line)) > 1]


def _print_shuffle_test(
    settings: Settings, model: Layer, params: Params, vocabulary: jaxrnn.Vocabulary
) -> None:
    record = newest_record(settings.run_dir)
    if vocabulary.unit != "character":
        raise ValueError(
            f"the shuffle test needs a run on characters, and this one is on {vocabulary.unit}s"
        )
    lines = held_out_lines(record, vocabulary)
    if not lines:
        raise ValueError(f"{settings.run_dir} was trained without held-out lines")
    untrained = model.init(jax.random.key(settings.seed), len(vocabulary))
    for name, weights in (("trained", params), ("untrained", untrained)):
        wins, pairs = compare_with_shuffled(
            model, weights, vocabulary, lines, settings.shuffles, settings.seed
        )
        print(
            f"{name} model: {wins / pairs:.1%} of {len(lines)} held-out lines x"
            f" {settings.shuffles} shuffles favour the line over its shuffle"
        )


def main() -> NoReturn:
    """Run the command line."""
    command_line.main(score, Settings, description=__doc__)


if __name__ == "__main__":
    main()
