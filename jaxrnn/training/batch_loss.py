"""The loss of a model on a batch, for a language model with many tokens without all its logits."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.batch import Batch
from jaxrnn.language_model import LanguageModel
from jaxrnn.layers import Layer
from jaxrnn.losses import Loss, cross_entropy, sum_valid
from jaxrnn.losses.labels import labels_of, nan_where_wrong
from jaxrnn.losses.valid import valid_only
from jaxrnn.recurrence.arguments import check_sequence
from jaxrnn.recurrence.boundaries import Context, where_rows
from jaxrnn.training.chunked_loss import linear_cross_entropy
from jaxrnn.typing import Array, Float, Key, Params, Real

MANY_LOGITS = 2**21
"""A batch with more logits than that, 8 MB in float32, computes a part of them at a time."""


def loss_of_batch(
    model: Layer, loss: Loss, params: Params, batch: Batch, carry: Any, key: Key | None
) -> tuple[Float[Array, ""], Real[Array, ""], Any]:
    """Run a model over a batch; return the loss's sum and weight, and the carry.

    Args:
        carry: from the previous batch, for rows that continue; see `Batch.starts`.
        key: for dropout; None means evaluation.
    """
    started = None
    if batch.starts is not None:
        initial = model.initial_carry(params, batch.inputs.shape[1])
        started = where_rows(batch.starts, initial, carry)
    if loss is cross_entropy and _has_many_logits(model, batch):
        total, weight, after = _in_chunks(model, params, batch, started, key)
    else:
        outputs, after = model.apply(
            params, batch.inputs, started, lengths=batch.lengths, resets=batch.resets, key=key
        )
        total, weight = loss(outputs, batch)
    return total, weight, carry if started is None else after


def _in_chunks(
    model: Any, params: Params, batch: Batch, carry: Any, key: Key | None
) -> tuple[Any, Any, Any]:
    """Compute `losses.cross_entropy` with a part of the logits at a time."""
    check_sequence(batch.inputs, batch.lengths, batch.resets)
    if carry is None:
        carry = model.initial_carry(params, batch.inputs.shape[1])
    context = Context(lengths=batch.lengths, resets=batch.resets, key=key)
    hidden, carry = model.run_body(params, batch.inputs, carry, context)
    kernel, bias = model.output_params(params)
    logits = jax.ShapeDtypeStruct((*hidden.shape[:-1], model.vocab_size), bias.dtype)
    targets = labels_of(batch, logits)
    nats = linear_cross_entropy(valid_only(hidden, batch), kernel, bias, targets)
    nats = nan_where_wrong(nats, targets, model.vocab_size)
    return *sum_valid(nats, batch), carry


def _has_many_logits(model: Layer, batch: Batch) -> bool:
    # Not on other platforms, where this was not measured.
    if not isinstance(model, LanguageModel) or jax.default_backend() != "cpu":
        return False
    return batch.targets.size * model.vocab_size > MANY_LOGITS


def mean(total: Any, weight: Any) -> Any:
    """Return sum / weight, and 0 if nothing counts."""
    weight = jnp.asarray(weight, total.dtype)
    return total / jnp.where(weight == 0, jnp.ones_like(weight), weight)
