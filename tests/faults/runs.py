"""A small run whose checkpoints the tests damage: its record, its state, its text."""

import dataclasses

import jax
import numpy as np

import jaxrnn
from jaxrnn.runs import Record, TextRecord
from jaxrnn.training import Progress
from jaxrnn.training.processes import to_host

VOCABULARY = jaxrnn.Vocabulary.of("abcdefghij")
V = len(VOCABULARY)
IDS = np.random.default_rng(0).integers(0, V, 400).astype(np.int32)
TRAINING = jaxrnn.TrainConfig(
    windows="sequential", batch_size=4, num_steps=6, epochs=4, optimizer="adam", learning_rate=0.01
)


def make_record(
    progress=Progress(), cell="lstm", dropout=0.0, epochs=4, digest="0" * 64, best=None
):
    model = jaxrnn.ModelConfig(cell=cell, hidden_size=5, dropout=dropout)
    training = dataclasses.replace(TRAINING, epochs=epochs)
    return Record(model, training, TextRecord("abc", digest, 100, 20), VOCABULARY, progress, best)


def make_state(record):
    """The model, and its state before the first step."""
    training, model = record.training, jaxrnn.build_language_model(record.model, V)
    optimizer = training.make_optimizer(len(IDS))
    return model, jaxrnn.init_state(model, optimizer, V, training.batch_size, jax.random.key(7))


def train(record, state, progress=Progress()):
    """Yield (state, progress) up to the end."""
    model, training = jaxrnn.build_language_model(record.model, V), record.training
    optimizer = training.make_optimizer(len(IDS))
    return jaxrnn.train(model, optimizer, training, IDS, state, progress)


def bits(tree):
    """The bytes of every array: equal only where all bits are."""
    leaves = jax.tree.leaves(tree)
    keys = [jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in leaves]
    return [
        to_host(jax.random.key_data(leaf) if key else leaf).tobytes()
        for leaf, key in zip(leaves, keys, strict=True)
    ]
