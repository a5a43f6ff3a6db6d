"""The portable engine of linear cells: `state[t] = a[t] * state[t-1] + b[t]`.

Only this recurrence is sequential; `linear_recurrence.py` has it.  The coefficients and the outputs
are computed for all steps at once.  `run` is the forward pass; `run_tangent` is its derivative,
which recomputes the coefficients, so that of a run nothing but its carries is stored.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.cells import ComplexCarry, HiddenCarry, LinearCell, LoopParams
from jaxrnn.recurrence.boundaries import fill_padding, take_steps, where_rows
from jaxrnn.recurrence.linear_recurrence import linear_recurrence, recurrence_tangent
from jaxrnn.recurrence.options import Options
from jaxrnn.recurrence.zoneout import zone_coefficients
from jaxrnn.typing import Gates


def run(
    options: Options, params: LoopParams, steps: Any, carry: Any, reset_carry: Any
) -> tuple[Any, Any]:
    """Run a `LinearCell` like `scan.run`."""
    cell: Any = options.cell
    start = state_of(carry)
    a, b = _coefficients(cell, steps, start, params.cell, steps.input_gates, reset_carry)
    states, last = linear_recurrence(
        a, b, start, _as_column(steps.resets), implementation=options.implementation
    )
    carries, last_carry = _carries(cell, steps, params.cell, steps.input_gates, states, last, carry)
    return options.kept(carries), last_carry


def run_tangent(
    options: Options,
    params: LoopParams,
    steps: Any,
    carries: Any,
    carry: Any,
    reset_carry: Any,
    d_params: LoopParams,
    d_input_gates: Gates,
    d_carry: Any,
    d_reset_carry: Any,
) -> tuple[Any, Any]:
    """Return the tangents of what `run` returns, linear in the last four arguments.

    Args:
        options: the static options.
        params: as for `run`.
        steps: as for `run`.
        carries: the carries after each step.
        carry: as for `run`.
        reset_carry: as for `run`.
        d_params: the tangent of the parameters.
        d_input_gates: those of the input gates.
        d_carry: that of the first carry.
        d_reset_carry: that of the carry of resets.
    """
    cell: Any = options.cell
    resets, start, states = _as_column(steps.resets), state_of(carry), state_of(carries)
    (a, _), (d_a, d_b) = jax.jvp(
        functools.partial(_coefficients, cell, steps, start),
        (params.cell, steps.input_gates, reset_carry),
        (d_params.cell, d_input_gates, d_reset_carry),
    )
    d_states, d_last = recurrence_tangent(
        a, states, start, resets, d_a, d_b, state_of(d_carry), options.implementation
    )
    _, (d_carries, d_last_carry) = jax.jvp(
        functools.partial(_carries, cell, steps),
        (params.cell, steps.input_gates, states, states[-1], carry),
        (d_params.cell, d_input_gates, d_states, d_last, d_carry),
    )
    return options.kept(d_carries), d_last_carry


def _coefficients(
    cell: LinearCell, steps: Any, start: Any, params: Any, input_gates: Gates, reset_carry: Any
) -> tuple[Any, Any]:
    """Return a and b, in which padding, resets and zoneout have taken effect.

    Returns:
        (a `[T, B, H]`, or `[1, 1, H]` where it depends on nothing; b `[T, B, H]`)
    """
    a, b = _coefficients_of_cell(cell, params, input_gates, start)
    a, b = zone_coefficients(steps.zoneout, a, b)
    if steps.resets is not None:
        b += a * jnp.where(_as_column(steps.resets), state_of(reset_carry)[None], 0)
    if steps.valid is not None:
        valid = _as_column(steps.valid)
        a, b = jnp.where(valid, a, 1), jnp.where(valid, b, 0)
    return a, b


def _coefficients_of_cell(cell: LinearCell, params: Any, input_gates: Gates, start: Any) -> Any:
    function = functools.partial(cell.coefficients, params)
    first = tuple(gate[0] for gate in input_gates)
    shapes = jax.eval_shape(function, first)
    if not isinstance(shapes, tuple) or len(shapes) != 2:
        raise TypeError(f"the coefficients of the cell {cell.name} must be a tuple (a, b)")
    if shapes[0].shape[:1] == (1,) and start.shape[0] != 1:
        a = function(first)[0][None]
        b = jax.vmap(lambda gates: function(gates)[1])(input_gates)
    else:
        a, b = jax.vmap(function)(input_gates)
        _check_shape(cell, "coefficient a", a, start)
    _check_shape(cell, "coefficient b", b, start)
    if a.dtype != start.dtype or b.dtype != start.dtype:
        raise TypeError(
            f"the coefficients of the cell {cell.name} must be {start.dtype} like its state, got"
            f" {a.dtype} and {b.dtype}"
        )
    return a, b


def _carries(
    cell: LinearCell,
    steps: Any,
    params: Any,
    input_gates: Gates,
    states: Any,
    last: Any,
    carry: Any,
) -> tuple[Any, Any]:
    """Return (the carries after each step, the last one)."""
    if cell.readout is None:
        return HiddenCarry(states), HiddenCarry(last)
    known = fill_padding(steps.valid, states)
    hidden = jax.vmap(functools.partial(cell.readout, params))(input_gates, known)
    _check_shape(cell, "readout", hidden, carry.hidden)
    if steps.valid is not None:
        hidden = _keep_in_padding(steps.valid, hidden, carry.hidden)
    both = (hidden, states), (hidden[-1], last)
    carries, last_carry = (_carry_of(type(carry), *parts) for parts in both)
    return carries, last_carry


def _check_shape(cell: LinearCell, name: str, came: Any, expected: Any) -> None:
    if came.shape[1:] != expected.shape:
        raise ValueError(
            f"the {name} of the cell {cell.name} must have shape [B, H] = {expected.shape}, got"
            f" {came.shape[1:]}"
        )


def _as_column(mask: Any) -> Any:
    return None if mask is None else mask[..., None]


def state_of(carry: Any) -> Any:
    """Return the state in a carry, real or complex."""
    if isinstance(carry, ComplexCarry):
        return lax.complex(carry.real, carry.imaginary)
    return carry.hidden if isinstance(carry, HiddenCarry) else carry.state


def _carry_of(carry_type: Any, hidden: Any, state: Any) -> Any:
    """Return the carry with an output and a state."""
    parts = (state.real, state.imag) if carry_type is ComplexCarry else (state,)
    return carry_type(hidden, *parts)


def _keep_in_padding(valid: Any, over_time: Any, before: Any) -> Any:
    """Replace padding by the last valid step before it, or by `before` where there is none.

    A reversed run meets the padding first.
    """
    steps = jnp.arange(len(valid), dtype=jnp.int32)[:, None]
    last = lax.cummax(jnp.where(valid, steps, -1))
    found = take_steps(over_time, jnp.maximum(last, 0))
    return where_rows(last >= 0, found, jnp.broadcast_to(before, over_time.shape))
