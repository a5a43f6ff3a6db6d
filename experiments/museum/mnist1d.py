"""MNIST-1D: ten digits as curves of forty points, in order and shuffled.

    python -m experiments.museum mnist1d                half a minute a seed

4,000 curves to learn from, 1,000 to judge.  Published (README of the data set, Greydanus and Kobak
2024, arXiv:2011.14439): GRU 91 % and shuffled 57 %, convolutions 94 and 56, perceptron 68 and 68,
logistic regression 32 and 32.  The recipes were fixed before the test part was looked at.
"""

import functools

import jax
import numpy as np
import optax

import jaxrnn
from experiments.museum import data
from experiments.museum.layers import AllSteps, Noise
from experiments.museum.row import Outcome, Row, curve
from jaxrnn import losses
from jaxrnn.layers import Layer

EPOCHS, BATCH_SIZE = 32, 64


def run(
    title: str, reader: Layer, shuffled: bool, dropout: float, noise: Noise, seed: int
) -> Outcome:
    """Return the accuracy on the test part, and the loss in training."""
    arrays = data.mnist1d()
    inputs, others = ((x / arrays["x"].std()).T[..., None] for x in (arrays["x"], arrays["x_test"]))
    if shuffled:  # all curves in the same other order
        order = np.random.default_rng(42).permutation(len(inputs))
        inputs, others = inputs[order], others[order]
    body = jaxrnn.stack([noise, reader, jaxrnn.dropout(dropout)])
    model = AllSteps(body, jaxrnn.linear(10), num_steps=len(inputs))
    schedule = optax.cosine_decay_schedule(5e-3, EPOCHS * -(-inputs.shape[1] // BATCH_SIZE))
    state, history = jaxrnn.fit(
        model,
        optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule)),
        inputs,
        arrays["y"],
        batch_size=BATCH_SIZE,
        epochs=EPOCHS,
        key=jax.random.key(seed),
    )
    found = jaxrnn.evaluate(
        model, state.params, others, arrays["y_test"], metrics=[losses.accuracy]
    )
    return Outcome(found["accuracy"], {title: curve(history.column("loss"))})


FORWARD = jaxrnn.recurrent(jaxrnn.gru(64))
SHAKY = Noise(of_step=0.1, of_scale=0.1)
AXES = ("epoch", "loss in training")
PUBLISHED = "GRU 0.57, convolutions 0.56, perceptron 0.68 (README of the data set)"
RECIPE = "all outputs into one head, dropout 0.5, noise and scale 0.1"
IN_ORDER = Row(
    "mnist1d",
    "MNIST-1D: digits as curves of forty points",
    "accuracy on 1,000 curves",
    "GRU 0.91, convolutions 0.94, perceptron 0.68 (README of the data set)",
    bar=0.95,
    higher_is_better=True,
    recipe="GRU 64, all outputs into one head, dropout 0.3",
    run=functools.partial(run, "in order", FORWARD, False, 0.3, Noise()),
    picture="mnist1d",
    axes=AXES,
)
SHUFFLED = Row(
    "mnist1d-shuffled",
    "MNIST-1D, the points of all curves in another order",
    "accuracy on 1,000 curves",
    PUBLISHED,
    bar=0.57,
    higher_is_better=True,
    recipe=f"GRU 64, {RECIPE}",
    run=functools.partial(run, "shuffled", FORWARD, True, 0.5, SHAKY),
    picture="mnist1d",
    axes=AXES,
)
BOTH_WAYS = Row(
    "mnist1d-shuffled-both",
    "the same, read in both directions",
    "accuracy on 1,000 curves",
    PUBLISHED,
    bar=0.60,
    higher_is_better=True,
    recipe=f"GRU 64 both ways, {RECIPE}",
    run=functools.partial(
        run, "shuffled, both ways", jaxrnn.bidirectional(FORWARD), True, 0.5, SHAKY
    ),
    picture="mnist1d",
    axes=AXES,
)
