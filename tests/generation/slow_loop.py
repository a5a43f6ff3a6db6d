"""The oracle of generation: a loop in Python that reads the whole text again for every token."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn

VOCABULARY = jaxrnn.Vocabulary.of("abcab abdca", unknown="<unk>")
V = len(VOCABULARY)


def next_logits(model, params, ids):
    """Return the logits of the token after a text of at most 32 ids."""
    padded = np.zeros(32, np.int32)  # one length, which is compiled once
    padded[: len(ids)] = ids
    return np.asarray(_all_logits(model, params, padded), np.float64)[len(ids) - 1]


@functools.partial(jax.jit, static_argnums=0)
def _all_logits(model, params, ids):
    logits, _ = model.apply(params, ids[:, None], model.initial_carry(params, 1))
    return logits[:, 0]


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


class Row(NamedTuple):
    """One text, and how it came about."""

    ids: list
    """The prompt and what was added."""
    nats: list
    """The log-probabilities of the added tokens."""
    stopped: Any
    """The stop sequence that ended it, the longest if there are several; None if none did."""


def slow_generation(model, params, prompts, num_tokens, *, stops=(), min_tokens=0, key=None):
    """Rows for prompts that are lists of ids; at temperature 1 with a key, greedily without."""
    rows = [Row(list(prompt), [], None) for prompt in prompts]
    keys = [None] * num_tokens if key is None else jax.random.split(key, num_tokens)
    for n, step_key in enumerate(keys, start=1):
        logits = np.stack([next_logits(model, params, row.ids) for row in rows])
        chosen = _choose(logits, step_key)
        for place, row in enumerate(rows):
            if row.stopped is None:
                row.ids.append(int(chosen[place]))
                row.nats.append(log_softmax(logits[place])[chosen[place]])
                added = row.ids[len(prompts[place]) :]
                found = [stop for stop in stops if added[-len(stop) :] == list(stop)]
                if found and n >= min_tokens:
                    rows[place] = row._replace(stopped=max(found, key=len))
    return rows


def _choose(logits, key):
    if key is None:
        return logits.argmax(axis=-1)
    order = np.argsort(-logits, axis=-1, kind="stable")  # the noise belongs to ranks
    descending = np.take_along_axis(logits, order, axis=-1).astype(np.float32)
    choice = np.asarray(jax.random.categorical(key, jnp.asarray(descending)))
    return np.take_along_axis(order, choice[:, None], axis=-1)[:, 0]
