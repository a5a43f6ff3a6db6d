"""The parameters of a recurrent layer, and the recurrent product in all its forms."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.matmul import matmul, round_to
from jaxrnn.typing import Array, Float, Params


class LowRank(NamedTuple):
    """Projected weights: the gates and the layers above read `hidden @ down`, not `hidden`.

    Reference:
        Sak, Senior and Beaufays, Long short-term memory based recurrent neural network
        architectures for large vocabulary speech recognition, 2014, arXiv:1402.1128.
    """

    down: Float[Array, "H P"]
    """Projects the hidden state to P units."""
    up: Float[Array, "P GH"]
    """Maps the projection to the hidden gates."""


class BlockDiagonal(NamedTuple):
    """Weights with heads: each head reads only its own slice of the hidden state.

    With H heads the weights are diagonal (IndRNN).

    Reference:
        Li et al., Independently recurrent neural network, 2018, arXiv:1803.04831; Beck et al.,
        xLSTM, 2024, arXiv:2405.04517 (the heads of the sLSTM).
    """

    blocks: Float[Array, "heads K G K"]
    """`blocks[head, :, gate]` multiplies the head's K = H / heads units."""


class Masked(NamedTuple):
    """Weights that read a masked hidden state, for recurrent dropout."""

    w_hh: Any
    """The weights: an array, `LowRank` or `BlockDiagonal`."""
    mask: Float[Array, "B H"]
    """The factors of the hidden units, the same at all steps."""


class RecurrentParams(NamedTuple):
    """The parameters of one recurrent layer, with G blocks of columns in the order of `cell.gates`.

    Examples:
        >>> import jax, jaxrnn
        >>> params = jaxrnn.recurrent(jaxrnn.gru(8)).init(jax.random.key(0), 3)
        >>> params.w_ih.shape, params.w_hh.shape, params.b_ih.shape
        ((3, 24), (8, 24), (24,))
    """

    w_ih: Any
    """The weights from the inputs to the gates, `[D, G*H]`; None for a cell without gates."""
    w_hh: Any
    """The weights from the hidden state to the gates: `[H, G*H]`, `LowRank` or `BlockDiagonal`;
    None for a cell without gates and for a linear one."""
    b_ih: Any
    """The bias of the input gates, `[G*H]`; None for a cell without gates."""
    b_hh: Float[Array, "G*H"] | None = None
    """The bias of the hidden gates; None where it would be redundant (`cell.hidden_bias`)."""
    cell: Params = ()
    """The cell's own parameters, from `cell.init_params`."""


def product(w_hh: Any, hidden: Any) -> Any:
    """Map hidden states `[..., B, H]` to hidden gates `[..., B, G*H]`, linearly in both."""
    if isinstance(w_hh, Masked):
        return product(w_hh.w_hh, _mask(w_hh, hidden))
    if isinstance(w_hh, LowRank):
        return matmul(matmul(hidden, w_hh.down), w_hh.up)
    if isinstance(w_hh, BlockDiagonal):
        heads, width, gates, _ = w_hh.blocks.shape
        if width == 1:
            factors = w_hh.blocks[:, 0, :, 0].T.astype(hidden.dtype)  # [G, H]
            # Not multiplied in half precision, in which their gradient would be summed.
            rounded = round_to(hidden, w_hh.blocks.dtype)[..., None, :]
            by_gate = rounded * factors.reshape((1,) * (hidden.ndim - 1) + factors.shape)
            return by_gate.reshape(*hidden.shape[:-1], gates * heads)
        leading = hidden.shape[:-1]
        rows = jnp.moveaxis(hidden.reshape(-1, heads, width), 1, 0)
        by_head = matmul(rows, w_hh.blocks.reshape(heads, width, gates * width))
        by_row = by_head.reshape(heads, *leading, gates, width)
        return jnp.moveaxis(by_row, 0, -2).reshape(*leading, gates * heads * width)
    return matmul(hidden, w_hh)


def project_outputs(w_hh: Any, hidden: Any) -> Any:
    """Return a layer's outputs: its hidden states, or their projection for `LowRank` weights."""
    if isinstance(w_hh, Masked):
        return project_outputs(w_hh.w_hh, hidden)
    return matmul(hidden, w_hh.down) if isinstance(w_hh, LowRank) else hidden


def transposable_product(w_hh: Any) -> Callable[[Any], Any]:
    """Return a function hidden -> `product` whose transpose needs no transposed operand.

    Otherwise XLA would transpose `w_hh` at every step of the backward loop.
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
    """Cast the weights to a dtype, but not their mask.  None leaves them unchanged."""
    if dtype is None:
        return weights
    if isinstance(weights, Masked):
        return weights._replace(w_hh=cast_weights(weights.w_hh, dtype))
    return jax.tree.map(lambda array: array.astype(dtype), weights)


def _mask(masked: Masked, hidden: Any) -> Any:
    return hidden * masked.mask.reshape((1,) * (hidden.ndim - 2) + masked.mask.shape)
