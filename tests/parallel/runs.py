"""A small run, told step by step, to be had on any devices."""

import functools
import itertools

import jax
import numpy as np

import jaxrnn
from jaxrnn.training import trainer
from jaxrnn.training.parallel import local

V = 10
IDS = np.random.default_rng(0).integers(0, V, 1500).astype(np.int32)
CELLS = ["rnn", "gru", "lstm"]
WINDOWS = ["sequential", "random"]
STEPS = 50
REGULARIZED = {
    "random_lengths": True, "activation_penalty": 2.0, "temporal_penalty": 1.0, "average": 1.0,
    "weight_decay": 1e-3, "max_grad_norm": 0.1,
}  # fmt: skip
"""As of the AWD-LSTM (Merity et al. 2018), but for dropout."""


def make_config(windows="sequential", **more):
    settings = {"batch_size": 16, "num_steps": 6, "epochs": 9, "learning_rate": 1.0}
    settings |= {"max_grad_norm": 1.0, "windows": windows, "random_offset": True}
    return jaxrnn.TrainConfig(**(settings | more))


@functools.cache
def make_model(cell="gru", dropout=0.0):
    config = jaxrnn.ModelConfig(cell=cell, hidden_size=8, init="uniform", dropout=dropout)
    return jaxrnn.build_language_model(config, V)


def make_state(model, config):
    key = jax.random.key(config.seed)
    return jaxrnn.init_state(model, config.make_optimizer(), V, config.batch_size, key)


def run(model, config, steps=STEPS, ids=IDS):
    """(losses of the steps, parameters after them, all of the state), a step a call."""
    before, trainer.SECONDS_PER_CALL = trainer.SECONDS_PER_CALL, 1e-9
    try:
        states = jaxrnn.train(
            model, config.make_optimizer(), config, ids, make_state(model, config)
        )
        losses, last = [], jaxrnn.training.Progress()
        for state, progress in itertools.islice(states, steps):  # noqa: B007 (the last counts)
            new_epoch = progress.epoch != last.epoch
            losses.append(progress.nats - (0.0 if new_epoch else last.nats))
            last = progress
        return np.array(losses), jax.tree.map(np.asarray, local(state.params)), state
    finally:
        trainer.SECONDS_PER_CALL = before


def assert_same_course(ours, theirs, tolerance=1e-5):
    """Losses and final parameters, relative to the largest of each array."""
    for a, b in zip(jax.tree.leaves(ours[:2]), jax.tree.leaves(theirs[:2]), strict=True):
        assert len(ours[0]) == STEPS
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())
