"""Counting: as many b as a, and as many c.

    python -m experiments.museum anbn                   a minute a seed

An LSTM predicts the next symbol of a^n b^n (and a^n b^n c^n), trained with n up to 50.  From the
first b on everything is determined.  The number is the largest n up to which every n is predicted
without a mistake, tried up to 1,000.  The sigmoids and tanhs of a trained LSTM are nearly, not
exactly, 0 and 1, and its counts drift: it is right up to 60 or 80.  So this is a cell of our own,
with piecewise linear gates, which close and open completely.  Published: right beyond 1,000 (Gers
and Schmidhuber 2001; Weiss, Goldberg and Yahav 2018, arXiv:1805.04908; not read again).
"""

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

import jaxrnn
from experiments.museum.row import Outcome, Points, Row, curve
from experiments.museum.streams import train_on
from jaxrnn import losses
from jaxrnn.layers import Layer
from jaxrnn.typing import Gates, HostArray, Params

LEARNT, TRIED, BATCH_SIZE, NUM_STEPS, HIDDEN = 50, 1_000, 64, 4_000, 4


def hard_update(
    cell_params: Any, input_gates: Gates, hidden_gates: Gates, carry: jaxrnn.LSTMCarry
) -> jaxrnn.LSTMCarry:
    """Take a step of an LSTM with hard sigmoids, 0.5 + x / 4 within 0..1, and hard tanhs."""
    i, f, g, o = (x + h for x, h in zip(input_gates, hidden_gates, strict=True))
    i, f, o = (jnp.clip(0.5 + gate / 4, 0, 1) for gate in (i, f, o))
    memory = f * carry.memory + i * jnp.clip(g, -1, 1)
    return jaxrnn.LSTMCarry(o * jnp.clip(memory, -1, 1), memory)


CELL = jaxrnn.Cell(
    "hard_lstm",
    HIDDEN,
    gates=("input", "forget", "candidate", "output"),
    initial_carry=jaxrnn.zero_carry(jaxrnn.LSTMCarry, HIDDEN),
    update=hard_update,
)


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


def mistakes(model: Layer, params: Params, num_letters: int) -> HostArray:
    """Return whether the string has a mistake, for each n from 1 to the last tried."""
    found = []
    for first in range(1, TRIED + 1, 100):
        batch = strings(np.arange(first, first + 100), num_letters)
        logits = jaxrnn.predict(model, params, np.asarray(batch.inputs), batch_size=100)
        wrong = (logits.argmax(axis=-1) != batch.targets) & np.asarray(batch.mask)
        found.append(wrong.any(axis=0))
    return np.concatenate(found)


def memory(params: Params, num_letters: int) -> dict[str, Points]:
    """Return the memory of each unit while it reads a string, n = 12."""
    ids = jnp.asarray(strings(np.array([12]), num_letters).inputs)
    _, carries = jaxrnn.unroll(CELL, params, ids, return_carries=True)
    units = np.asarray(carries.memory)[:, 0].T
    return {f"unit {number}": curve(unit) for number, unit in enumerate(units, 1)}


def run(num_letters: int, seed: int) -> Outcome:
    """Return the largest n up to which every string is right, and the cell's memory in one."""
    counter = jaxrnn.recurrent(CELL, forget_gate_bias=3.0)
    model = jaxrnn.stack([counter, jaxrnn.linear(num_letters + 1)])

    def draw(rng: np.random.Generator) -> jaxrnn.Batch:
        numbers = rng.integers(1, LEARNT + 1, BATCH_SIZE)
        numbers[0] = LEARNT  # all batches have one shape
        return strings(numbers, num_letters)

    schedule = optax.cosine_decay_schedule(2e-2, NUM_STEPS)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    params = train_on(
        model, optimizer, losses.cross_entropy, draw, NUM_STEPS, num_letters + 1, seed
    ).params
    wrong = mistakes(model, params, num_letters)
    largest = wrong.argmax() if wrong.any() else TRIED
    return Outcome(float(largest), memory(params[0], num_letters))


def _row(name: str, title: str, num_letters: int) -> Row:
    return Row(
        name,
        f"counting: {title}, trained to n = {LEARNT}",
        f"largest n without a mistake, up to {TRIED:,}",
        "LSTM beyond 1,000 † (Gers 2001; Weiss 2018)",
        bar=1_000,
        higher_is_better=True,
        recipe=f"LSTM {HIDDEN}, hard gates, {NUM_STEPS:,} steps of {BATCH_SIZE}, Adam 0.02, cosine",
        run=functools.partial(run, num_letters),
        picture=name,
        axes=("symbols read, n = 12", "memory of each unit"),
    )


ROWS = (_row("anbn", "a^n b^n", 2), _row("anbncn", "a^n b^n c^n", 3))
