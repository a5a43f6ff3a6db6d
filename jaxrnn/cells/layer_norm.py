"""LSTM and GRU with layer normalisation."""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jax.nn import sigmoid

from jaxrnn.cells.cell import Cell, HiddenCarry, zero_carry
from jaxrnn.cells.lstm import LSTMCarry
from jaxrnn.typing import Array, Float, Gates, Key

EPSILON = 1e-5
"""What is added to each variance."""


class Gains(NamedTuple):
    """The gains of the normalised arrays, and what is added to them."""

    input: Float[Array, "G H"]
    """Of the input gates."""
    hidden: Float[Array, "G H"]
    """Of the hidden gates."""
    bias: Float[Array, "G H"]
    """The bias of the gates, added after the normalisation."""
    memory: Float[Array, "2 H"] | None = None
    """The gain and the bias of an LSTM's memory."""


@dataclass(frozen=True)
class GainsInit:
    """The `init_params` of both cells: gains of one and biases of zero."""

    num_gates: int
    hidden_size: int
    memory: bool

    def __call__(self, key: Key) -> Gains:
        """Return the gains; nothing is random."""
        ones = jnp.ones((self.num_gates, self.hidden_size))
        memory = jnp.stack([ones[0], jnp.zeros_like(ones[0])]) if self.memory else None
        return Gains(ones, ones, jnp.zeros_like(ones), memory)


def normalise(arrays: Gates) -> Gates:
    """Return arrays `[B, H]` with the mean 0 and the variance 1 over all their units together."""
    mean = sum(x.mean(axis=-1, keepdims=True) for x in arrays) / len(arrays)
    centred = [x - mean for x in arrays]
    variance = sum(jnp.square(x).mean(axis=-1, keepdims=True) for x in centred) / len(arrays)
    scale = lax.rsqrt(variance + EPSILON)
    return tuple(x * scale for x in centred)


def layer_norm_lstm_update(
    own: Gains, input_gates: Gates, hidden_gates: Gates, carry: LSTMCarry
) -> LSTMCarry:
    """Take one step of `layer_norm_lstm`."""
    halves = zip(normalise(input_gates), normalise(hidden_gates), strict=True)
    i, f, g, o = (
        own.input[k][None] * x + own.hidden[k][None] * h + own.bias[k][None]
        for k, (x, h) in enumerate(halves)
    )
    memory = sigmoid(f) * carry.memory + sigmoid(i) * jnp.tanh(g)
    (normalised,) = normalise((memory,))
    assert own.memory is not None
    output = own.memory[0][None] * normalised + own.memory[1][None]
    return LSTMCarry(sigmoid(o) * jnp.tanh(output), memory)


def layer_norm_gru_update(
    own: Gains, input_gates: Gates, hidden_gates: Gates, carry: HiddenCarry
) -> HiddenCarry:
    """Take one step of `layer_norm_gru`."""
    x = (*normalise(input_gates[:2]), *normalise(input_gates[2:]))
    h = (*normalise(hidden_gates[:2]), *normalise(hidden_gates[2:]))
    x = tuple(own.input[k][None] * x[k] + own.bias[k][None] for k in range(3))
    h = tuple(own.hidden[k][None] * h[k] for k in range(3))
    r, z = sigmoid(x[0] + h[0]), sigmoid(x[1] + h[1])
    n = jnp.tanh(x[2] + r * h[2])
    return HiddenCarry((1 - z) * carry.hidden + z * n)


def layer_norm_lstm(hidden_size: int) -> Cell:
    """Return an LSTM with layer normalisation.

        i, f, g, o = N(x W_ih + b_ih) + N(h W_hh) + b       N: gains, over all gates of a row
        c'         = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h'         = sigmoid(o) * tanh(N(c'))

    N divides what differs from the mean by the standard deviation, and multiplies by gains of its
    own; that of the memory also adds a bias.  With `bias_init="zeros"`, `b_ih` is the paper's zero.

    Args:
        hidden_size: H.

    Returns:
        A cell with the gates i, f, g, o and the carry `LSTMCarry(hidden, memory)`.

    Raises:
        TypeError: `hidden_size` is not an integer.
        ValueError: `hidden_size` is below 1.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.layer_norm_lstm(256)
        layer_norm_lstm(256)

    Reference:
        Ba, Kiros and Hinton, Layer normalization, 2016, arXiv:1607.06450.
    """
    return Cell(
        "layer_norm_lstm",
        hidden_size,
        gates=("input", "forget", "candidate", "output"),
        initial_carry=zero_carry(LSTMCarry, hidden_size),
        update=layer_norm_lstm_update,
        init_params=GainsInit(4, hidden_size, memory=True),
    )


def layer_norm_gru(hidden_size: int) -> Cell:
    """Return a GRU with layer normalisation.

        r, z = sigmoid(N(i_rz) + N(h_rz) + b_rz)        i = x W_ih + b_ih
        n    = tanh(N(i_n) + b_n + r * N(h_n))          h = hidden W_hh
        h'   = (1 - z) * hidden + z * n

    N normalises r and z together and n by itself, and multiplies by gains of its own.  As in the
    paper, z is the share of the new candidate, where that of `jaxrnn.gru` is the old state's.

    Args:
        hidden_size: H.

    Returns:
        A cell with the gates r, z, n and the carry `HiddenCarry(hidden)`.

    Raises:
        TypeError: `hidden_size` is not an integer.
        ValueError: `hidden_size` is below 1.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.layer_norm_gru(256)
        layer_norm_gru(256)

    Reference:
        Ba, Kiros and Hinton, Layer normalization, 2016, arXiv:1607.06450.
    """
    return Cell(
        "layer_norm_gru",
        hidden_size,
        gates=("reset", "update", "candidate"),
        initial_carry=zero_carry(HiddenCarry, hidden_size),
        update=layer_norm_gru_update,
        init_params=GainsInit(3, hidden_size, memory=False),
    )
