"""The parameters of a cell that runs over time, and the recurrent product in all its forms."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.matmul import matmul
from jaxrnn.typing import Array, Float, Params


class LowRank(NamedTuple):
    """A projection: the gates, and the layers above, read `hidden @ down` in place of hidden.

    Reference: Sak, Senior and Beaufays, Long short-term memory based recurrent neural network
        architectures for large vocabulary speech recognition, 2014, arXiv:1402.1128.
    """

    down: Float[Array, "H P"]
    up: Float[Array, "P GH"]


class BlockDiagonal(NamedTuple):
    """Heads: each reads its own part of the hidden only; with H heads, a diagonal (IndRNN).

    Reference: Li et al., Independently recurrent neural network, 2018, arXiv:1803.04831;
        Beck et al., xLSTM, 2024, arXiv:2405.04517 (the heads of the sLSTM).
    """

    blocks: Float[Array, "heads K G K"]
    """`blocks[head, :, gate]` multiplies the head's K = H / heads units."""


class Masked(NamedTuple):
    """Weights that read a masked hidden: recurrent dropout, one mask for all steps."""

    w_hh: Any
    mask: Float[Array, "B H"]


class RecurrentParams(NamedTuple):
    """The parameters of one recurrent layer; gate blocks in the order of the cell's equations."""

    w_ih: Float[Array, "D G*H"]
    """From the inputs to the gates."""
    w_hh: Float[Array, "H G*H"] | LowRank | BlockDiagonal | Masked
    """From the hidden state to the gates."""
    b_ih: Float[Array, "G*H"]
    """Added to the input gates."""
    b_hh: Float[Array, "G*H"] | None = None
    """Added to the hidden gates; None where it would be redundant (`cell.hidden_bias`)."""
    cell: Params = ()
    """What `cell.init_params` made."""


def product(w_hh: Any, hidden: Any) -> Any:
    """Hidden `[..., B, H]` to hidden gates `[..., B, G*H]`; linear in either."""
    if isinstance(w_hh, Masked):
        return product(w_hh.w_hh, _mask(w_hh, hidden))
    if isinstance(w_hh, LowRank):
        return matmul(matmul(hidden, w_hh.down), w_hh.up)
    if isinstance(w_hh, BlockDiagonal):
        heads, width, gates, _ = w_hh.blocks.shape
        leading = hidden.shape[:-1]
        rows = jnp.moveaxis(hidden.reshape(-1, heads, width), 1, 0)
        by_head = matmul(rows, w_hh.blocks.reshape(heads, width, gates * width))
        by_row = by_head.reshape(heads, *leading, gates, width)
        return jnp.moveaxis(by_row, 0, -2).reshape(*leading, gates * heads * width)
    return matmul(hidden, w_hh)


def project_outputs(w_hh: Any, hidden: Any) -> Any:
    """What the layers above read of hidden: its projection where the weights have one."""
    if isinstance(w_hh, Masked):
        return project_outputs(w_hh.w_hh, hidden)
    return matmul(hidden, w_hh.down) if isinstance(w_hh, LowRank) else hidden


def transposable_product(w_hh: Any) -> Callable[[Any], Any]:
    """Hidden -> product, written so that its transpose has no transposed operand.

    XLA would otherwise transpose `w_hh` anew at every step of the backward loop.
    """
    if isinstance(w_hh, Masked):
        unmasked = transposable_product(w_hh.w_hh)
        return lambda hidden: unmasked(_mask(w_hh, hidden))
    if not isinstance(w_hh, jax.Array):
        return lambda hidden: product(w_hh, hidden)
    transposed = lax.optimization_barrier(w_hh.T)

    def transposable(hidden: Any) -> Any:
        dimensions = (((1,), (1,)), ((), ()))
        gates = lax.dot_general(hidden.astype(w_hh.dtype), transposed, dimensions)
        return gates.astype(hidden.dtype)

    return transposable


def cast_weights(weights: Any, dtype: Any) -> Any:
    """The weights in a precision of their own; None leaves them, and a mask stays as it is."""
    if dtype is None:
        return weights
    if isinstance(weights, Masked):
        return weights._replace(w_hh=cast_weights(weights.w_hh, dtype))
    return jax.tree.map(lambda array: array.astype(dtype), weights)


def _mask(masked: Masked, hidden: Any) -> Any:
    return hidden * masked.mask.reshape((1,) * (hidden.ndim - 2) + masked.mask.shape)
