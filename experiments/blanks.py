"""Models that fill blanks: each character is predicted from those before and after it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import jaxrnn
from experiments.shared.memory import check_fits
from jaxrnn.commands.progress import Bar
from jaxrnn.layers import Context, Layer
from jaxrnn.runs.texts import Texts
from jaxrnn.text import Windows, gather_windows, random_plan
from jaxrnn.training import TrainState
from jaxrnn.typing import Params

BLANK = "_"
TOP = 5
"""Number of candidates for a blank."""


@dataclass(frozen=True, repr=False)
class BlankFiller(Layer):
    """A model of each character given those before it and, with `both`, those after it.

    The outputs of the two directions are shifted by one place, so that neither has read the
    character itself.  With more than one layer that would not hold.
    """

    vocab_size: int
    hidden_size: int
    both: bool

    @property
    def body(self) -> Layer:
        """The layer that reads the characters, in one direction or both."""
        reader = jaxrnn.recurrent(jaxrnn.gru(self.hidden_size))
        return jaxrnn.bidirectional(reader) if self.both else reader

    @property
    def output(self) -> Layer:
        """The layer that makes the logits."""
        return jaxrnn.linear(self.vocab_size)

    @property
    def causal(self) -> bool:
        """Return whether the model only reads forward."""
        return not self.both

    def output_size(self, input_size: int) -> int:
        """Return V."""
        return self.vocab_size

    def init(self, key: Any, input_size: int) -> Any:
        """Draw the parameters of body and output."""
        body_key, output_key = jax.random.split(key)
        width = self.body.output_size(input_size)
        return self.body.init(body_key, input_size), self.output.init(output_key, width)

    def initial_carry(self, params: Any, batch_size: int) -> Any:
        """Return the body's carry."""
        return self.body.initial_carry(params[0], batch_size)

    def run(self, params: Any, inputs: Any, carry: Any, context: Context) -> tuple[Any, Any]:
        """Run the layer, as `Layer.run`."""
        hidden, carry = self.body.run(params[0], inputs, carry, context)
        before = _shift(hidden[..., : self.hidden_size], 1)
        after = [_shift(hidden[..., self.hidden_size :], -1)] if self.both else []
        joint = jnp.concatenate([before, *after], axis=-1)
        logits, _ = self.output.run(params[1], joint, (), Context())
        return logits, carry


def _shift(hidden: Any, by: int) -> Any:
    """Shift along time, and fill up with zeros, as in an initial carry."""
    zeros = jnp.zeros_like(hidden[:1])
    pieces = [zeros, hidden[:-1]] if by > 0 else [hidden[1:], zeros]
    return jnp.concatenate(pieces)


class Filler(NamedTuple):
    """A trained model that fills blanks, and how well it does."""

    model: Layer
    params: Params
    accuracy: float
    top_accuracy: float
    time_step: Callable[[], float]
    """A function that trains a copy for an epoch and returns the milliseconds per step."""


def learn_to_fill(
    texts: Texts, epochs: int, seed: int, bar: Bar, *, both: bool, hidden_size: int
) -> Filler:
    """Train on windows of 35 characters, predicting each as a blank."""
    size, batch_size, num_steps = len(texts.vocabulary), 32, 35
    model = BlankFiller(size, hidden_size, both)
    check_fits(model, size)
    optimizer = jaxrnn.make_optimizer("adam", 0.003, 1.0)
    state = jaxrnn.init_state(model, optimizer, size, batch_size, jax.random.key(seed))
    train_step, text = jaxrnn.make_train_step(model, optimizer), jnp.asarray(texts.ids)

    @jax.jit
    def epoch(state: TrainState, windows: Windows) -> TrainState:
        def one_step(state: Any, windows: Any) -> Any:
            inputs, _ = gather_windows(text, windows.offsets, num_steps)
            return train_step(state, jaxrnn.Batch(inputs, inputs, None, windows.starts))

        return lax.scan(one_step, state, windows)[0]

    for number in range(epochs):
        windows = random_plan(len(texts.ids), batch_size, num_steps, seed, number)[:]
        state = jax.block_until_ready(epoch(state, windows))
        bar.show(number + 1)

    def time_step() -> float:
        began = time.perf_counter()
        jax.block_until_ready(epoch(state, windows))
        return 1e3 * (time.perf_counter() - began) / len(windows.offsets)

    ids, known = texts.held_out.ids, texts.held_out.known
    rows = len(ids) // num_steps
    ids, known = (x[: rows * num_steps].reshape(rows, num_steps).T for x in (ids, known))
    logits, _ = model.apply(state.params, jnp.asarray(ids), model.initial_carry(state.params, rows))
    ranks = (np.asarray(logits) > np.take_along_axis(np.asarray(logits), ids[..., None], 2)).sum(-1)
    right, among = ((ranks < top)[known].mean() for top in (1, TOP))
    return Filler(model, state.params, float(right), float(among), time_step)


def candidates(filler: Filler, vocabulary: jaxrnn.Vocabulary, sentence: str) -> str:
    """Return the most likely characters for the blank, given a sentence on its own line."""
    before, after = sentence.split(BLANK)
    known = ["".join(c for c in part if c in vocabulary) for part in (f" {before}", f"{after} ")]
    ids = vocabulary.encode(known[0] + vocabulary.tokens[0] + known[1])
    model, params = filler.model, filler.params
    logits, _ = model.apply(params, jnp.asarray(ids)[:, None], model.initial_carry(params, 1))
    best = np.argsort(-np.asarray(logits)[len(known[0]), 0])[:TOP]
    return " ".join(vocabulary.tokens[i].replace(" ", "␣") for i in best)
