"""The loss of a language model, and the units it is reported in."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxrnn.checks import check_mask, is_concrete, widen_ids
from jaxrnn.language_model import LanguageModel
from jaxrnn.layers import Layer
from jaxrnn.recurrence.arguments import check_sequence
from jaxrnn.recurrence.boundaries import Context
from jaxrnn.text import Batch
from jaxrnn.training.chunked_loss import linear_cross_entropy
from jaxrnn.typing import AnyArray, Array, Bool, Float, Int, Integer, Key, Params

MANY_LOGITS = 2**21
"""A batch with more logits than that, 8 MB in float32, computes a part of them at a time."""


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
    softmax_cross_entropy = optax.losses.softmax_cross_entropy_with_integer_labels
    return _total(softmax_cross_entropy, logits, targets, mask, logits.shape[-1])


def cross_entropy_of_batch(
    model: Layer, params: Params, batch: Batch, carry: Any, key: Key
) -> tuple[Float[Array, ""], Any]:
    """Run a model over a batch; return the sum of the cross-entropies and the carry."""
    if not isinstance(model, LanguageModel) or not _has_many_logits(model, batch):
        logits, carry = model.apply(params, batch.inputs, carry, key=key)
        return total_cross_entropy(logits, batch.targets, batch.mask), carry
    check_sequence(batch.inputs, None, None)
    hidden, carry = model.run_body(params, batch.inputs, carry, Context(key=key))
    kernel, bias = model.output_params(params)

    def of_tokens(hidden: Any, targets: Any) -> Any:
        return linear_cross_entropy(hidden, kernel, bias, targets)

    return _total(of_tokens, hidden, batch.targets, batch.mask, model.vocab_size), carry


def _has_many_logits(model: LanguageModel, batch: Batch) -> bool:
    # Not on other platforms, where this was not measured.
    is_large = batch.targets.size * model.vocab_size > MANY_LOGITS
    return is_large and jax.default_backend() == "cpu"


def _total(of_tokens: Any, outputs: Any, targets: Any, mask: Any, vocab_size: int) -> Any:
    """Sum `of_tokens(outputs, targets)` over the real tokens."""
    if mask is not None:
        check_mask("mask", mask, targets.shape)
        # Masked before the loss, so that no padding reaches the gradient.
        outputs = jnp.where(mask[..., None], outputs, 0.0)
        targets = jnp.where(mask, targets, jnp.zeros_like(targets))
    targets = widen_ids("targets", targets, vocab_size)
    nats = of_tokens(outputs, targets)
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
