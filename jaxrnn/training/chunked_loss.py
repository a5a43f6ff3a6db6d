"""The cross-entropy of a linear layer's outputs, with a part of the logits at a time.

With a large vocabulary, logits need more memory than everything else: two arrays `[T, B, V]` where
a loss follows the layer, and a third for the derivative.  Here the logits of a few time steps
become their part of the loss, and of its derivative, before the next ones are computed.  Only the
derivative is kept, and without one, nothing.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.matmul import matmul
from jaxrnn.typing import AnyArray, Array, Float, Integer

LOGITS_AT_ONCE = 2**19
"""The number of logits that are computed together, unless one step has more: 2 MB in float32."""


def linear_cross_entropy(
    inputs: Float[Array, "T B D"],
    kernel: Float[Array, "D V"],
    bias: Float[Array, "V"],
    targets: Integer[AnyArray, "T B"],
) -> Float[Array, "T B"]:
    """Return the cross-entropy of each target, in nats, given logits `inputs @ kernel + bias`.

    Products are computed in the inputs' precision and summed in the bias's.  The derivative with
    respect to the logits, softmax minus one-hot, is computed along with the loss, because there the
    logits are at hand.  Targets out of range have no meaning; check them before.

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
    steps_at_once = math.ceil(num_steps / max(1, num_chunks))  # as equal as they can be

    def split(steps: Any) -> Any:
        padding = [(0, num_chunks * steps_at_once - num_steps)] + [(0, 0)] * (steps.ndim - 1)
        return jnp.pad(steps, padding).reshape(num_chunks, steps_at_once, *steps.shape[1:])

    nats = _of_chunks(split(inputs), kernel.astype(inputs.dtype), bias, split(targets))
    return nats.reshape(num_chunks * steps_at_once, num_rows)[:num_steps]


@jax.custom_jvp
def _of_chunks(inputs: Any, kernel: Any, bias: Any, targets: Any) -> Any:
    """Return the cross-entropies `[C, S, B]` of C chunks of S steps."""
    return lax.map(lambda chunk: _nats_and_errors(kernel, bias, *chunk)[0], (inputs, targets))


@_of_chunks.defjvp
def _of_chunks_jvp(primals: Any, tangents: Any) -> Any:
    (inputs, kernel, bias, targets), (d_inputs, d_kernel, d_bias, _) = primals, tangents
    nats, errors = lax.map(lambda chunk: _nats_and_errors(kernel, bias, *chunk), (inputs, targets))
    # The errors times the tangents of the logits, written so that the transpose multiplies inputs,
    # not the larger errors, by the cotangents.
    by_inputs = (matmul(errors, kernel.T, bias.dtype) * d_inputs.astype(bias.dtype)).sum(axis=-1)
    by_kernel = (inputs.astype(bias.dtype) * matmul(errors, d_kernel.T.astype(bias.dtype))).sum(
        axis=-1
    )
    by_bias = (errors * d_bias[None, None, None]).sum(axis=-1)
    return nats, by_inputs + by_kernel + by_bias


def _nats_and_errors(kernel: Any, bias: Any, inputs: Any, targets: Any) -> tuple[Any, Any]:
    """Return the cross-entropies `[S, B]` and their derivative with respect to the logits."""
    logits = matmul(inputs, kernel, bias.dtype) + bias[None, None]
    shifted = logits - logits.max(axis=-1, keepdims=True)
    exponentials = jnp.exp(shifted)
    total = exponentials.sum(axis=-1, keepdims=True)
    of_targets = jnp.take_along_axis(shifted, targets[..., None], axis=-1, mode="clip")
    is_target = jnp.arange(len(bias), dtype=targets.dtype)[None, None] == targets[..., None]
    nats = (jnp.log(total) - of_targets)[..., 0]
    return nats, exponentials / total - is_target.astype(bias.dtype)
