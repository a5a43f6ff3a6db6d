"""Japanese vowels: nine speakers told apart by one utterance.

    python -m experiments.museum vowels                 ten seconds a seed

270 utterances of 7 to 29 steps and 12 channels to learn from, 370 to judge.  Published: MLSTM-FCN
about 0.99 (Karim, Majumdar, Darabi and Harford 2018, arXiv:1801.04503; not read again).  The
recipe was fixed before the test part was looked at.
"""

import functools

import jax
import numpy as np
import optax

import jaxrnn
from experiments.museum import data
from experiments.museum.layers import Noise
from experiments.museum.row import Outcome, Row, curve
from jaxrnn import losses

EPOCHS, BATCH_SIZE = 48, 32


def run(seed: int) -> Outcome:
    """Return the accuracy on the test part, and the loss in training."""
    utterances, speakers = data.vowels("TRAIN")
    others, answers = data.vowels("TEST")
    steps = np.concatenate(utterances)
    mean, deviation = steps.mean(axis=0), steps.std(axis=0)
    utterances, others = (
        [(utterance - mean) / deviation for utterance in part] for part in (utterances, others)
    )
    body = jaxrnn.stack(
        [
            Noise(of_step=0.3, of_sequence=0.3),
            jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.gru(64))),
            jaxrnn.dropout(0.5),
        ]
    )
    model = jaxrnn.classifier(body, num_classes=9, pooling="mean")
    num_steps = EPOCHS * -(-len(utterances) // BATCH_SIZE)
    state, history = jaxrnn.fit(
        model,
        optax.adamw(optax.cosine_decay_schedule(3e-3, num_steps), weight_decay=0.01),
        utterances,
        speakers,
        loss=functools.partial(losses.cross_entropy, label_smoothing=0.1),
        batch_size=BATCH_SIZE,
        epochs=EPOCHS,
        key=jax.random.key(seed),
    )
    found = jaxrnn.evaluate(model, state.params, others, answers, metrics=[losses.accuracy])
    return Outcome(found["accuracy"], {"GRU, both ways": curve(history.column("loss"))})


ROW = Row(
    "vowels",
    "Japanese vowels: which of nine speakers",
    "accuracy on 370 utterances",
    "MLSTM-FCN about 0.99 † (Karim 2018)",
    bar=0.975,
    higher_is_better=True,
    recipe="GRU 64 both ways, mean over steps, noise, dropout 0.5, label smoothing 0.1",
    run=run,
    picture="vowels",
    axes=("epoch", "loss in training"),
)
