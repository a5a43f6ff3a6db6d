"""The loss of a language model, and the units it is told in."""

import math

import jax.numpy as jnp
import optax

from jaxrnn.checks import check_mask, is_concrete, widen_ids
from jaxrnn.typing import AnyArray, Array, Bool, Float, Int, Integer


def cross_entropy(
    logits: Float[Array, "*shape V"],
    targets: Integer[AnyArray, "*shape"],
    mask: Bool[AnyArray, "*shape"] | None = None,
) -> Float[Array, ""]:
    """The mean cross-entropy per real token, in nats.

    Args:
        logits: of each token.
        targets: the tokens that came, in `0..V - 1`.
        mask: True where a token is real; None means everywhere.  What stands elsewhere, NaN
            included, has no influence.

    Returns:
        A scalar; 0 where no token is real.

    Raises:
        TypeError: the targets are not integers, or the mask is not of bools.
        ValueError: a target is out of range, or the mask of another shape.
    """
    nats = total_cross_entropy(logits, targets, mask)
    return nats / jnp.maximum(num_real(targets, mask), 1).astype(nats.dtype)


def total_cross_entropy(
    logits: Float[Array, "*shape V"],
    targets: Integer[AnyArray, "*shape"],
    mask: Bool[AnyArray, "*shape"] | None = None,
) -> Float[Array, ""]:
    """The sum of what `cross_entropy` is the mean of; arguments and errors as there."""
    if mask is not None:
        check_mask("mask", mask, targets.shape)
        # Before the loss, so that nothing of the padding reaches the gradient either.
        logits = jnp.where(mask[..., None], logits, 0.0)
        targets = jnp.where(mask, targets, jnp.zeros_like(targets))
    vocab_size = logits.shape[-1]
    targets = widen_ids("targets", targets, vocab_size)
    nats = optax.losses.softmax_cross_entropy_with_integer_labels(logits, targets)
    if not is_concrete(targets):  # so that the loss says what no check could; optax would wrap
        nats = jnp.where((targets >= 0) & (targets < vocab_size), nats, jnp.nan)
    return nats.sum() if mask is None else jnp.where(mask, nats, 0.0).sum()


def num_real(
    targets: Integer[AnyArray, "*shape"], mask: Bool[AnyArray, "*shape"] | None
) -> Int[Array, ""]:
    """How many tokens count."""
    return jnp.int32(targets.size) if mask is None else mask.sum(dtype=jnp.int32)


def perplexity(nats_per_token: float) -> float:
    """exp(mean cross-entropy): 1 for a perfect model, V for a uniform one, infinite for a model
    that gave probability 0 to what came.
    """
    try:
        return math.exp(nats_per_token)
    except OverflowError:
        return math.inf


def bits_per_character(nats_per_token: float) -> float:
    """Mean cross-entropy in bits."""
    return nats_per_token / math.log(2)
