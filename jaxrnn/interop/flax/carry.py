"""Carries to and from Flax's recurrent cells, both nnx and linen."""

from typing import Any

from jaxrnn.cells import HiddenCarry, LSTMCarry, lstm
from jaxrnn.interop.flax.counterparts import one_direction
from jaxrnn.layers import Bidirectional, Directions, Layer
from jaxrnn.typing import Carry


def carry_from_flax(layer: Layer, carry: Any) -> Carry:
    """Convert a Flax carry to a carry of jaxrnn.

    Args:
        layer: `recurrent` of a cell, or `bidirectional` of that.
        carry: h `[B, H]`, an LSTM's `(c, h)`, or a pair of such carries for two directions.

    Returns:
        `HiddenCarry`, `LSTMCarry(hidden, memory)`, or `Directions` of them.

    Raises:
        TypeError, ValueError: `layer` is not a Layer, or cannot be ported.

    Examples:
        >>> import jax.numpy as jnp, jaxrnn
        >>> from jaxrnn.interop.flax import carry_from_flax
        >>> carry_from_flax(jaxrnn.recurrent(jaxrnn.gru(2)), jnp.ones((1, 2)))
        HiddenCarry(hidden=Array([[1., 1.]], dtype=float32))
    """
    cell = one_direction(layer).cell
    if isinstance(layer, Bidirectional):
        return Directions(*(carry_from_flax(layer.layer, own) for own in carry))
    if cell == lstm(cell.hidden_size):
        memory, hidden = carry
        return LSTMCarry(hidden, memory)
    return HiddenCarry(carry)


def carry_to_flax(carry: Carry) -> Any:
    """Convert a carry of jaxrnn to what Flax takes: the inverse of `carry_from_flax`.

    Examples:
        >>> import jax.numpy as jnp, jaxrnn
        >>> from jaxrnn.interop.flax import carry_to_flax
        >>> [part.shape for part in carry_to_flax(jaxrnn.lstm(8).initial_carry(3, jnp.float32))]
        [(3, 8), (3, 8)]
    """
    if isinstance(carry, Directions):
        return carry_to_flax(carry.forward), carry_to_flax(carry.backward)
    return (carry.memory, carry.hidden) if isinstance(carry, LSTMCarry) else carry.hidden
