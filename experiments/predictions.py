"""Show what a language model of characters predicts well, and what badly.

    python -m experiments.predictions runs/shakespeare/all
    python -m experiments.predictions runs/time_machine/full --prompt "the time "

Reads the held-out text of a trained run, and prints the passages that were predicted best and
worst, and samples at several temperatures.  Draws the perplexity of each letter against its place
in the word, beside that of counts (Kneser-Ney) on the same text.
"""

import itertools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import jax
import numpy as np
import tyro

import jaxrnn
from experiments.shared import pictures
from experiments.shared.tables import print_head, print_row
from jaxrnn.checks import check_number, check_positive_integer, check_seed
from jaxrnn.commands import command_line
from jaxrnn.commands.held_out import texts_of
from jaxrnn.commands.score import line_break
from jaxrnn.runs import Use
from jaxrnn.runs.files import write_json
from jaxrnn.runs.loading import newest_record
from jaxrnn.runs.settings import MAX_TO_GENERATE
from jaxrnn.text.ngrams import KneserNey
from jaxrnn.text.units import visible

PLACES = 10
"""Places in a word, from its first letter on; the last one stands for all later ones."""
SHORTEST = 20
"""The fewest characters of a passage."""
WORDS = 10
"""Words of a passage, in a text without line breaks."""


@dataclass(frozen=True)
class Settings:
    """Settings of the model and of what is shown."""

    run_dir: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    use: Use | None = None
    """Use the newest parameters (checkpoints), those that did best on the validation text, or the
    average that --average keeps; by default the average if there is one, else the newest."""
    kneser_ney: int = 7
    """Length of the longest n-grams to count."""
    temperatures: tuple[float, ...] = (0.5, 0.8, 1.0)
    """Temperatures of the samples."""
    prompt: str | None = None
    """Beginning of the samples; by default what stands between two lines."""
    length: int = 300
    """Characters of a sample."""
    passages: int = 3
    """Best and worst passages to print."""
    seed: int = 0
    """Seed of the samples."""
    out: Path = Path("runs/predictions")
    """Folder for the picture and numbers."""

    def __post_init__(self) -> None:
        check_positive_integer("kneser_ney", self.kneser_ney, 20)
        check_positive_integer("length", self.length, MAX_TO_GENERATE)
        check_positive_integer("passages", self.passages)
        check_seed("seed", self.seed)
        for temperature in self.temperatures:
            check_number("temperatures", temperature, low=0.0)


class Passage(NamedTuple):
    """A line of the held-out text, or a few words of one without lines."""

    text: str
    nats: float
    """Mean cross-entropy of a character."""


def predictions(settings: Settings) -> None:
    """Print passages and samples, and draw the perplexity by place."""
    pictures.make_folder(settings.out)
    run = jaxrnn.load_run(settings.run_dir, settings.use)
    if run.vocabulary.unit != "character":
        raise ValueError(f"the run must be of characters, got {run.vocabulary.unit}s")
    prompt = line_break(run.vocabulary) if settings.prompt is None else settings.prompt
    run.vocabulary.check_prompt(prompt)
    texts = texts_of(newest_record(settings.run_dir))
    ids, known = texts.held_out
    if not texts.held_out.is_long_enough:
        raise ValueError(f"{settings.run_dir} was trained without held-out text")
    scored = jaxrnn.score(run.model, run.params, ids, known)
    counts = KneserNey(texts.ids, settings.kneser_ney, len(texts.vocabulary))
    nats = {
        "network": -np.asarray(scored.token_log_probabilities),
        f"Kneser-Ney, n = {settings.kneser_ney}": -np.log(counts.probabilities(ids)[1:]),
    }
    text = "".join(
        texts.vocabulary.tokens[i] if k else "\N{REPLACEMENT CHARACTER}"
        for i, k in zip(ids, known, strict=True)
    )
    places = {name: _by_place(text[1:], each, known[1:]) for name, each in nats.items()}
    print_head("place in the word", *map(str, range(1, PLACES)), f"{PLACES} or later", "after it")
    for name, perplexities in places.items():
        print_row(name, *(f"{value:.2f}" for value in perplexities))
    _draw(settings, places)
    passages = sorted(
        _passages(text[1:], nats["network"], known[1:]), key=lambda passage: passage.nats
    )
    best, worst = passages[: settings.passages], passages[-settings.passages :][::-1]
    for name, chosen in (("best", best), ("worst", worst)):
        print(f"\npredicted {name}, with the perplexity of a character:")
        for passage in chosen:
            print(f"  {np.exp(passage.nats):5.2f}  {visible(passage.text)}")
    samples = {}
    for temperature in settings.temperatures:
        sampling, key = jaxrnn.Sampling(temperature), jax.random.key(settings.seed)
        (sample,) = jaxrnn.generate(*run, [prompt], settings.length, sampling=sampling, key=key)
        samples[f"{temperature:g}"] = sample
        print(f"\nat temperature {temperature:g}:\n{visible(sample)}")
    found = {"by_place": places, "best": best, "worst": worst, "samples": samples}
    write_json(settings.out / "predictions.json", found)


def _by_place(text: str, nats: np.ndarray, known: np.ndarray) -> list[float]:
    """Return the perplexity of the first, second, ... letter of a word, and of what follows it."""
    places, place = np.zeros(len(text), int), 0
    for i, character in enumerate(text):
        place = min(place + 1, PLACES) if character.isalpha() or character == "'" else 0
        places[i] = place
    after = (places == 0) & (np.append(0, places[:-1]) > 0)
    chosen = [places == place for place in range(1, PLACES + 1)] + [after]
    return [
        float(np.exp(nats[which & known].mean())) if (which & known).any() else math.nan
        for which in chosen
    ]


def _passages(text: str, nats: np.ndarray, known: np.ndarray) -> list[Passage]:
    """Cut a text into its lines, or every few words; leave out short ones, and unknown text."""
    breaks = [i for i, character in enumerate(text) if character == "\n"]
    if not breaks:
        breaks = [i for i, character in enumerate(text) if character == " "][::WORDS]
    pairs = itertools.pairwise(breaks)
    return [
        Passage(text[begin + 1 : end], float(nats[begin + 1 : end + 1].mean()))
        for begin, end in pairs
        if end - begin > SHORTEST and known[begin + 1 : end + 1].all()
    ]


def _draw(settings: Settings, places: dict[str, list[float]]) -> None:
    figure, (axes,) = pictures.new_figure()
    for (name, perplexities), style in zip(places.items(), ("o-", "s--"), strict=True):
        axes.plot(range(1, PLACES + 2), perplexities, style, label=name, markersize=4)
    labels = [*map(str, range(1, PLACES)), f"{PLACES}+", "after"]
    axes.set_xticks(range(1, PLACES + 2), labels)
    axes.set(xlabel="place of the letter in its word", ylabel="held-out perplexity", yscale="log")
    axes.set_title(f"Perplexity within words, {settings.run_dir.name}", parse_math=False)
    pictures.plain_ticks(axes.yaxis)
    axes.legend()
    pictures.save(figure, settings.out / "places.png")


if __name__ == "__main__":
    command_line.main(predictions, Settings, description=__doc__)
