"""The value of the hidden state: perplexity against how much of the past a network sees.

    python -m experiments.no_hidden_state

Networks learn the characters of nine tenths of The Time Machine.  One has no hidden state: it
restarts at every character, which makes it a perceptron of one character and at best a table of
pairs.  RNN, GRU and LSTM keep their state.  They are evaluated on the last tenth with a past of
1, 2, 4, ... characters.  Draws perplexity against that context, compared to counts of n-grams with
the same context (Kneser-Ney).  Expect 10 without hidden state, as counting pairs gives, and near 5
with it; on so short a text counting does better.  Two minutes on two CPU cores.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn
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
from jaxrnn.text.ngrams import KneserNey
from jaxrnn.typing import Params

CONTEXTS = (1, 2, 4, 8, 16, 32, 64, 128)
CELLS = ("rnn", "gru", "lstm")
AT_ONCE = 1024
"""Contexts per batch; all of them at once might not fit in memory."""


@dataclass(frozen=True)
class Settings:
    """Settings of the text and the networks."""

    corpus: str = "time_machine"
    """Corpus by name, or the path of a file."""
    max_chars: int = 153_522
    """Characters to train on."""
    held_out_chars: int = 17_058
    """Characters after those, to evaluate on."""
    hidden_size: int = 128
    """Units of each network."""
    epochs: int = 20
    """Passes over the text with Adam."""
    seed: int = 0
    """Seed of weights and windows."""
    out: Path = Path("runs/no_hidden_state")
    """Folder for the picture and numbers."""

    def __post_init__(self) -> None:
        for name in ("max_chars", "held_out_chars", "hidden_size", "epochs"):
            check_positive_integer(name, getattr(self, name))
        check_seed("seed", self.seed)


def train(settings: Settings, cell: Any, texts: Texts, num_steps: int) -> tuple[Layer, Params]:
    """Train a network on windows of `num_steps` characters, each from the initial state."""
    size = len(texts.vocabulary)
    config = jaxrnn.ModelConfig(cell=cell, hidden_size=settings.hidden_size, init="uniform")
    training = jaxrnn.TrainConfig(
        windows="random",
        num_steps=num_steps,
        batch_size=32 * 64 // num_steps,
        epochs=settings.epochs,
        optimizer="adam",
        learning_rate=0.005,
        decay=0.7,
        decay_after=max(1, settings.epochs // 2),
        max_grad_norm=1.0,
        seed=settings.seed,
    )
    model = jaxrnn.build_language_model(config, size)
    check_fits(model, size)
    optimizer = training.make_optimizer(len(texts.ids))
    key = jax.random.key(settings.seed)
    with Bar(f"{cell.upper()}, windows of {num_steps}", settings.epochs) as bar:
        state = jaxrnn.init_state(model, optimizer, size, training.batch_size, key)
        steps = jaxrnn.train(model, optimizer, training, texts.ids, state)
        *_, (state, _) = bar.follow(steps)
    return model, state.params


def perplexity_with_context(model: Layer, params: Params, texts: Texts, context: int) -> float:
    """Return the held-out perplexity given only the `context` characters before each.

    The first characters are left out, so that all contexts are compared on the same characters.
    """
    ids, known = texts.held_out.ids, texts.held_out.known
    targets = np.arange(max(CONTEXTS), len(ids))
    windows = ids[targets[None, :] + np.arange(-context, 1)[:, None]]  # [context + 1, targets]
    pieces = [windows[:, i : i + AT_ONCE] for i in range(0, len(targets), AT_ONCE)]
    nats = np.concatenate([_last_nats(model, params, jnp.asarray(piece)) for piece in pieces])
    return float(np.exp(nats[known[targets]].mean()))


@jax.jit(static_argnums=0)
def _last_nats(model: Layer, params: Params, windows: Any) -> Any:
    logits, _ = model.apply(params, windows[:-1], model.initial_carry(params, windows.shape[1]))
    log_probabilities = jax.nn.log_softmax(logits[-1])
    return -jnp.take_along_axis(log_probabilities, windows[-1][:, None], axis=1)[:, 0]


def no_hidden_state(settings: Settings) -> None:
    """Train the networks, evaluate them with every context and draw the picture."""
    pictures.make_folder(settings.out)
    text = load_corpus(settings.corpus).text
    texts = prepare_texts(text, settings.max_chars, settings.held_out_chars)
    if len(texts.held_out.ids) <= max(CONTEXTS):
        raise ValueError(
            f"held_out_chars must be above {max(CONTEXTS)}, the longest context, got"
            f" {len(texts.held_out.ids)}"
        )
    model, params = train(settings, "rnn", texts, num_steps=1)
    curves = {"no hidden state": [perplexity_with_context(model, params, texts, 1)] * len(CONTEXTS)}
    for cell in CELLS:
        model, params = train(settings, cell, texts, num_steps=64)
        name = cell.upper()
        contexts = track(f"{name}, perplexities", CONTEXTS, "context")
        curves[name] = [perplexity_with_context(model, params, texts, c) for c in contexts]
    orders = track("counts, perplexities", range(2, 9), "order")
    from_counts = {
        n - 1: KneserNey(texts.ids, n, len(texts.vocabulary)).perplexity(
            texts.held_out.ids, texts.held_out.known
        )
        for n in orders
    }
    print_head("characters seen", *map(str, CONTEXTS))
    for name, each in curves.items():
        print_row(name, *(f"{value:.2f}" for value in each))
    pairs = ", ".join(f"{context}: {value:.2f}" for context, value in from_counts.items())
    print(f"counts (Kneser-Ney), by characters seen: {pairs}")
    _draw(settings, curves, from_counts)
    numbers = {"contexts": CONTEXTS, **curves, "counts": from_counts}
    write_json(settings.out / "numbers.json", numbers)


def _draw(
    settings: Settings, curves: dict[str, list[float]], from_counts: dict[int, float]
) -> None:
    figure, (axes,) = pictures.new_figure()
    for name, each in curves.items():
        style = "--" if name == "no hidden state" else "o-"
        axes.plot(CONTEXTS, each, style, label=name, markersize=4)
    counts = zip(*from_counts.items(), strict=True)
    axes.plot(*counts, ":", color="grey", label="counts (Kneser-Ney)")
    axes.set_xscale("log", base=2)
    axes.set_xticks(CONTEXTS, [str(context) for context in CONTEXTS])
    axes.set(xlabel="characters seen", ylabel="held-out perplexity", yscale="log")
    axes.set(title="Perplexity by length of the context")
    pictures.plain_ticks(axes.yaxis)
    axes.legend()
    pictures.save(figure, settings.out / "context.png")


if __name__ == "__main__":
    command_line.main(no_hidden_state, Settings, description=__doc__)
