"""The word problem of A5: the product of up to 25 even permutations of five things.

    python -m experiments.museum a5                     three minutes a seed

A5 is the smallest group that cannot be solved, and so hard for networks of constant depth.  A
recurrent network of one layer learns it at any length (Merrill, Petty and Sabharwal 2024,
arXiv:2404.08819).  The number is the accuracy of the product of 20.  Lengths of 3, 6, 12 and 25 are
learnt in turn; every prefix has a label.
"""

import itertools

import numpy as np
import optax

import jaxrnn
from experiments.museum.row import Outcome, Row, curve
from experiments.museum.streams import train_on
from jaxrnn import losses
from jaxrnn.typing import HostArray, Params

BATCH_SIZE, HIDDEN = 128, 256
STAGES = ((3, 1_000), (6, 1_000), (12, 1_500), (25, 3_500))
"""(length, steps of training)"""


def even_permutations() -> HostArray:
    """Return the sixty elements of A5, `[60, 5]`."""
    return np.array(
        [
            p
            for p in itertools.permutations(range(5))
            if sum(a > b for a, b in itertools.combinations(p, 2)) % 2 == 0
        ]
    )


def product_table() -> HostArray:
    """Return the index of each product, `[60, 60]`: first the row's element, then the column's."""
    elements = even_permutations()
    index = {tuple(element): n for n, element in enumerate(elements.tolist())}
    return np.array([[index[tuple(b[a].tolist())] for b in elements] for a in elements])


def products(table: HostArray, words: HostArray) -> HostArray:
    """Return the product of each prefix, `[T, B]`."""
    found = [words[0]]
    for symbols in words[1:]:
        found.append(table[found[-1], symbols])
    return np.stack(found)


def run(seed: int) -> Outcome:
    """Return the accuracy of the product of twenty elements, and that of 1 to 40."""
    table = product_table()
    model = jaxrnn.stack([jaxrnn.recurrent(jaxrnn.lstm(HIDDEN)), jaxrnn.linear(60)])
    params: Params | None = None
    for number, (length, num_steps) in enumerate(STAGES):

        def draw(rng: np.random.Generator, length: int = length) -> jaxrnn.Batch:
            words = rng.integers(0, 60, (length, BATCH_SIZE))
            return jaxrnn.Batch(words.astype(np.int32), products(table, words).astype(np.int32))

        last = number == len(STAGES) - 1
        rate = optax.cosine_decay_schedule(2e-3, num_steps) if last else 2e-3
        optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
        params = train_on(
            model, optimizer, losses.cross_entropy, draw, num_steps, 60, 10 * seed + number, params
        ).params
    words = np.random.default_rng(10**6 + seed).integers(0, 60, (40, 2_000))
    logits = jaxrnn.predict(model, params, words.astype(np.int32))
    by_length = (logits.argmax(axis=-1) == products(table, words)).mean(axis=1)
    return Outcome(float(by_length[19]), {"LSTM": curve(by_length)})


ROW = Row(
    "a5",
    "word problem of A5: products of up to 25",
    "accuracy of the product of 20",
    "one recurrent layer learns any length (Merrill 2024, arXiv:2404.08819)",
    bar=0.95,
    higher_is_better=True,
    recipe=f"LSTM {HIDDEN}, lengths 3, 6, 12, 25 in turn, 7,000 steps of {BATCH_SIZE}",
    run=run,
    picture="a5",
    axes=("factors (learnt: up to 25)", "accuracy"),
    seeds=(0,),
)
