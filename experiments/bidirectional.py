"""Bidirectional networks: the book's leaky language model, and what they are good for.

    python -m experiments.bidirectional            both parts: fifteen minutes on two CPU cores
    python -m experiments.bidirectional --part leak | blanks

Leak: a bidirectional LSTM of two layers as a language model of The Time Machine, which the book
warns against.  It sees the character it is to predict, so its training perplexity is near 1, and
its text is useless, because generation has no future to see.  Blanks: the right use.  A GRU in each
direction predicts a character from those before and after it, without seeing the blank itself.  It
is compared to a GRU that reads only forward, and to one as large as both directions together.
Prints accuracies on held-out places for three seeds, the candidates for the book's blanks (我___,
我___饿了 and 我___饿了，我可以吃半头猪), and what the second direction costs.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn
from experiments.blanks import BLANK, TOP, Filler, candidates, learn_to_fill
from experiments.shared import pictures
from experiments.shared.memory import check_fits
from experiments.shared.tables import print_head, print_row
from jaxrnn.checks import check_positive_integer, check_seed
from jaxrnn.commands import command_line
from jaxrnn.commands.progress import Bar, track
from jaxrnn.layers import Layer
from jaxrnn.runs.files import write_json
from jaxrnn.runs.texts import Texts, prepare_texts
from jaxrnn.text import load_corpus
from jaxrnn.text.sources import BUNDLED
from jaxrnn.typing import Params

SENTENCES = ("我_", "我_饿了", "我_饿了，我可以吃半头猪")
"""The book's sentences; characters that are not in the vocabulary are left out."""
ROUNDS = 5
"""Rounds of timing training steps."""


@dataclass(frozen=True)
class Settings:
    """Settings of the parts, the networks and their training."""

    part: Literal["both", "leak", "blanks"] = "both"
    """The leaky language model, the blanks, or both."""
    leak_epochs: int = 500
    """Passes of the language model over its 10,000 characters."""
    leak_hidden_size: int = 256
    """Units of each of its layers and directions."""
    corpus: str = "jaychou"
    """Corpus with the blanks; if jaychou is not available, the bundled songs replace it."""
    epochs: int = 20
    """Passes over that corpus."""
    hidden_size: int = 128
    """Units of each direction."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the networks for blanks; the first is also the language model's."""
    out: Path = Path("runs/bidirectional")
    """Folder for the picture and numbers."""

    def __post_init__(self) -> None:
        for name in ("leak_epochs", "leak_hidden_size", "epochs", "hidden_size"):
            check_positive_integer(name, getattr(self, name))
        if not self.seeds:
            raise ValueError("seeds must hold at least one, got none")
        for seed in self.seeds:
            check_seed("seeds", seed)


def leak(settings: Settings) -> dict[str, Any]:
    """Do the book's run: rate 1, clipped to 1, PyTorch's initialisation."""
    texts = prepare_texts(load_corpus("time_machine").text, 10_000, 0)
    size, seed = len(texts.vocabulary), settings.seeds[0]
    both_ways = jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.lstm(settings.leak_hidden_size)))
    model = jaxrnn.language_model(size, jaxrnn.stack([both_ways, both_ways]), allow_future=True)
    check_fits(model, size)
    training = jaxrnn.TrainConfig(
        windows="random",
        random_offset=True,
        epochs=settings.leak_epochs,
        learning_rate=1.0,
        max_grad_norm=1.0,
        seed=seed,
    )
    optimizer = training.make_optimizer()
    with Bar("leaky language model", training.epochs) as bar:
        state = jaxrnn.init_state(model, optimizer, size, training.batch_size, jax.random.key(seed))
        steps = jaxrnn.train(model, optimizer, training, texts.ids, state)
        *_, (state, progress) = bar.follow(steps)
    found = progress.perplexity
    text = _generate_blindly(model, state.params, texts, "time traveller", 50)
    print(f"leaky language model: training perplexity {found:.3f}, and it writes\n  - {text}")
    return {"training_perplexity": found, "text": text}


def _generate_blindly(model: Layer, params: Params, texts: Texts, prompt: str, length: int) -> str:
    """Generate without a future to read, which makes no sense and `jaxrnn.generate` refuses."""
    ids = list(texts.vocabulary.encode(prompt))
    predict = jax.jit(
        lambda ids: model.apply(params, ids, model.initial_carry(params, 1))[0][-1, 0]
    )
    window = len(ids)  # always the same length, so that it compiles once
    for _ in range(length):
        logits = predict(jnp.asarray(ids[-window:])[:, None])
        ids.append(int(logits.argmax()))
    return texts.vocabulary.decode(ids)


def blanks(settings: Settings) -> dict[str, Any]:
    """Train all networks on the same lines, for each seed, and print how well they fill blanks."""
    fallback = BUNDLED if settings.corpus == "jaychou" else None
    corpus = load_corpus(settings.corpus, fallback=fallback)
    texts = prepare_texts(corpus.text, len(corpus.text), len(corpus.text) // 10)
    print(f"blanks in {corpus.name}: {corpus.source}; {len(texts.held_out.ids):,} held-out places")
    kinds: dict[str, dict[str, Any]] = {
        "forward only": {"both": False, "hidden_size": settings.hidden_size},
        "forward only, twice as wide": {"both": False, "hidden_size": 2 * settings.hidden_size},
        "both directions": {"both": True, "hidden_size": settings.hidden_size},
    }

    def learn(name: str, seed: int) -> Filler:
        with Bar(f"{name}, seed {seed}", settings.epochs) as bar:
            return learn_to_fill(texts, settings.epochs, seed, bar, **kinds[name])

    fillers = {name: [learn(name, seed) for seed in settings.seeds] for name in kinds}
    # Interleaved, so that other load on the machine affects all of them alike.
    rounds = [
        [each[0].time_step() for each in fillers.values()]
        for _ in track("timing a step", range(ROUNDS), "round")
    ]
    costs = np.median(rounds, axis=0)
    found: dict[str, Any] = {}
    print_head("network", "parameters", "right, by seed", f"among {TOP}", "time of a step")
    for (name, each), cost in zip(fillers.items(), costs, strict=True):
        found[name] = {
            "parameters": sum(leaf.size for leaf in jax.tree.leaves(each[0].params)),
            "accuracy": [filler.accuracy for filler in each],
            "top_accuracy": [filler.top_accuracy for filler in each],
            "relative_time": float(cost / costs[0]),
            "candidates": {s: candidates(each[0], texts.vocabulary, s) for s in SENTENCES},
        }
        right, among = (
            ", ".join(f"{share:.1%}" for share in found[name][key])
            for key in ("accuracy", "top_accuracy")
        )
        time = f"{found[name]['relative_time']:.2f}"
        print_row(name, f"{found[name]['parameters']:,}", right, among, time)
    for sentence in SENTENCES:
        print(f"{sentence.replace(BLANK, '___')}")
        for name, numbers in found.items():
            print(f"    {name}: {numbers['candidates'][sentence]}")
    return found


def bidirectional(settings: Settings) -> None:
    """Run the chosen parts and save their numbers."""
    pictures.make_folder(settings.out)
    numbers: dict[str, Any] = {}
    if settings.part != "blanks":
        numbers["leak"] = leak(settings)
    if settings.part != "leak":
        numbers["blanks"] = blanks(settings)
        _draw(settings, numbers["blanks"])
    write_json(settings.out / "numbers.json", numbers)


def _draw(settings: Settings, found: dict[str, Any]) -> None:
    figure, (axes,) = pictures.new_figure(height=3.4)
    for place, numbers in enumerate(found.values()):
        for key, offset, color in (("top_accuracy", 0.2, "C0"), ("accuracy", -0.2, "C1")):
            label = f"among {TOP}" if key == "top_accuracy" else "right"
            values = 100 * np.array(numbers[key])
            axes.barh(place + offset, np.median(values), 0.38, color=color, alpha=0.6,
                      label=label if place == 0 else None)  # fmt: skip
            axes.plot(values, [place + offset] * len(values), "k.", markersize=4,
                      label="one seed" if place == 0 and key == "accuracy" else None)  # fmt: skip
    axes.set_yticks(range(len(found)), list(found))
    title = "我___饿了: filling blanks" if pictures.has_chinese_font() else "Filling blanks"
    axes.set(xlabel="held-out blanks filled, %", title=title)
    pictures.legend_below(axes, 3)
    pictures.save(figure, settings.out / "blanks.png")


if __name__ == "__main__":
    command_line.main(bidirectional, Settings, description=__doc__)
