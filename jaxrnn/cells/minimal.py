"""The minimal GRU and LSTM, whose gates do not read the hidden state."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax.nn import log_sigmoid, sigmoid

from jaxrnn.cells.linear_cell import LinearCell, linear_cell
from jaxrnn.typing import Gates


@dataclass(frozen=True)
class MinGRUCoefficients:
    """The coefficients of `min_gru`."""

    positive: bool

    def __call__(self, cell_params: Any, input_gates: Gates) -> tuple[Any, Any]:
        """Return (a, b) of one step."""
        z, candidate = input_gates
        return sigmoid(-z), sigmoid(z) * (make_positive(candidate) if self.positive else candidate)


@dataclass(frozen=True)
class MinLSTMCoefficients:
    """The coefficients of `min_lstm`."""

    positive: bool

    def __call__(self, cell_params: Any, input_gates: Gates) -> tuple[Any, Any]:
        """Return (a, b) of one step."""
        f, i, candidate = input_gates
        # The gates' shares of their sum: as in the paper, by the difference of their logarithms,
        # because both may be 0, and a quotient's derivative overflows long before.
        difference = log_sigmoid(f) - log_sigmoid(i)
        candidate = make_positive(candidate) if self.positive else candidate
        return sigmoid(difference), sigmoid(-difference) * candidate


def make_positive(x: Any) -> Any:
    """Return the paper's g(x) > 0: x + 1/2 for x >= 0, else sigmoid(x)."""
    return jnp.where(x >= 0, x + 0.5, sigmoid(x))


def min_gru(hidden_size: int, *, positive: bool = False) -> LinearCell:
    """Return a minimal GRU, whose gates do not read the hidden state.

        z  = sigmoid(i_z)               i = x W_ih + b_ih
        h' = (1 - z) * h + z * i_n

    Args:
        hidden_size: H.
        positive: pass the candidate i_n through g(x) = x + 1/2 for x >= 0, else sigmoid(x): the
            paper's version in log space, whose states stay positive.  The values are the same in
            and out of log space; the engine multiplies numbers in 0..1 and needs no logarithms.

    Returns:
        A linear cell with the gates z, n and the carry `HiddenCarry(hidden)`.

    Raises:
        TypeError: `hidden_size` is not an integer.
        ValueError: `hidden_size` is below 1.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.min_gru(256).gates
        ('update', 'candidate')

    Reference:
        Feng et al., Were RNNs all we needed?, 2024, arXiv:2410.01201.
    """
    return linear_cell(
        "min_gru",
        hidden_size,
        gates=("update", "candidate"),
        coefficients=MinGRUCoefficients(positive),
    )


def min_lstm(hidden_size: int, *, positive: bool = False) -> LinearCell:
    """Return a minimal LSTM, whose gates do not read the hidden state and sum to one.

        f, i = sigmoid(i_f), sigmoid(i_i)       i = x W_ih + b_ih
        h'   = (f * h + i * i_n) / (f + i)

    Args:
        hidden_size: H.
        positive: as for `jaxrnn.min_gru`.

    Returns:
        A linear cell with the gates f, i, n and the carry `HiddenCarry(hidden)`.

    Raises:
        TypeError: `hidden_size` is not an integer.
        ValueError: `hidden_size` is below 1.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.min_lstm(256).gates
        ('forget', 'input', 'candidate')

    Reference:
        Feng et al., Were RNNs all we needed?, 2024, arXiv:2410.01201.
    """
    return linear_cell(
        "min_lstm",
        hidden_size,
        gates=("forget", "input", "candidate"),
        coefficients=MinLSTMCoefficients(positive),
    )
