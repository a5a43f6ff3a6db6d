"""The simple recurrent network of Elman."""

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from jaxrnn.cells.cell import Cell, HiddenCarry, check_hidden_size, zero_carry


@functools.cache  # so that equal activations give equal cells, and nothing retraces
def rnn_update(activation: Callable[[Any], Any]) -> Callable[..., HiddenCarry]:
    """The `update` of the cell with this activation."""

    def update(cell_params: Any, input_gates: Any, hidden_gates: Any, carry: Any) -> HiddenCarry:
        return HiddenCarry(activation(input_gates + hidden_gates))

    return update


def rnn(hidden_size: int, activation: Callable[[Any], Any] = jnp.tanh) -> Cell:
    """The simple recurrent cell.

        h' = activation(x W_ih + b_ih + h W_hh)

    Args:
        hidden_size: H.
        activation: applied elementwise; `jnp.tanh`, `jax.nn.relu`, ...

    Returns:
        A cell with one gate block and the carry `HiddenCarry(hidden)`.

    Raises:
        TypeError: `hidden_size` is not an integer or `activation` not callable.
        ValueError: `hidden_size` is below 1.

    Reference: Elman, Finding structure in time, 1990.
    """
    hidden_size = check_hidden_size(hidden_size)
    if not callable(activation):
        raise TypeError(f"activation must be a function of an array, got {activation!r}")
    initial_carry = zero_carry(HiddenCarry, hidden_size)
    return Cell("rnn", hidden_size, 1, initial_carry, rnn_update(activation))
