"""Any recurrence as a plain step function."""

from collections.abc import Callable
from typing import Any

from jaxrnn.cells.cell import (
    HiddenCarry,
    LoopParams,
    StepCell,
    check_hidden_size,
    no_params,
    zero_carry,
)
from jaxrnn.checks import check_positive_integer
from jaxrnn.typing import DType, Key, Params


def step_cell(
    name: str,
    hidden_size: int,
    step: Callable[[LoopParams, Any, Any], Any],
    *,
    num_gates: int = 1,
    initial_carry: Callable[[int, DType], Any] | None = None,
    init_params: Callable[[Key], Params] = no_params,
    hidden_bias: bool = False,
    forget_gate: int | None = None,
) -> StepCell:
    """A cell whose equations do not fit `Cell`: differentiated by JAX, run by the same engine.

    Args:
        name: how errors and configurations call it.
        hidden_size: H.
        step: (params, input_gates `[B, G*H]`, carry) -> carry.  The input gates are
            `inputs @ w_ih + b_ih`, as for any cell; `params` are a `LoopParams`: `w_hh [H, G*H]`,
            to multiply as the equations want (by `jaxrnn.times`, since `dtype=bfloat16` gives it in
            bfloat16), `b_hh` and what `init_params` made.  Define it once, outside any function
            that runs often: equal steps make equal cells, and nothing retraces.
        num_gates: G.
        initial_carry: (batch_size, dtype) -> carry, a NamedTuple of arrays `[B, ...]` with a field
            `hidden [B, H]`, the output; None means zeros, `HiddenCarry(hidden)`.
        init_params: (key) -> the step's own parameters.
        hidden_bias: whether `params.b_hh` exists.
        forget_gate: which gate block `recurrent(..., forget_gate_bias=...)` opens, if any.

    Raises:
        TypeError: a size is not an integer or `step` not callable.
        ValueError: a size is below 1.
    """
    hidden_size = check_hidden_size(hidden_size)
    check_positive_integer("num_gates", num_gates)
    if not callable(step):
        raise TypeError(f"step must be a function (params, input_gates, carry), got {step!r}")
    initial_carry = initial_carry or zero_carry(HiddenCarry, hidden_size)
    return StepCell(
        name, hidden_size, num_gates, initial_carry, step, init_params, hidden_bias, forget_gate
    )
