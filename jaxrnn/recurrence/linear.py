"""The engine of linear cells: `state[t] = a[t] * state[t-1] + b[t]`.

Only this recurrence is sequential.  The coefficients and the output are computed for all steps at
once and differentiated by JAX; `linear_recurrence.py` has the recurrence and its derivative.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.cells import ComplexCarry, HiddenCarry, LinearCell, LoopParams
from jaxrnn.recurrence.boundaries import take_steps, where_rows
from jaxrnn.recurrence.linear_recurrence import linear_recurrence
from jaxrnn.recurrence.options import Options
from jaxrnn.recurrence.zoneout import zone_coefficients
from jaxrnn.typing import Gates


def run(
    options: Options, params: LoopParams, steps: Any, carry: Any, reset_carry: Any
) -> tuple[Any, Any]:
    """Run a `LinearCell` like `scan.run`."""
    cell: Any = options.cell
    valid, resets = (_as_column(mask) for mask in (steps.valid, steps.resets))
    start = _state_of(carry)
    a, b = _coefficients(cell, params.cell, steps.input_gates, start)
    a, b = zone_coefficients(steps.zoneout, a, b)
    if resets is not None:
        b = jnp.where(resets, a * _state_of(reset_carry)[None] + b, b)
    if valid is not None:
        a, b = jnp.where(valid, a, 1), jnp.where(valid, b, 0)
    states, last = linear_recurrence(a, b, start, resets, implementation=options.implementation)
    if cell.readout is None:
        return options.kept(HiddenCarry(states)), HiddenCarry(last)
    hidden = jax.vmap(functools.partial(cell.readout, params.cell))(steps.input_gates, states)
    _check_shape(cell, "readout", hidden, start)
    last_hidden = hidden[-1]
    if steps.valid is not None:
        # As everywhere, padding leaves the carry as it is.
        last_hidden = _last_valid(steps.valid, hidden, carry.hidden)
        hidden = where_rows(steps.valid, hidden, jnp.broadcast_to(last_hidden, hidden.shape))
    carries, last_carry = (
        _carry_of(type(carry), *parts) for parts in ((hidden, states), (last_hidden, last))
    )
    return options.kept(carries), last_carry


def _coefficients(cell: LinearCell, params: Any, input_gates: Gates, start: Any) -> Any:
    """Return (a `[T, B, H]`, or `[1, 1, H]` where it depends on nothing; b `[T, B, H]`)."""
    function = functools.partial(cell.coefficients, params)
    first = tuple(gate[0] for gate in input_gates)
    shapes = jax.eval_shape(function, first)
    if not isinstance(shapes, tuple) or len(shapes) != 2:
        raise TypeError(f"the coefficients of the cell {cell.name} must be a tuple (a, b)")
    batch_size = start.shape[0]
    if shapes[0].shape[:1] == (1,) and batch_size != 1:
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


def _check_shape(cell: LinearCell, name: str, came: Any, state: Any) -> None:
    if came.shape[1:] != state.shape:
        raise ValueError(
            f"the {name} of the cell {cell.name} must have shape [B, H] = {state.shape}, got"
            f" {came.shape[1:]}"
        )


def _as_column(mask: Any) -> Any:
    return None if mask is None else mask[..., None]


def _state_of(carry: Any) -> Any:
    """Return the state in a carry, real or complex."""
    if isinstance(carry, ComplexCarry):
        return lax.complex(carry.real, carry.imaginary)
    return carry.hidden if isinstance(carry, HiddenCarry) else carry.state


def _carry_of(carry_type: Any, hidden: Any, state: Any) -> Any:
    """Return the carry with an output and a state."""
    parts = (state.real, state.imag) if carry_type is ComplexCarry else (state,)
    return carry_type(hidden, *parts)


def _last_valid(valid: Any, over_time: Any, otherwise: Any) -> Any:
    """Return the last valid step `[B, ...]` of an array over time, or `otherwise` without one."""
    count = valid.sum(axis=0, dtype=jnp.int32)
    found = take_steps(over_time, jnp.maximum(count - 1, 0)[None])[0]
    return where_rows(count > 0, found, otherwise)
