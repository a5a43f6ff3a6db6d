"""The distribution of words, and how well counts predict them (chapter "Language models").

    python -m experiments.language_statistics                     The Time Machine, words
    python -m experiments.language_statistics --corpus time_machine --unit character
    python -m experiments.language_statistics --corpus ptb_train  the Penn Treebank: seconds

Prints the most frequent n-grams (n = 1, 2, 3), the exponents of Zipf's law, and the perplexity of
the held-out text (for the Penn Treebank, of its test set) under the chapter's smoothing, under
Kneser-Ney smoothing, and under a recurrent network (`--run-dir`, trained on the same split).  Also
prints how often pairs that occur r times in training occur in the held-out text, compared to what
each smoothing expects.  Expect 141 for Kneser-Ney 5-grams on the Penn Treebank, as in the
literature.
"""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import jaxrnn
from experiments.shared import pictures
from experiments.shared.tables import print_head, print_row
from jaxrnn.checks import check_positive_integer
from jaxrnn.commands import command_line
from jaxrnn.commands.progress import track
from jaxrnn.runs import Use
from jaxrnn.runs.files import write_json
from jaxrnn.runs.texts import Evaluated, Texts, prepare_texts
from jaxrnn.text import Unit, load_corpus
from jaxrnn.text.ngrams import KneserNey, Laplace, NgramModel
from jaxrnn.text.statistics import NgramCounts, count_ngrams, fit_zipf

RARE = 6
"""The table of pairs has a row for each training count r below this."""


@dataclass(frozen=True)
class Settings:
    """Settings of the text, how it is split, and what to print."""

    corpus: str = "time_machine_words"
    """A corpus by name (time_machine_words, jaychou, songs, ptb_train), or the path of a file."""
    unit: Unit = "word"
    """Unit of the tokens."""
    held_out_share: float = 0.1
    """Share of the text, at its end, to hold out; the Penn Treebank has its own test set."""
    top: int = 10
    """Number of the most frequent n-grams to print."""
    run_dir: Path | None = None
    """Folder of a recurrent network's run, to compare to the counts."""
    use: Use | None = "best"
    """With --run-dir: use the newest parameters (checkpoints), those that did best on a validation
    text, or the average that --average keeps."""
    out: Path = Path("runs/language_statistics")
    """Folder for the picture and numbers."""

    def __post_init__(self) -> None:
        check_positive_integer("top", self.top)
        if not 0 < self.held_out_share < 1:
            raise ValueError(f"held_out_share must be between 0 and 1, got {self.held_out_share}")


def load_texts(settings: Settings) -> Texts:
    """Load the training and the held-out text."""
    text = load_corpus(settings.corpus).text
    if settings.corpus == "ptb_train":
        vocabulary = jaxrnn.Vocabulary.of(text, unit=settings.unit)
        held_out = Evaluated(*vocabulary.encode_known(load_corpus("ptb_test").text))
        return Texts(vocabulary, vocabulary.encode(text), held_out)
    size = len(jaxrnn.text.tokenize(text, settings.unit))
    num_held_out = int(size * settings.held_out_share)
    if num_held_out < 1:
        raise ValueError(
            f"held_out_share must leave something of {size:,} {settings.unit}s to judge, got"
            f" {settings.held_out_share}"
        )
    return prepare_texts(text, size - num_held_out, num_held_out, settings.unit)


def language_statistics(settings: Settings) -> None:
    """Print the tables, draw the picture and write the numbers."""
    pictures.make_folder(settings.out)
    texts = load_texts(settings)
    vocabulary = texts.vocabulary
    print(
        f"{settings.corpus}: {len(texts.ids):,} {vocabulary.unit}s, {len(vocabulary):,} distinct;"
        f" held out {len(texts.held_out.ids):,}, of which {texts.held_out.known.mean():.1%} known"
    )
    counts = {n: count_ngrams(texts.ids, n) for n in track("counting", (1, 2, 3), "order")}
    numbers: dict[str, Any] = {"settings": {"corpus": settings.corpus, "unit": settings.unit}}
    numbers["most_frequent"] = {n: _top(vocabulary, c, settings.top) for n, c in counts.items()}
    for n, table in numbers["most_frequent"].items():
        print(f"\nmost frequent, n = {n}: " + ", ".join(f"{g!r} {c:,}" for g, c in table))
    numbers["zipf_exponents"] = _draw_zipf(settings, counts)
    numbers["perplexities"] = _perplexities(texts, settings.run_dir, settings.use)
    numbers["rare_pairs"] = _rare_tail(texts, counts[2])
    write_json(settings.out / "numbers.json", numbers)


def _top(vocabulary: jaxrnn.Vocabulary, counts: NgramCounts, top: int) -> list[tuple[str, int]]:
    rows = zip(counts.ngrams[:top], counts.counts[:top], strict=True)
    return [(vocabulary.decode(ngram), int(count)) for ngram, count in rows]


def _draw_zipf(settings: Settings, counts: dict[int, NgramCounts]) -> dict[int, float]:
    figure, (axes,) = pictures.new_figure()
    exponents = {}
    for n, (_, falling) in counts.items():
        ranks = np.arange(1, len(falling) + 1)
        name = ("single tokens", "pairs", "triples")[n - 1]
        axes.loglog(ranks, falling, ".", markersize=3, label=name)
    for n, (_, falling) in counts.items():  # drawn over all points, in the legend's second column
        fit, ends = fit_zipf(falling), np.array([1, len(falling)])
        exponents[n] = fit.exponent
        label = f"fit: exponent {fit.exponent:.2f}"
        axes.loglog(ends, fit.at(ends), "--", color=f"C{n - 1}", linewidth=1, label=label)
    axes.set(xlabel="rank", ylabel="occurrences")
    title = f"Zipf's law: {settings.unit}s of {Path(settings.corpus).name}"
    axes.set_title(textwrap.fill(title, 60), parse_math=False)  # a file name may hold a $
    axes.set_ylim(bottom=0.7)
    axes.legend(ncols=2)
    print(
        "\nZipf's law, exponents: " + ", ".join(f"n = {n}: {e:.3f}" for n, e in exponents.items())
    )
    pictures.save(figure, settings.out / "zipf.png")
    return exponents


def _perplexities(texts: Texts, run_dir: Path | None, use: Use | None) -> dict[str, float]:
    """Print and return the perplexity of each model on the held-out text.

    Only known tokens after five known ones count.
    """
    known = texts.held_out.known
    scored = np.convolve(known, np.ones(6), "full")[: len(known)] == 6
    if not scored[1:].any():
        raise ValueError("the held-out text must have six known tokens in a row, got none")
    ids, size = texts.ids, len(texts.vocabulary)

    def counted(kind: Callable[..., NgramModel], *arguments: Any) -> Callable[[], float]:
        return lambda: kind(ids, *arguments, size).perplexity(texts.held_out.ids, scored)

    models: dict[str, Callable[[], float]] = {
        f"Laplace, epsilon {', '.join(f'{e:g}' for e in epsilons)}": counted(Laplace, epsilons)
        for epsilons in ([1.0], [1.0, 2.0], [1.0, 2.0, 3.0], [1.0, 100.0])
    }
    models |= {f"Kneser-Ney, n = {n}": counted(KneserNey, n) for n in range(1, 7)}
    if run_dir is not None:
        models[f"recurrent network of {run_dir}"] = _network(run_dir, use, texts, scored)
    found = {name: models[name]() for name in track("perplexities", models, "model")}
    print()
    print_head("model", "held-out perplexity")
    for name, perplexity in found.items():
        print_row(name, f"{perplexity:.1f}")
    return found


def _network(
    run_dir: Path, use: Use | None, texts: Texts, scored: np.ndarray
) -> Callable[[], float]:
    """Load a run's parameters, so that errors come now; return what scores them later."""
    model, params, vocabulary = jaxrnn.load_run(run_dir, use)
    if vocabulary != texts.vocabulary:
        raise ValueError(f"{run_dir} was trained on another text: its vocabulary differs")
    return lambda: float(jaxrnn.score(model, params, texts.held_out.ids, scored).perplexity)


def _rare_tail(texts: Texts, counts: NgramCounts) -> list[dict[str, float]]:
    """Count held-out pairs by their training count r, next to what each model expects."""
    ids, held_out, size = texts.ids, texts.held_out.ids, len(texts.vocabulary)
    keys = counts.ngrams[:, 0].astype(np.int64) * size + counts.ngrams[:, 1]
    order = np.argsort(keys)
    known = texts.held_out.known[:-1] & texts.held_out.known[1:]
    first, second = held_out[:-1][known], held_out[1:][known]
    held_out_keys = first.astype(np.int64) * size + second
    found = np.minimum(np.searchsorted(keys[order], held_out_keys), len(keys) - 1)
    times = np.where(keys[order][found] == held_out_keys, counts.counts[order][found], 0)
    columns = {"occur": np.bincount(np.minimum(times, RARE), minlength=RARE + 1).astype(float)}
    before = np.bincount(first, minlength=size)[counts.ngrams[:, 0]]
    models: dict[str, NgramModel] = {
        "counts alone": Laplace(ids, [0.0, 0.0], size),
        "Laplace, epsilon 1, 2": Laplace(ids, [1.0, 2.0], size),
        "Laplace, epsilon V, V": Laplace(ids, [float(size), float(size)], size),
        "Kneser-Ney": KneserNey(ids, 2, size),
    }
    for name in track("rare pairs", models, "model"):
        expected = before * models[name].probabilities(counts.ngrams.reshape(-1))[1::2]
        columns[name] = np.bincount(np.minimum(counts.counts, RARE), expected, RARE + 1)
        columns[name][0] = max(0.0, len(held_out_keys) - columns[name].sum())
    print(f"\npairs in {len(held_out_keys):,} held-out places, by occurrences in training (r)")
    print_head("r", *columns)
    rows = [
        {"r": r} | {name: float(values[r]) for name, values in columns.items()} for r in range(RARE)
    ]
    for row in rows:
        print_row(*(f"{value:,.0f}" for value in row.values()))
    return rows


if __name__ == "__main__":
    command_line.main(language_statistics, Settings, description=__doc__)
