"""Counting: as many b as a, and as many c.

    python -m experiments.museum anbn                   a minute a seed

An LSTM predicts the next symbol of a^n b^n (and a^n b^n c^n), trained with n up to 50.  From the
first b on everything is determined.  The number is the largest n up to which every n is predicted
without a mistake, tried up to 1,000.  Published: right beyond 1,000 (Gers and Schmidhuber 2001;
Weiss, Goldberg and Yahav 2018, arXiv:1805.04908; not read again).
"""

import functools

import numpy as np
import optax

import jaxrnn
from experiments.museum.row import Row
from experiments.museum.streams import train_on
from jaxrnn import losses
from jaxrnn.layers import Layer
from jaxrnn.typing import HostArray, Params

LEARNT, TRIED, BATCH_SIZE, NUM_STEPS = 50, 1_000, 64, 6_000


def strings(numbers: HostArray, num_letters: int) -> jaxrnn.Batch:
    """Return a^n b^n ..., with the next symbols as targets, and the end as the last of them.

    The mask leaves out the letters a, whose number nobody can know.
    """
    num_steps = num_letters * numbers.max()
    time = np.arange(num_steps + 1)[:, None]
    symbols = np.minimum(time // numbers, num_letters)  # `num_letters` is the end
    inside = (time[:-1] >= numbers) & (time[:-1] < num_letters * numbers)
    lengths = (num_letters * numbers).astype(np.int32)
    inputs, targets = symbols[:-1].astype(np.int32), symbols[1:].astype(np.int32)
    return jaxrnn.Batch(inputs, targets, inside, lengths=lengths)


def largest(model: Layer, params: Params, num_letters: int) -> int:
    """Return the largest n up to which no n is predicted with a mistake."""
    for first in range(1, TRIED + 1, 100):
        numbers = np.arange(first, first + 100)
        batch = strings(numbers, num_letters)
        logits = jaxrnn.predict(model, params, np.asarray(batch.inputs), batch_size=100)
        wrong = (logits.argmax(axis=-1) != batch.targets) & np.asarray(batch.mask)
        if wrong.any():
            return int(numbers[wrong.any(axis=0).argmax()]) - 1
    return TRIED


def run(num_letters: int, seed: int) -> float:
    """Return the largest n up to which every string is right."""
    model = jaxrnn.stack([jaxrnn.recurrent(jaxrnn.lstm(16)), jaxrnn.linear(num_letters + 1)])

    def draw(rng: np.random.Generator) -> jaxrnn.Batch:
        numbers = rng.integers(1, LEARNT + 1, BATCH_SIZE)
        numbers[0] = LEARNT  # all batches have one shape
        return strings(numbers, num_letters)

    schedule = optax.cosine_decay_schedule(1e-2, NUM_STEPS)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    params = train_on(
        model, optimizer, losses.cross_entropy, draw, NUM_STEPS, num_letters + 1, seed
    )
    return float(largest(model, params, num_letters))


def _row(name: str, title: str, num_letters: int) -> Row:
    return Row(
        name,
        f"counting: {title}, trained to n = {LEARNT}",
        f"largest n without a mistake, up to {TRIED:,}",
        "LSTM beyond 1,000 † (Gers 2001; Weiss 2018)",
        bar=1_000,
        higher_is_better=True,
        recipe=f"LSTM 16, {NUM_STEPS:,} steps of {BATCH_SIZE}, Adam, cosine",
        run=functools.partial(run, num_letters),
    )


ROWS = (_row("anbn", "a^n b^n", 2), _row("anbncn", "a^n b^n c^n", 3))
