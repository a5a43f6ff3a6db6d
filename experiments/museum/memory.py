"""Long memory: the adding problem and copy memory.

    python -m experiments.museum adding-gru             five minutes a seed

Adding (Hochreiter and Schmidhuber 1997): two of 400 numbers are marked, and their sum is asked for
at the end; guessing 1 gives a mean squared error of 0.1667.  Copying: ten symbols out of eight,
then 100 blanks, then the ten symbols again; without memory the loss is 10 ln 8 / 120 = 0.173 nats a
step.  Published (Bai, Kolter and Koltun 2018, arXiv:1803.01271, table 1; not read again): adding,
T = 600: LSTM 0.164, GRU 5.3e-5, RNN 0.177; copying, T = 1,000: LSTM 0.0204, GRU 0.0197, which is
what no memory gives.  What helps here is the initial bias of the gates, drawn so that a unit
remembers for 1 to T steps (Tallec and Ollivier 2018, arXiv:1804.11188).  An IRNN has no gates, but
rectified units whose recurrent weights start as the identity (Le, Jaitly and Hinton 2015,
arXiv:1504.00941); an LRU is linear over time (Orvieto et al. 2023, arXiv:2303.06349), so rectified
units before it multiply numbers and marks.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxrnn
from experiments.museum.row import Outcome, Points, Row, curve
from experiments.museum.streams import Stages, longer_and_longer, train_on
from jaxrnn import losses
from jaxrnn.layers import Layer

ADDED, COPIED, BLANKS, BATCH_SIZE = 400, 10, 100, 64


def lasting(num_steps: int, gates: tuple[str, ...], signs: dict[str, float]) -> Any:
    """Return an initialiser of biases: log U(1, num_steps) for some gates, with their signs.

    Gates of one unit get the same number.
    """

    def init(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        hidden_size = shape[0] // len(gates)
        times = jax.random.uniform(key, (hidden_size,), dtype, 1, num_steps)
        return jnp.concatenate([signs.get(gate, 0) * jnp.log(times) for gate in gates])

    return init


def reader(cell: Any, num_steps: int, kernel_init: str = "uniform") -> Layer:
    """Return a recurrent layer whose gates remember for up to `num_steps` steps."""
    # A GRU adds two biases, and what its update gate keeps, that of a minimal GRU replaces.
    update = -1.0 if cell.name == "min_gru" else 0.5
    signs = {"update": update, "forget": 1.0, "input": -1.0}
    bias_init = lasting(num_steps, cell.gates, signs)
    return jaxrnn.recurrent(cell, kernel_init=kernel_init, bias_init=bias_init)


def draw_adding(rng: np.random.Generator, length: int) -> jaxrnn.Batch:
    """Draw numbers, two of which are marked, and their sums."""
    inputs = np.zeros((length, BATCH_SIZE, 2), np.float32)
    inputs[..., 0] = rng.random((length, BATCH_SIZE))
    rows, half = np.arange(BATCH_SIZE), length // 2
    for first in (0, half):
        inputs[rng.integers(first, first + half, BATCH_SIZE), rows, 1] = 1
    return jaxrnn.Batch(inputs, (inputs[..., 0] * inputs[..., 1]).sum(axis=0))


def irnn() -> Layer:
    """Return rectified units that start as sums of what they have read."""
    cell, kernel_init = jaxrnn.rnn(64, "relu"), jax.nn.initializers.normal(1e-3)
    return jaxrnn.recurrent(
        cell, kernel_init=kernel_init, recurrent_init="identity", bias_init="zeros"
    )


def perceptron_and_lru() -> Layer:
    """Return an LRU behind rectified units, which multiply: its own recurrence is linear."""
    cell = jaxrnn.lru(64, min_radius=0.9, max_radius=0.9999, max_phase=math.pi / 100)
    return jaxrnn.stack([jaxrnn.linear(64), jaxrnn.pointwise(jax.nn.relu), jaxrnn.recurrent(cell)])


def run_adding(
    layer: Layer, title: str, rate: float, stages: Stages, num_steps: int, seed: int
) -> Outcome:
    """Return the mean squared error on new sequences, and that of the training."""
    model = jaxrnn.regressor(layer, 1)
    schedule = optax.cosine_decay_schedule(rate, num_steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    draw = longer_and_longer(draw_adding, stages, num_steps)
    params, means = train_on(model, optimizer, losses.squared_error, draw, num_steps, 2, seed)
    rng = np.random.default_rng(10**6 + seed)
    errors = []
    for _ in range(20):
        batch = draw_adding(rng, ADDED)
        outputs = jaxrnn.predict(model, params, np.asarray(batch.inputs))
        errors.append(np.square(outputs[:, 0] - np.asarray(batch.targets)).mean())
    return Outcome(float(np.mean(errors)), learning(title, means, num_steps))


def draw_copying(rng: np.random.Generator) -> jaxrnn.Batch:
    """Draw symbols 1 to 8, and where they are asked for again: 0 is blank, and 9 asks."""
    symbols = rng.integers(1, 9, (COPIED, BATCH_SIZE))
    blank = np.zeros((BLANKS - 1, BATCH_SIZE), int)
    ask = np.full((COPIED + 1, BATCH_SIZE), 9)
    inputs = np.concatenate([symbols, blank, ask])
    targets = np.concatenate([np.zeros_like(inputs[:-COPIED]), symbols])
    return jaxrnn.Batch(inputs.astype(np.int32), targets.astype(np.int32))


def run_copying(cell: Any, num_steps: int, seed: int) -> Outcome:
    """Return the nats a step on new sequences, and those of the training."""
    model = jaxrnn.stack([reader(cell, BLANKS, "orthogonal"), jaxrnn.linear(9)])
    schedule = optax.cosine_decay_schedule(1e-2, num_steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    params, means = train_on(
        model, optimizer, losses.cross_entropy, draw_copying, num_steps, 10, seed
    )
    rng = np.random.default_rng(10**6 + seed)
    pairs = [draw_copying(rng)[:2] for _ in range(10)]
    inputs, targets = (np.concatenate(part, axis=1) for part in zip(*pairs, strict=True))
    number = jaxrnn.evaluate(model, params, inputs, targets)["loss"]
    return Outcome(number, learning(cell.name.upper(), means, num_steps))


def learning(title: str, means: list[float], num_steps: int) -> dict[str, Points]:
    """Return the curve of a training."""
    every = num_steps / len(means)
    return {title: curve(means, first=every, step=every)}


def _adding(
    name: str, layer: Layer, recipe: str, num_steps: int, *,
    published: str = "T = 600: LSTM 0.164, GRU 5.3e-5, RNN 0.177 † (Bai 2018)",
    rate: float = 3e-3, stages: Stages = ((ADDED, 1.0),), reason: str = "",
) -> Row:  # fmt: skip
    return Row(
        f"adding-{name}",
        f"adding problem, T = {ADDED}",
        "mean squared error",
        published,
        bar=0.01,
        higher_is_better=False,
        recipe=f"{recipe}, {num_steps:,} steps of {BATCH_SIZE}, Adam {rate}",
        run=functools.partial(run_adding, layer, name.upper(), rate, stages, num_steps),
        picture="adding",
        axes=("steps of training", "mean squared error"),
        reason=reason,
        seeds=(0,),
    )


LASTING = f"gates that last 1 to {ADDED} steps"
ROWS = (
    _adding("gru", reader(jaxrnn.gru(64), ADDED), f"GRU 64, {LASTING}", 2_000),
    _adding("lstm", reader(jaxrnn.lstm(64), ADDED), f"LSTM 64, {LASTING}", 3_000),
    _adding(
        "irnn",
        irnn(),
        "rectified RNN 64, recurrent weights from the identity, short sequences first",
        6_000,
        published="T = 150 to 400: curves of IRNN and LSTM, no number † (Le 2015)",
        rate=1e-3,
        stages=((50, 0.4), (100, 0.3), (200, 0.2), (ADDED, 0.1)),
    ),
    _adding("lru", perceptron_and_lru(), "64 rectified units before an LRU of 64", 2_000),
    Row(
        "copying-gru",
        f"copy memory, {BLANKS} blanks (no memory: {10 * math.log(8) / (BLANKS + 20):.3f})",
        "nats a step",
        "T = 1,000: LSTM 0.0204, GRU 0.0197, as without memory † (Bai 2018)",
        bar=0.01,
        higher_is_better=False,
        recipe=f"GRU 128, orthogonal, gates that last 1 to {BLANKS} steps, 4,000 steps of 64",
        run=functools.partial(run_copying, jaxrnn.gru(128), 4_000),
        picture="copying",
        axes=("steps of training", "nats a step"),
        seeds=(0,),
    ),
)
