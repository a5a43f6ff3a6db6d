"""Drawing the next token from the logits."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.checks import check_number, check_positive_integer
from jaxrnn.typing import Key


class Sampling(NamedTuple):
    """Options for drawing the next token from the logits."""

    temperature: float = 0.0
    """The divisor of the logits; 0 always takes the most likely token."""
    top_k: int | None = None
    """The number of most likely tokens to draw from; None means all."""
    top_p: float = 1.0
    """The total probability of the smallest set of tokens to draw from (Holtzman et al., The
    curious case of neural text degeneration, 2019, arXiv:1904.09751)."""

    @property
    def greedy(self) -> bool:
        """True if the most likely token is always taken."""
        return self.temperature < 1e-30  # much smaller ones are 0 in float32


def check_sampling(sampling: Sampling, key: Key | None, num_samples: int, vocab_size: int) -> None:
    """Raise unless tokens of a vocabulary of this size can be drawn so."""
    check_number("temperature", sampling.temperature, low=0.0)
    check_number("top_p", sampling.top_p, low=0.0, high=1.0)
    if sampling.top_k is not None:
        check_positive_integer("top_k", sampling.top_k, vocab_size)
    if sampling.temperature > 0 and key is None:
        raise ValueError("key must be given if the temperature is above 0, got None")
    check_positive_integer("num_samples", num_samples)
    if sampling.greedy and num_samples > 1:
        raise ValueError(
            "num_samples must be 1 if the temperature is 0, as all samples of a prompt would be the"
            f" same, got {num_samples}"
        )


def next_token(
    logits: Any, key: Key | None, temperature: Any, top_k: int | None, top_p: Any
) -> Any:
    """Return a token for each row `[B, V]`, the most likely one if `key` is None."""
    if key is None:
        return _most_likely(logits)
    below_best = logits - logits.max(axis=-1, keepdims=True)  # logits / 1e-30 overflows
    return _draw(below_best / temperature, key, top_k, top_p)


def log_probability(logits: Any, token: Any) -> Any:
    """Return the log-probability of each row's token under the logits `[B, V]`, in nats."""
    chosen = jnp.take_along_axis(logits, token[:, None], axis=-1)[:, 0]
    return chosen - jax.nn.logsumexp(logits, axis=-1)


def _most_likely(logits: Any) -> Any:
    """Return the most likely token of each row; the first one in a tie.

    XLA vectorises each of these two reductions.  Its `argmax`, a reduction of pairs, took a quarter
    of the time of an RNN's step over 1,027 tokens.
    """
    tokens = jnp.arange(logits.shape[-1], dtype=jnp.int32)[None]
    largest = logits == logits.max(axis=-1, keepdims=True)
    return jnp.where(largest, tokens, tokens[:, -1:]).min(axis=-1)


def _draw(logits: Any, key: Key, top_k: int | None, top_p: Any) -> Any:
    """Draw a token for each row `[B, V]`; the most likely token is never excluded."""
    k = logits.shape[-1] if top_k is None else top_k
    descending, tokens = lax.top_k(logits, k)
    probabilities = jax.nn.softmax(descending, axis=-1)
    mass_before = jnp.cumsum(probabilities, axis=-1) - probabilities
    included = (mass_before < top_p) | (top_p >= 1)  # where sums are rounded
    included = included.at[:, 0].set(True)
    choice = jax.random.categorical(key, jnp.where(included, descending, -jnp.inf))
    return jnp.take_along_axis(tokens, choice[:, None], axis=-1)[:, 0]
