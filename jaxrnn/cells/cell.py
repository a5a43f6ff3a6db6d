"""The `Cell` type: a recurrent cell is its gate equations and nothing else."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxrnn.checks import check_positive_integer
from jaxrnn.typing import Array, DType, Float, Key, Params


def no_params(key: Key) -> tuple[()]:
    """The parameters of a cell whose equations need none beside the matrices."""
    del key
    return ()


class Cell(NamedTuple):
    """Gate equations that one engine runs over time; static and hashable, never traced.

    The engine computes `input_gates = inputs @ w_ih + b_ih` for the whole sequence at once and
    `hidden_gates = hidden @ w_hh + b_hh` at each step.  Everything else is the cell's `update`.
    """

    name: str
    """How the cell is called in configurations and errors."""
    hidden_size: int
    """H, the width of `carry.hidden` and of one gate block."""
    num_gates: int
    """G, the number of gate blocks, in the order of the equations."""
    initial_carry: Callable[[int, DType], Any]
    """(batch_size, dtype) -> carry, a NamedTuple of arrays [B, H] with a field `hidden`."""
    update: Callable[[Any, Any, Any, Any], Any]
    """(cell_params, input_gates [B, G*H], hidden_gates [B, G*H], carry) -> carry, for one step.
    Each row of the batch by itself: padding, and the restart of a row, rely on it.  Elementwise
    work: a matrix product in here would be linearised into T matrices, and is a StepCell's."""
    init_params: Callable[[Key], Params] = no_params
    """(key) -> cell_params: what the equations need beside the matrices, such as peepholes."""
    hidden_bias: bool = False
    """Whether `hidden_gates` has a bias of its own, which only matters where the equations treat
    the two kinds of gates differently."""
    forget_gate: int | None = None
    """Which block is a gate that keeps the memory where it is open; `forget_gate_bias` opens it."""


class LoopParams(NamedTuple):
    """The parameters that take part in every step of the loop."""

    w_hh: Any
    """[H, G*H], or another of the forms in `jaxrnn.recurrence.products`."""
    b_hh: Float[Array, "G*H"] | None
    cell: Params
    """What `init_params` made."""


class StepCell(NamedTuple):
    """A recurrence that is no function of one product of its hidden: a plain step.

    It gets lengths, resets, direction and rematerialisation like any `Cell`; its derivative is
    JAX's own of the loop, so it is slower to train.  `jaxrnn.step_cell` makes one.
    """

    name: str
    hidden_size: int
    num_gates: int
    initial_carry: Callable[[int, DType], Any]
    step: Callable[[LoopParams, Any, Any], Any]
    """(params, input_gates [B, G*H], carry) -> carry, each row of the batch by itself."""
    init_params: Callable[[Key], Params] = no_params
    hidden_bias: bool = False
    """Whether `params.b_hh` exists; the step adds it where it wants."""
    forget_gate: int | None = None


class HiddenCarry(NamedTuple):
    """The carry of a cell that remembers its output only."""

    hidden: Float[Array, "B H"]


def check_hidden_size(hidden_size: Any) -> int:
    """Return `hidden_size` as an int, or raise; every cell's factory begins with it."""
    check_positive_integer("hidden_size", hidden_size)
    return int(hidden_size)


@functools.cache  # so that equal arguments give equal cells, and nothing retraces
def zero_carry(carry_type: Any, hidden_size: int) -> Callable[[int, DType], Any]:
    """An `initial_carry` of zeros for a NamedTuple whose fields are all `[B, H]`."""

    def initial_carry(batch_size: int, dtype: DType = jnp.float32) -> Any:
        check_positive_integer("batch_size", batch_size)
        shape = (batch_size, hidden_size)
        return carry_type(*(jnp.zeros(shape, dtype) for _ in carry_type._fields))

    return initial_carry
