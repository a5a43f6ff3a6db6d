"""The loss of a language model, and the units it is reported in."""

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
    """Return the mean cross-entropy per real token, in nats.

    Args:
        logits: the model's predictions.
        targets: the true tokens, in `0..V - 1`.
        mask: True where a token is real; None means everywhere.  Values elsewhere, NaN included,
            have no influence.

    Returns:
        A scalar; 0 if no token is real.

    Raises:
        TypeError: the targets are not integers, or the mask is not bool.
        ValueError: a target is out of range, or the mask has another shape.

    Example:
        >>> import jax.numpy as jnp, jaxrnn
        >>> loss = jaxrnn.training.cross_entropy(jnp.zeros((5, 2, 8)), jnp.ones((5, 2), jnp.int32))
        >>> round(jaxrnn.training.perplexity(float(loss)), 3)
        8.0
    """
    nats = total_cross_entropy(logits, targets, mask)
    return nats / jnp.maximum(num_real(targets, mask), 1).astype(nats.dtype)


def total_cross_entropy(
    logits: Float[Array, "*shape V"],
    targets: Integer[AnyArray, "*shape"],
    mask: Bool[AnyArray, "*shape"] | None = None,
) -> Float[Array, ""]:
    """Return the sum of the cross-entropies; arguments and errors as in `cross_entropy`."""
    if mask is not None:
        check_mask("mask", mask, targets.shape)
        # Masked before the loss, so that no padding reaches the gradient.
        logits = jnp.where(mask[..., None], logits, 0.0)
        targets = jnp.where(mask, targets, jnp.zeros_like(targets))
    vocab_size = logits.shape[-1]
    targets = widen_ids("targets", targets, vocab_size)
    nats = optax.losses.softmax_cross_entropy_with_integer_labels(logits, targets)
    if not is_concrete(targets):  # a bad id, which optax would wrap, makes the loss NaN
        nats = jnp.where((targets >= 0) & (targets < vocab_size), nats, jnp.nan)
    return nats.sum() if mask is None else jnp.where(mask, nats, 0.0).sum()


def num_real(
    targets: Integer[AnyArray, "*shape"], mask: Bool[AnyArray, "*shape"] | None
) -> Int[Array, ""]:
    """Return the number of real tokens."""
    return jnp.int32(targets.size) if mask is None else mask.sum(dtype=jnp.int32)


def perplexity(nats_per_token: float) -> float:
    """Return exp(mean cross-entropy): 1 for a perfect model, V for a uniform one.

    It is infinite for a model that gave probability 0 to a true token.

    Example:
        >>> import jaxrnn
        >>> jaxrnn.training.perplexity(0.0), jaxrnn.training.perplexity(float("inf"))
        (1.0, inf)
    """
    try:
        return math.exp(nats_per_token)
    except OverflowError:
        return math.inf


def bits_per_character(nats_per_token: float) -> float:
    """Convert a mean cross-entropy from nats to bits.

    Example:
        >>> import math, jaxrnn
        >>> round(jaxrnn.training.bits_per_character(math.log(8)), 3)
        3.0
    """
    return nats_per_token / math.log(2)
