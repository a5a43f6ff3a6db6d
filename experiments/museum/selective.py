"""Selective copying: sixteen symbols at random places, again and in order at the end.

    python -m experiments.museum selective-min-gru      ten minutes a seed

Sixteen symbols out of sixteen stand at random places of 256, the others are noise, and then the
symbols are asked for one after another (Gu and Dao 2023, arXiv:2312.00752, with 4,096 places).
Guessing is right one time in sixteen.  Published (Feng et al. 2024, arXiv:2410.01201, 4,096 places,
3 layers; not read again): minGRU 99.5 %, minLSTM 96.8 %.

The gates of a minimal cell do not see its state, so one layer cannot choose by what it has read
where to keep a symbol: an earlier layer has to count for it.  GRU and LSTM, whose gates see their
states, are there for comparison.
"""

import functools
from typing import Any

import jax
import numpy as np
import optax

import jaxrnn
from experiments.museum.memory import learning, reader
from experiments.museum.row import Outcome, Row
from experiments.museum.streams import longer_and_longer, train_on
from jaxrnn import losses
from jaxrnn.layers import Layer

COPIED, SYMBOLS, PLACES = 16, 16, 256
NOISE, ASK = SYMBOLS, SYMBOLS + 1
"""The inputs that are no symbols 0 to 15."""
UNITS, LAYERS, BATCH_SIZE, RATE = 128, 2, 32, 6e-3
STAGES = ((32, 0.85), (64, 0.1), (PLACES, 0.05))
"""(places, share of the training): short sequences first, because they take less time."""


def draw(rng: np.random.Generator, num_places: int) -> jaxrnn.Batch:
    """Draw symbols at random places, and where they are asked for."""
    places = rng.random((num_places, BATCH_SIZE)).argsort(axis=0)[:COPIED]
    symbols = rng.integers(0, SYMBOLS, (COPIED, BATCH_SIZE), np.int32)
    inputs = np.full((num_places + COPIED, BATCH_SIZE), NOISE, np.int32)
    inputs[np.sort(places, axis=0), np.arange(BATCH_SIZE)] = symbols
    inputs[num_places:] = ASK
    targets = np.zeros_like(inputs)
    targets[num_places:] = symbols
    return jaxrnn.Batch(inputs, targets, mask=inputs == ASK)


def network(cell: Any) -> Layer:
    """Return residual layers: a cell and a perceptron in turn, with normalised inputs."""
    norm = jaxrnn.pointwise(jax.nn.standardize)
    perceptron = (jaxrnn.linear(2 * UNITS), jaxrnn.pointwise(jax.nn.gelu), jaxrnn.linear(UNITS))
    block = (
        jaxrnn.residual(jaxrnn.stack([norm, reader(cell, PLACES)])),
        jaxrnn.residual(jaxrnn.stack([norm, *perceptron])),
    )
    return jaxrnn.stack([jaxrnn.embedding(UNITS), *LAYERS * block, norm, jaxrnn.linear(SYMBOLS)])


def run(title: str, cell: Any, num_steps: int, seed: int) -> Outcome:
    """Return the accuracy on new sequences of 256 places, and the losses of the training."""
    model = network(cell)
    schedule = optax.warmup_cosine_decay_schedule(0, RATE, num_steps // 20, num_steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule, b2=0.98))
    draw_next = longer_and_longer(draw, STAGES, num_steps)
    params, means = train_on(
        model, optimizer, losses.cross_entropy, draw_next, num_steps, SYMBOLS + 2, seed
    )
    rng = np.random.default_rng(10**6 + seed)
    batches = [draw(rng, PLACES) for _ in range(20)]
    inputs, targets, mask = (
        np.concatenate([getattr(batch, name) for batch in batches], axis=1)
        for name in ("inputs", "targets", "mask")
    )
    found = jaxrnn.evaluate(
        model, params, inputs, targets, mask=mask, metrics=[losses.accuracy], batch_size=BATCH_SIZE
    )
    return Outcome(found["accuracy"], learning(title, means, num_steps))


def _row(title: str, cell: Any, num_steps: int, bar: float | None = None) -> Row:
    return Row(
        f"selective-{cell.name.replace('_', '-')}",
        f"selective copying: {COPIED} of {PLACES} tokens",
        f"accuracy, {COPIED} symbols",
        "4,096 tokens, 3 layers: minGRU 0.995, minLSTM 0.968 † (Feng 2024)",
        bar=bar,
        higher_is_better=True,
        recipe=f"{LAYERS} layers of {UNITS}, each before a perceptron, residual, normalised; gates"
        f" that last 1 to {PLACES} steps; {num_steps:,} steps of {BATCH_SIZE}, 32 tokens first;"
        f" Adam {RATE}, cosine",
        run=functools.partial(run, title, cell, num_steps),
        picture="selective",
        axes=("steps of training", "nats a symbol"),
        seeds=(0,),
    )


ROWS = (
    _row("minGRU", jaxrnn.min_gru(UNITS), 10_000, 0.99),
    _row("minLSTM", jaxrnn.min_lstm(UNITS), 10_000, 0.99),
    _row("GRU", jaxrnn.gru(UNITS), 10_000),
    _row("LSTM", jaxrnn.lstm(UNITS), 10_000),
)
