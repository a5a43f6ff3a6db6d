"""Regular languages: trained on up to 40 symbols, judged on 41 to 500.

    python -m experiments.museum parity-lstm            seconds to minutes a seed

Published accuracies beyond the trained length (Delétang et al. 2023, arXiv:2207.02098, table 2; not
read again): parity RNN 100, LSTM 100, Transformer 52.0; cycle navigation 100, 100, 61.9; modular
arithmetic 100, 100, 24.2; even pairs 100, 100, 96.4.  There the label is that of the whole
sequence; here every prefix has one.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import optax

import jaxrnn
from experiments.museum.row import Outcome, Row, curve
from experiments.museum.streams import train_on
from experiments.museum.transformer import transformer
from jaxrnn import losses
from jaxrnn.layers import Layer
from jaxrnn.typing import HostArray

LEARNT, JUDGED, BATCH_SIZE = 40, 500, 128
STAGES = ((8, 0.3), (LEARNT, 0.7))
"""(symbols, share of the training): short ones first, or a tanh RNN may learn nothing."""

Draw = Callable[[np.random.Generator, tuple[int, int]], HostArray]


class Language(NamedTuple):
    """A task: symbols in, and the answer for every prefix."""

    title: str
    published: str
    num_symbols: int
    num_answers: int
    draw: Draw
    """(random numbers, (T, B)) -> symbols `[T, B]`"""
    answers: Callable[[HostArray], HostArray]
    """symbols `[T, B]` -> answers `[T, B]`"""
    num_steps: int
    """Steps of training."""


def uniform(num_symbols: int) -> Draw:
    """Return how to draw independent symbols."""
    return lambda rng, shape: rng.integers(0, num_symbols, shape)


def expressions(rng: np.random.Generator, shape: tuple[int, int]) -> HostArray:
    """Draw sums, differences and products of digits 0 to 4: symbols 5 to 7 are + - *."""
    odd = np.arange(shape[0])[:, None] % 2 == 1
    return np.where(odd, rng.integers(5, 8, shape), rng.integers(0, 5, shape))


def values(symbols: HostArray) -> HostArray:
    """Return the value modulo 5 of the expression up to each digit, products first.

    After an operator the value is that of the expression before it.
    """
    total, term = np.zeros(symbols.shape[1], int), symbols[0]
    found = [(total + term) % 5]
    for operator, digit in zip(symbols[1::2], symbols[2::2], strict=False):
        found.append(found[-1])
        total = np.where(operator == 7, total, total + term)
        term = np.where(operator == 7, term * digit, np.where(operator == 6, -digit, digit)) % 5
        found.append((total + term) % 5)
    if len(symbols) % 2 == 0:
        found.append(found[-1])
    return np.stack(found)


def net_steps(symbols: HostArray) -> HostArray:
    """Return the place on a cycle of five after staying, going on and going back."""
    return np.cumsum(np.array([0, 1, -1])[symbols], axis=0) % 5


LANGUAGES = {
    "parity": Language(
        "parity: is the number of ones odd", "RNN 1.0, LSTM 1.0, Transformer 0.52", 2, 2,
        uniform(2), lambda symbols: np.cumsum(symbols, axis=0) % 2, 2_000,
    ),
    "even-pairs": Language(
        "even pairs: do the first and the last symbol agree",
        "RNN 1.0, LSTM 1.0, Transformer 0.964", 2, 2,
        uniform(2), lambda symbols: (symbols == symbols[:1]).astype(int), 1_000,
    ),
    "cycle": Language(
        "cycle navigation: where on a cycle of five", "RNN 1.0, LSTM 1.0, Transformer 0.619", 3, 5,
        uniform(3), net_steps, 6_000,
    ),
    "modular": Language(
        "modular arithmetic: the value of 3 + 2 * 4 - ... modulo 5",
        "RNN 1.0, LSTM 1.0, Transformer 0.242", 8, 5, expressions, values, 12_000,
    ),
}  # fmt: skip


def run(language: Language, title: str, model: Layer, rate: float, seed: int) -> Outcome:
    """Return the accuracy over prefixes of 41 to 500 symbols, and that of each length."""

    def draw(length: int, rng: np.random.Generator) -> jaxrnn.Batch:
        symbols = language.draw(rng, (length, BATCH_SIZE))
        return jaxrnn.Batch(symbols.astype(np.int32), language.answers(symbols).astype(np.int32))

    params = None
    for length, share in STAGES:
        num_steps = int(share * language.num_steps)
        schedule = optax.cosine_decay_schedule(rate, num_steps)
        optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
        params = train_on(
            model, optimizer, losses.cross_entropy, functools.partial(draw, length), num_steps,
            language.num_symbols, seed, params,
        ).params  # fmt: skip
    symbols = language.draw(np.random.default_rng(10**6 + seed), (JUDGED, 256))
    logits: Any = jaxrnn.predict(model, params, symbols.astype(np.int32), batch_size=64)
    right = logits.argmax(axis=-1) == language.answers(symbols)
    by_length = right.mean(axis=1)
    return Outcome(float(right[LEARNT:].mean()), {title: curve(by_length)})


def network(cell: Any, language: Language) -> Layer:
    """Return a layer of 64 units, and a head."""
    return jaxrnn.stack([jaxrnn.recurrent(cell), jaxrnn.linear(language.num_answers)])


CELLS = {"rnn": jaxrnn.rnn(64), "gru": jaxrnn.gru(64), "lstm": jaxrnn.lstm(64)}
REASON = "the paper trains for a million steps †"
AXES = ("symbols (learnt: up to 40)", "accuracy")
BARS = {"parity": 1.0, "even-pairs": 1.0, "cycle": 0.99, "modular": 0.9}


def _row(name: str, cell: str) -> Row:
    language, rate = LANGUAGES[name], 2e-3 if cell == "rnn" else 5e-3
    return Row(
        f"{name}-{cell}",
        language.title,
        "accuracy, 41 to 500 symbols",
        f"{language.published} † (Delétang 2023)",
        bar=BARS[name],
        higher_is_better=True,
        recipe=f"{cell.upper()} 64, {language.num_steps:,} steps of {BATCH_SIZE}, Adam {rate}",
        reason=REASON if cell == "rnn" else "",
        seeds=(0,) if cell == "rnn" and name in ("cycle", "modular") else (0, 1, 2),
        run=functools.partial(run, language, cell.upper(), network(CELLS[cell], language), rate),
        picture=name,
        axes=AXES,
    )


def _transformer_row(name: str) -> Row:
    language = LANGUAGES[name]
    language = language._replace(num_steps=min(2_000, language.num_steps))  # it takes minutes
    network = transformer(language.num_symbols, language.num_answers)
    return Row(
        f"{name}-transformer",
        language.title,
        "accuracy, 41 to 500 symbols",
        f"{language.published} † (Delétang 2023)",
        bar=None,
        higher_is_better=True,
        recipe=f"2 layers of 4 heads, 64 units, {language.num_steps:,} steps of {BATCH_SIZE}",
        run=functools.partial(run, language, "Transformer", network, 1e-3),
        picture=name,
        axes=AXES,
        seeds=(0,),
    )


NETWORKS = {
    "parity": CELLS,
    "even-pairs": CELLS,
    "cycle": ("rnn", "lstm"),
    "modular": ("rnn", "lstm"),
}
ROWS = tuple(
    row
    for name, cells in NETWORKS.items()
    for row in (*(_row(name, cell) for cell in cells), _transformer_row(name))
)
