"""Losses of classes: cross-entropies, and the accuracy."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxrnn.batch import Batch
from jaxrnn.checks import check_array, check_number, is_concrete, widen_ids
from jaxrnn.losses.numbers import as_targets
from jaxrnn.losses.valid import sum_valid, valid_only, valid_targets
from jaxrnn.typing import AnyArray, Array, Float, Int, Real


def cross_entropy(
    outputs: Float[Array, "*steps B C"],
    batch: Batch,
    *,
    class_weights: Float[AnyArray, "C"] | Sequence[float] | None = None,
    label_smoothing: float = 0.0,
) -> tuple[Float[Array, ""], Real[Array, ""]]:
    """Return the cross-entropy of each class that is right, in nats, summed over those that count.

    To set an option, pass `functools.partial(cross_entropy, label_smoothing=0.1)` as the loss.

    Args:
        outputs: a model's logits, `[T, B, C]` or, one per sequence, `[B, C]`.
        batch: `batch.targets` are the right classes `[T, B]` or `[B]`, integers in `0..C - 1`.
        class_weights: how much each class weighs in the mean, for classes of unequal size.
        label_smoothing: the probability that the target distribution spreads evenly over all
            classes (Szegedy et al., Rethinking the Inception architecture for computer vision,
            2016, arXiv:1512.00567).

    Returns:
        (sum, number or weight of the targets): the quotient is PyTorch's `CrossEntropyLoss`.

    Raises:
        TypeError: the targets are not integers.
        ValueError: a target is out of range (where targets are traced, the sum is NaN instead), or
            a shape or an option is wrong.

    Examples:
        >>> import jax.numpy as jnp, jaxrnn
        >>> batch = jaxrnn.Batch(jnp.ones((5, 2, 3)), targets=jnp.array([0, 7]))
        >>> nats, number = jaxrnn.losses.cross_entropy(jnp.zeros((2, 8)), batch)
        >>> round(jaxrnn.losses.perplexity(float(nats) / int(number)), 3)
        8.0
    """
    num_classes = outputs.shape[-1]
    check_number("label_smoothing", label_smoothing, low=0.0, high=1.0)
    targets, logits = labels_of(batch, outputs), valid_only(outputs, batch)
    if class_weights is None and label_smoothing == 0:
        nats = optax.losses.softmax_cross_entropy_with_integer_labels(logits, targets)
        return sum_valid(nan_where_wrong(nats, targets, num_classes), batch)
    if class_weights is None:
        weights, of_targets = jnp.ones(num_classes, logits.dtype), None
    else:
        weights = jnp.asarray(class_weights, logits.dtype)
        if weights.shape != (num_classes,):
            raise ValueError(f"class_weights must be [{num_classes}], got {list(weights.shape)}")
        of_targets = weights[targets]
    wanted = jax.nn.one_hot(targets, num_classes, dtype=logits.dtype)
    wanted = (1 - label_smoothing) * wanted + label_smoothing / num_classes
    surprises = -jax.nn.log_softmax(logits)
    terms = weights.reshape((1,) * (logits.ndim - 1) + (-1,)) * wanted * surprises
    # A class that is excluded by a logit of -inf is infinitely surprising, and not wanted.
    nats = jnp.where(wanted == 0, jnp.zeros_like(terms), terms).sum(axis=-1)
    return sum_valid(nan_where_wrong(nats, targets, num_classes), batch, of_targets)


def binary_cross_entropy(
    outputs: Float[Array, "*steps B F"], batch: Batch
) -> tuple[Float[Array, ""], Real[Array, ""]]:
    """Return the cross-entropy of F independent yes-or-no answers, in nats, averaged over F.

    Args:
        outputs: the logit of "yes" for each answer, `[T, B, F]` or `[B, F]`.
        batch: `batch.targets` are 0, 1 or probabilities in between, of the same shape; the last
            axis may be absent if F is 1.

    Returns:
        (sum, number of targets): the quotient is PyTorch's `BCEWithLogitsLoss` of the valid steps.

    Raises:
        TypeError: the targets are not numbers.
        ValueError: the targets have another shape.

    Examples:
        >>> import jax.numpy as jnp, jaxrnn
        >>> batch = jaxrnn.Batch(jnp.ones((4, 2, 3)), targets=jnp.array([1, 0]))
        >>> nats, number = jaxrnn.losses.binary_cross_entropy(jnp.zeros((2, 1)), batch)
        >>> round(float(nats) / int(number), 3)  # log 2
        0.693
    """
    logits = valid_only(outputs, batch)
    targets = as_targets(batch.targets, logits.shape, logits.dtype)
    nats = jnp.logaddexp(logits, jnp.zeros_like(logits)) - targets * logits
    return sum_valid(nats.mean(axis=-1), batch)


def accuracy(
    outputs: Float[Array, "*steps B C"], batch: Batch
) -> tuple[Float[Array, ""], Int[Array, ""]]:
    """Return how many of the targets that count are the class of the largest output, a metric.

    Args:
        outputs: a model's logits, `[T, B, C]` or `[B, C]`.
        batch: as for `cross_entropy`.

    Returns:
        (number of right answers, number of targets)

    Examples:
        >>> import jax.numpy as jnp, jaxrnn
        >>> batch = jaxrnn.Batch(jnp.ones((4, 2, 3)), targets=jnp.array([1, 0]))
        >>> [int(x) for x in jaxrnn.losses.accuracy(jnp.array([[0.0, 1.0], [2.0, 3.0]]), batch)]
        [1, 2]
    """
    targets = labels_of(batch, outputs)
    right = jnp.argmax(outputs, axis=-1).astype(targets.dtype) == targets
    return sum_valid(right.astype(jnp.float32), batch)  # type: ignore[return-value]


def labels_of(batch: Batch, outputs: Any) -> Int[Array, "*steps B"]:
    """Return the targets as class indices, 0 where they do not count."""
    targets = batch.targets
    check_array("targets", targets)
    if targets.shape != outputs.shape[:-1]:
        raise ValueError(
            f"targets must be classes of shape {tuple(outputs.shape[:-1])}, one for each of the"
            f" model's outputs, got shape {tuple(targets.shape)}"
        )
    valid = valid_targets(batch, targets.shape)
    if valid is not None:
        targets = jnp.where(valid, targets, 0)
    return jnp.asarray(widen_ids("targets", targets, outputs.shape[-1]))


def nan_where_wrong(values: Any, targets: Any, num_classes: int) -> Any:
    """Return NaN at targets out of range, which indexing would silently wrap or clamp."""
    if is_concrete(targets):  # checked already
        return values
    return jnp.where((targets >= 0) & (targets < num_classes), values, jnp.nan)
