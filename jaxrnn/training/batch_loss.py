"""The loss of a model on a batch; with many tokens, in the memory of one array of logits."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.batch import Batch
from jaxrnn.language_model import LanguageModel
from jaxrnn.layers import Layer
from jaxrnn.losses import Loss, Penalty, cross_entropy, sum_valid
from jaxrnn.losses.labels import labels_of, nan_where_wrong
from jaxrnn.losses.valid import valid_only
from jaxrnn.matmul import at_least_float32
from jaxrnn.recurrence.arguments import check_sequence
from jaxrnn.recurrence.boundaries import Context, where_rows
from jaxrnn.training.chunked_loss import linear_cross_entropy
from jaxrnn.typing import Array, Float, Key, Params, Real

MANY_LOGITS = 2**21
"""A batch with more logits than that, 8 MB in float32, gets its loss in chunks."""


class BatchLoss(NamedTuple):
    """The loss of a batch, and the carry after it."""

    total: Float[Array, ""]
    """The loss's sum over the targets that count."""
    weight: Real[Array, ""]
    """Their number or weight."""
    penalty: Float[Array, ""] | None
    """What training adds to `total`; None without a penalty."""
    carry: Any
    """The carry after the batch."""


def loss_of_batch(
    model: Layer,
    loss: Loss,
    params: Params,
    batch: Batch,
    carry: Any,
    key: Key | None,
    penalty: Penalty | None = None,
) -> BatchLoss:
    """Run a model over a batch.

    Args:
        carry: from the previous batch, for rows that continue; see `Batch.starts`.
        key: for dropout; None means evaluation.
        penalty: on the activations of a language model.
    """
    started = None
    if batch.starts is not None:
        initial = model.initial_carry(params, batch.inputs.shape[1])
        started = where_rows(batch.starts, initial, carry)
    in_chunks = loss is cross_entropy and _has_many_logits(model, batch)
    if isinstance(model, LanguageModel) and (in_chunks or penalty is not None):
        of_batch = _of_language_model(model, loss, penalty, params, batch, started, key)
    else:
        outputs, after = model.apply(
            params, batch.inputs, started, lengths=batch.lengths, resets=batch.resets, key=key
        )
        of_batch = BatchLoss(*loss(outputs, batch), None, after)
    return of_batch._replace(carry=carry) if started is None else of_batch


def _of_language_model(
    model: LanguageModel,
    loss: Loss,
    penalty: Penalty | None,
    params: Params,
    batch: Batch,
    carry: Any,
    key: Key | None,
) -> BatchLoss:
    check_sequence(batch.inputs, batch.lengths, batch.resets)
    if carry is None:
        carry = model.initial_carry(params, batch.inputs.shape[1])
    context = Context(lengths=batch.lengths, resets=batch.resets, key=key)
    activations, carry = model.run_body(params, batch.inputs, carry, context)
    if loss is cross_entropy and _has_many_logits(model, batch):
        total, weight = _in_chunks(model, params, activations.dropped, batch)
    else:
        total, weight = loss(model.run_output(params, activations, context), batch)
    added = None if penalty is None else penalty(*activations, batch)
    return BatchLoss(total, weight, added, carry)


def _in_chunks(model: LanguageModel, params: Params, hidden: Any, batch: Batch) -> tuple[Any, Any]:
    """Compute `losses.cross_entropy` in chunks of time steps."""
    kernel, bias = model.output_params(params)
    logits = jax.ShapeDtypeStruct((*hidden.shape[:-1], model.vocab_size), bias.dtype)
    targets = labels_of(batch, logits)
    nats = linear_cross_entropy(valid_only(hidden, batch), kernel, bias, targets)
    return sum_valid(nan_where_wrong(nats, targets, model.vocab_size), batch)


def _has_many_logits(model: Layer, batch: Batch) -> bool:
    # Not on other platforms, where this was not measured.
    if not isinstance(model, LanguageModel) or jax.default_backend() != "cpu":
        return False
    kind = type(model)  # a subclass may do more than a linear layer does
    if (kind.run, kind.run_output) != (LanguageModel.run, LanguageModel.run_output):
        return False
    return batch.targets.size * model.vocab_size > MANY_LOGITS


def mean(total: Any, weight: Any) -> Any:
    """Return sum / weight, and 0 if nothing counts."""
    wide = at_least_float32(total.dtype)  # in float16, 65,520 is infinite
    weight = jnp.asarray(weight, wide)
    quotient = total.astype(wide) / jnp.where(weight == 0, jnp.ones_like(weight), weight)
    return quotient.astype(total.dtype)
