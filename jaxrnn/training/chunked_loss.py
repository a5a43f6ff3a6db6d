"""The cross-entropy of a linear layer's outputs, with one array of the size of the logits.

With a large vocabulary, logits need more memory than everything else: two arrays `[T, B, V]` where
a loss follows the layer, and a third for the derivative.  Here they need one array, in which the
derivative takes the logits' place, a few time steps at a time.  Without a derivative, the logits of
a few steps become their part of the loss before the next ones are computed, and nothing is kept.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.matmul import matmul
from jaxrnn.typing import AnyArray, Array, Float, Integer

LOGITS_AT_ONCE = 2**19
"""The most logits in a chunk, unless one step has more: 2 MB in float32, for the caches."""


def linear_cross_entropy(
    inputs: Float[Array, "T B D"],
    kernel: Float[Array, "D V"],
    bias: Float[Array, "V"],
    targets: Integer[AnyArray, "T B"],
) -> Float[Array, "T B"]:
    """Return the cross-entropy of each target, in nats, given logits `inputs @ kernel + bias`.

    Logits are computed in the inputs' precision and summed in the bias's.  The derivative with
    respect to them, softmax minus one-hot, is computed along with the loss, because there they are
    at hand.  Targets out of range have no meaning; check them before.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jaxrnn.training.chunked_loss import linear_cross_entropy
        >>> inputs, targets = jnp.zeros((5, 2, 3)), jnp.ones((5, 2), int)
        >>> nats = linear_cross_entropy(inputs, jnp.ones((3, 8)), jnp.zeros(8), targets)
        >>> jnp.exp(nats).round(3)[0].tolist()
        [8.0, 8.0]
    """
    num_steps, num_rows = targets.shape
    steps_at_once = max(1, min(num_steps, LOGITS_AT_ONCE // max(1, num_rows * len(bias))))
    num_chunks = math.ceil(num_steps / steps_at_once)
    steps_at_once = math.ceil(num_steps / max(1, num_chunks))  # with the least padding

    def split(steps: Any) -> Any:
        padding = [(0, num_chunks * steps_at_once - num_steps)] + [(0, 0)] * (steps.ndim - 1)
        return jnp.pad(steps, padding).reshape(num_chunks, steps_at_once, *steps.shape[1:])

    nats = _of_chunks(split(inputs), kernel.astype(inputs.dtype), bias, split(targets))
    return nats.reshape(num_chunks * steps_at_once, num_rows)[:num_steps]


@jax.custom_jvp
def _of_chunks(inputs: Any, kernel: Any, bias: Any, targets: Any) -> Any:
    """Return the cross-entropies `[C, S, B]` of C chunks of S steps."""

    def nats_of(chunk: Any) -> Any:
        inputs, targets = chunk
        logits = matmul(inputs, kernel, bias.dtype) + bias[None, None]
        return _nats_and_errors(logits, _of_targets(logits, targets), targets)[0]

    return lax.map(nats_of, (inputs, targets))


@_of_chunks.defjvp
def _of_chunks_jvp(primals: Any, tangents: Any) -> Any:
    (inputs, kernel, bias, targets), (d_inputs, d_kernel, d_bias, _) = primals, tangents
    nats, errors = _errors_in_place(inputs, kernel, bias, targets)
    # The errors times the tangents of the logits, written so that the transpose multiplies inputs,
    # not the larger errors, by the cotangents.
    by_inputs = (matmul(errors, kernel.T, bias.dtype) * d_inputs.astype(bias.dtype)).sum(axis=-1)
    by_kernel = (inputs.astype(bias.dtype) * matmul(errors, d_kernel.T.astype(bias.dtype))).sum(
        axis=-1
    )
    return nats, by_inputs + by_kernel + errors @ d_bias


def _errors_in_place(inputs: Any, kernel: Any, bias: Any, targets: Any) -> tuple[Any, Any]:
    """Return the cross-entropies, and their derivative with respect to all logits.

    One product computes all logits, because each product of a chunk would pack the kernel anew.
    Their derivative takes their place, a chunk at a time, and the cross-entropies that of the
    targets' logits.  These are read before the loop: if it read them from the array that it
    overwrites, XLA would copy all of that.
    """
    products = matmul(inputs, kernel, bias.dtype)
    logits_of_targets = _of_targets(products, targets) + jnp.take(bias, targets, mode="clip")

    def replace(chunk: Any, arrays: tuple[Any, Any]) -> tuple[Any, Any]:
        of_targets, logits, here = (
            lax.dynamic_index_in_dim(array, chunk, keepdims=False) for array in (*arrays, targets)
        )
        new = _nats_and_errors(logits + bias[None, None], of_targets, here)
        return jax.tree.map(
            lambda array, part: lax.dynamic_update_index_in_dim(array, part, chunk, 0), arrays, new
        )

    return lax.fori_loop(0, len(targets), replace, (logits_of_targets, products))


def _of_targets(logits: Any, targets: Any) -> Any:
    return jnp.take_along_axis(logits, targets[..., None], axis=-1, mode="clip")[..., 0]


def _nats_and_errors(logits: Any, of_targets: Any, targets: Any) -> tuple[Any, Any]:
    """Return the cross-entropies `[S, B]` and their derivative with respect to the logits."""
    maximum = logits.max(axis=-1, keepdims=True)
    exponentials = jnp.exp(logits - maximum)
    total = exponentials.sum(axis=-1, keepdims=True)
    nats = jnp.log(total[..., 0]) - (of_targets - maximum[..., 0])
    tokens = jnp.arange(logits.shape[-1], dtype=targets.dtype)
    is_target = tokens[None, None] == targets[..., None]
    return nats, exponentials / total - is_target.astype(logits.dtype)
