"""Polyphonic music: which of 88 keys sound next.

    python -m experiments.museum jsb                    a minute a seed
    python -m experiments.museum nottingham

Published, nats a step, the 88 keys summed (Bai, Kolter and Koltun 2018, arXiv:1803.01271, table 1;
not read again): JSB chorales LSTM 8.45, GRU 8.43, RNN 8.91; Nottingham 3.29, 3.46, 4.05.  The best
epoch is chosen on the validation part, and judged once on the test part.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxrnn
from experiments.museum import data
from experiments.museum.row import Outcome, Row, curve
from jaxrnn import losses
from jaxrnn.batch import Batch
from jaxrnn.layers import Layer
from jaxrnn.typing import HostArray, Initializer

KEYS = 88


def nats_per_step(outputs: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Return the cross-entropy of all keys of a step, a loss."""
    total, steps = losses.binary_cross_entropy(outputs, batch)
    return KEYS * total, steps


def windows(pieces: list[HostArray], length: int | None) -> tuple[list[HostArray], list[HostArray]]:
    """Cut pieces into inputs and the chords one step later, of at most `length` steps."""
    inputs, targets = [], []
    for piece in pieces:
        size = length or len(piece)
        for begin in range(0, len(piece) - 1, size):
            part = piece[begin : begin + size + 1]
            inputs.append(part[:-1])
            targets.append(part[1:])
    return inputs, targets


def log_odds(targets: list[HostArray]) -> Initializer:
    """Return an initialiser of biases: each key sounds as often as in the targets.

    Without it the first epochs are spent on silence, which most keys keep.
    """
    often = np.clip(np.concatenate(targets).mean(axis=0), 1e-3, 1 - 1e-3)
    return lambda key, shape, dtype: jnp.asarray(np.log(often / (1 - often)), dtype)


def run(
    name: str, layer: Layer, length: int | None, dropout: tuple[float, float], rate: float,
    epochs: int, seed: int,
) -> Outcome:  # fmt: skip
    """Return the nats per step on the test part, and those of training and validation."""
    parts = data.chords(name)
    before, after = dropout
    inputs, targets = windows(parts["train"], length)
    keys = jaxrnn.linear(KEYS, bias_init=log_odds(targets))
    model = jaxrnn.stack([jaxrnn.dropout(before), layer, jaxrnn.dropout(after), keys])
    schedule = optax.cosine_decay_schedule(rate, epochs * -(-len(inputs) // 16))
    state, history = jaxrnn.fit(
        model,
        optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule)),
        inputs,
        targets,
        loss=nats_per_step,
        batch_size=16,
        epochs=epochs,
        validation=windows(parts["valid"], None),
        key=jax.random.key(seed),
    )
    test = windows(parts["test"], None)
    number = jaxrnn.evaluate(model, state.params, *test, loss=nats_per_step)["loss"]
    learning = {"training": "loss", "validation": "validation_loss"}
    return Outcome(number, {title: curve(history.column(c)) for title, c in learning.items()})


def run_jsb(seed: int) -> Outcome:
    """Return the nats per step on the chorales."""
    layer = jaxrnn.recurrent(jaxrnn.gru(256), kernel_init="orthogonal", recurrent_dropout=0.2)
    return run("JSB_Chorales", layer, None, (0.1, 0.5), 4e-3, 60, seed)


def run_nottingham(seed: int) -> Outcome:
    """Return the nats per step on the folk tunes."""
    layer = jaxrnn.recurrent(jaxrnn.lstm(224), kernel_init="orthogonal", recurrent_dropout=0.1)
    return run("Nottingham", layer, 100, (0.05, 0.4), 4e-3, 16, seed)


AXES = ("epoch", "nats a step")
JSB = Row(
    "jsb",
    "JSB chorales: which keys sound next",
    "nats a step, 77 chorales",
    "LSTM 8.45, GRU 8.43, RNN 8.91 † (Bai 2018); GRU 8.54, LSTM 8.67 † (Chung 2014)",
    bar=8.5,
    higher_is_better=False,
    recipe="GRU 256, dropout 0.1 before, 0.2 recurrent, 0.5 after; Adam 4e-3, cosine, 60 epochs",
    run=run_jsb,
    picture="jsb",
    axes=AXES,
)
NOTTINGHAM = Row(
    "nottingham",
    "Nottingham tunes: which keys sound next",
    "nats a step, 170 tunes",
    "LSTM 3.29, GRU 3.46, RNN 4.05 † (Bai 2018)",
    bar=3.4,
    higher_is_better=False,
    recipe="LSTM 224, windows of 100, dropout 0.05, 0.1 and 0.4; Adam 4e-3, cosine, 16 epochs",
    run=run_nottingham,
    picture="nottingham",
    axes=AXES,
)
