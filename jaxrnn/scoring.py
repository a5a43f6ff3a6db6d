"""From a text to its probability."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrnn.checks import check_array, check_mask, widen_ids
from jaxrnn.layers import Layer
from jaxrnn.typing import AnyArray, Array, Bool, Float, Integer, Params

STEPS_AT_ONCE = 512
"""Of a text that is scored: the logits of all its tokens together could fill the memory."""


class Score(NamedTuple):
    """The probability of a text, or of each of B texts, under a model."""

    log_probability: Float[Array, "*B"]
    """Of all scored tokens together, in nats."""
    perplexity: Float[Array, "*B"]
    """exp(-log_probability / number of scored tokens); NaN where none is scored."""
    token_log_probabilities: Float[Array, "T *B"]
    """Of each token but the first given those before it, in nats; 0 where it is not scored."""


def score(
    model: Layer,
    params: Params,
    ids: Integer[AnyArray, "n *B"],
    mask: Bool[AnyArray, "n *B"] | None = None,
) -> Score:
    """How probable a text is: every token but the first, given those before it.

    Args:
        model: a language model.
        params: its parameters.
        ids: a text `[n]` of at least two tokens, or texts `[n, B]`, padded at the end.
        mask: True where a token is scored; None means everywhere.  The first never is.

    Raises:
        TypeError: the ids are not integers.
        ValueError: there are fewer than two, one is out of range, or the model is not causal.
    """
    if not model.causal:
        raise ValueError("model must be causal: one that sees the future gives no probability")
    check_array("ids", ids)
    if ids.ndim not in (1, 2) or ids.shape[0] < 2:
        raise ValueError(f"ids must be [n] or [n, B] with n of at least 2, got {ids.shape}")
    ids = widen_ids("ids", ids, model.output_size(0))
    mask = np.ones(ids.shape, bool) if mask is None else mask
    check_mask("mask", mask, ids.shape)
    if ids.ndim == 2:
        return _score(model, params, jnp.asarray(ids), jnp.asarray(mask))
    alone = _score(model, params, jnp.asarray(ids)[:, None], jnp.asarray(mask)[:, None])
    return Score(*(value[..., 0] for value in alone))


@functools.partial(jax.jit, static_argnums=0)
def _score(model: Layer, params: Params, ids: Any, mask: Any) -> Score:
    def piece(carry: Any, texts: tuple[Any, Any]) -> tuple[Any, Any]:
        inputs, targets = texts
        logits, carry = model.apply(params, inputs, carry)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], axis=2)
        return carry, chosen[..., 0]

    texts, carry = (ids[:-1], ids[1:]), model.initial_carry(params, ids.shape[1])
    whole = len(texts[0]) // STEPS_AT_ONCE * STEPS_AT_ONCE
    pieces = tuple(text[:whole].reshape(-1, STEPS_AT_ONCE, text.shape[1]) for text in texts)
    scored = []
    if whole:  # JAX_DISABLE_JIT has no loops of no steps
        carry, of_pieces = lax.scan(piece, carry, pieces)
        scored.append(of_pieces.reshape(whole, ids.shape[1]))
    if whole < len(texts[0]):
        _, last = piece(carry, (texts[0][whole:], texts[1][whole:]))
        scored.append(last)
    of_tokens = jnp.concatenate(scored)
    of_tokens = jnp.where(mask[1:], of_tokens, 0.0)
    total = of_tokens.sum(axis=0)
    return Score(total, jnp.exp(-total / mask[1:].sum(axis=0, dtype=total.dtype)), of_tokens)
