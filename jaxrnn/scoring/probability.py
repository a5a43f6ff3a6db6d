"""The probability of texts under a language model with fixed parameters."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrnn.checks import check_array, check_mask, widen_ids
from jaxrnn.layers import Layer
from jaxrnn.layers.layer import check_layer
from jaxrnn.losses.labels import nan_where_wrong
from jaxrnn.matmul import at_least_float32
from jaxrnn.typing import AnyArray, Array, Bool, Carry, Float, Integer, Params

STEPS_AT_ONCE = 512
"""Tokens scored per chunk; the logits of a whole text may not fit in memory."""


class Score(NamedTuple):
    """The probability of a text, or of each of B texts, under a model."""

    log_probability: Float[Array, "*B"]
    """The log-probability of all scored tokens together, in nats."""
    perplexity: Float[Array, "*B"]
    """exp(-log_probability / number of scored tokens); NaN if none is scored."""
    token_log_probabilities: Float[Array, "T *B"]
    """The log-probability, in nats, of each token after the first; 0 if it is not scored."""


def score(
    model: Layer,
    params: Params,
    ids: Integer[AnyArray, "n *B"],
    mask: Bool[AnyArray, "n *B"] | None = None,
) -> Score:
    """Return the probability of a text: of every token but the first, given those before it.

    Args:
        model: a causal language model.
        params: its parameters.
        ids: a text `[n]` of at least two tokens, or texts `[n, B]`, padded at the end.
        mask: True for tokens to score; None means all.  The first token is never scored.

    Raises:
        TypeError: the ids are not integers, or `model` is not a Layer.
        ValueError: there are fewer than two ids, one is out of range, or the model is not causal or
            not time-major.

    Examples:
        >>> import jax, jaxrnn
        >>> model = jaxrnn.language_model(28, jaxrnn.recurrent(jaxrnn.gru(8)))
        >>> params = model.init(jax.random.key(0), 28)
        >>> jaxrnn.score(model, params, jax.numpy.array([3, 1, 4, 1])).token_log_probabilities.shape
        (3,)
    """
    check_scorer(model)
    check_array("ids", ids)
    if ids.ndim not in (1, 2) or ids.shape[0] < 2:
        raise ValueError(f"ids must be [n] or [n, B] with n at least 2, got shape {ids.shape}")
    ids = widen_ids("ids", ids, model.output_size(0))
    mask = np.ones(ids.shape, bool) if mask is None else mask
    check_mask("mask", mask, ids.shape)
    if ids.ndim == 2:
        return _score(model, params, jnp.asarray(ids), jnp.asarray(mask))
    batch_of_one = _score(model, params, jnp.asarray(ids)[:, None], jnp.asarray(mask)[:, None])
    return Score(*(value[..., 0] for value in batch_of_one))


@functools.partial(jax.jit, static_argnums=0)
def _score(model: Layer, params: Params, ids: Any, mask: Any) -> Score:
    def score_chunk(carry: Any, chunk: tuple[Any, Any]) -> tuple[Any, Any]:
        of_tokens, carry = log_probabilities(model, params, carry, *chunk)
        return carry, of_tokens

    texts, carry = (ids[:-1], ids[1:]), model.initial_carry(params, ids.shape[1])
    in_chunks = len(texts[0]) // STEPS_AT_ONCE * STEPS_AT_ONCE
    chunks = tuple(text[:in_chunks].reshape(-1, STEPS_AT_ONCE, text.shape[1]) for text in texts)
    scored = []
    if in_chunks:  # under JAX_DISABLE_JIT a scan needs at least one step
        carry, of_chunks = lax.scan(score_chunk, carry, chunks)
        scored.append(of_chunks.reshape(in_chunks, ids.shape[1]))
    if in_chunks < len(texts[0]):
        _, of_remainder = score_chunk(carry, (texts[0][in_chunks:], texts[1][in_chunks:]))
        scored.append(of_remainder)
    return score_of(jnp.concatenate(scored), mask[1:])


def log_probabilities(
    model: Layer, params: Params, carry: Carry, inputs: Any, targets: Any
) -> tuple[Any, Carry]:
    """Return the log-probabilities of the targets `[T, B]`, in nats, and the carry after them."""
    logits, carry = model.apply(params, inputs, carry)
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], axis=2)
    return nan_where_wrong(chosen[..., 0], targets, logits.shape[-1]), carry


def score_of(of_tokens: Any, mask: Any) -> Score:
    """Return the score of texts, given the log-probabilities of all tokens and which to score."""
    of_tokens = of_tokens.astype(at_least_float32(of_tokens.dtype))
    of_tokens = jnp.where(mask, of_tokens, 0.0)
    total = of_tokens.sum(axis=0)
    return Score(total, jnp.exp(-total / mask.sum(axis=0, dtype=total.dtype)), of_tokens)


def check_scorer(model: Any) -> None:
    """Raise unless `model` is a layer that can score a text."""
    check_layer("model", model)
    if not model.causal:
        raise ValueError("model must be causal: one that sees the future cannot score a text")
