"""The portable loops over time, which run any cell on any device.

`run` is the loop of a cell's equations.  `run_and_linearize` is the same loop, followed by the
derivative of all its steps in bulk.  `run_tangent` is the loop of the tangents: it is linear, so
JAX can transpose it.  `derivative.py` makes the engine's derivative of the three.

The loops ignore the direction and expect the padding of their inputs to be filled; `jaxrnn.unroll`
takes care of both.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.cells import BaseCell, Cell, LoopParams, StepCell
from jaxrnn.recurrence.arguments import check_new_carry
from jaxrnn.recurrence.boundaries import fill_padding, regular_values, where_rows
from jaxrnn.recurrence.linearization import linearize
from jaxrnn.recurrence.options import Options
from jaxrnn.recurrence.weights import cast_weights, product, transposable_product
from jaxrnn.recurrence.zoneout import zone
from jaxrnn.typing import Gates


class Steps(NamedTuple):
    """The arrays that the loop reads, one row per time step."""

    # G arrays [T, B, H].  XLA's CPU back end does not vectorise equations that read one array at
    # several step-dependent offsets: the pointwise part of a GRU took six times as long.
    input_gates: Gates
    valid: Any  # bool [T, B] | None: False where the step must leave the carry as it is
    resets: Any  # bool [T, B] | None: True where the step starts from the reset carry
    zoneout: Any = None  # a carry of bool [T, B, H] | None: True where a unit keeps its value


class Linearized(NamedTuple):
    """A run and the derivative of its steps."""

    kept: Any
    """The hidden states `[T, B, H]` or, with `return_carries`, the carries."""
    last: Any
    """The carry after the last step."""
    push: Any
    """The derivative of `cell.update` at each step; see `linearize`."""


class FromOutside(NamedTuple):
    """The tangents that parameters and inputs add to those of a run."""

    input_gates: Gates
    """Tangents of the input gates, G arrays `[T, B, H]`."""
    hidden_gates: tuple[Any, ...]
    """Tangents of the hidden gates, G arrays; None for a gate where `input_gates` has the sum."""
    cell_params: Any
    """Tangents of the cell's own parameters."""


def run(
    options: Options, params: LoopParams, steps: Steps, carry: Any, reset_carry: Any
) -> tuple[Any, Any]:
    """Run a cell over time.

    Differentiated by JAX it is the engine of a StepCell, and the oracle of the engine's derivative.

    Returns:
        (the hidden states [T, B, H] or, with `return_carries`, the carries; the last carry)
    """

    def advance(input_gates: Gates, start: Any) -> tuple[Any, Any]:
        # Casting inside the loop sums the gradient of w_hh over time in full precision.
        return _advance(options.cell, cast_w_hh(options, params), input_gates, start)

    step = _loop_body(advance, reset_carry, lambda hidden_gates, new: options.kept(new))
    carry, kept = lax.scan(step, carry, steps, unroll=_unroll(options, steps.input_gates))
    return kept, carry


def run_and_linearize(
    options: Options, params: LoopParams, steps: Steps, carry: Any, reset_carry: Any
) -> Linearized:
    """Run a `Cell` over time and linearise all its steps in bulk, given weights to multiply by."""
    cell: Any = options.cell
    advance = functools.partial(_advance, cell, params)
    step = _loop_body(advance, reset_carry, lambda hidden_gates, new: (hidden_gates, new))
    unroll = _unroll(options, steps.input_gates)
    last, (hidden_gates, carries) = lax.scan(step, carry, steps, unroll=unroll)
    gates = split(cell, hidden_gates)  # split here: the loop stores one array faster
    starts = start_carries(carry, carries, steps.resets, reset_carry)
    push = linearize_steps(cell, steps.valid, params.cell, steps.input_gates, gates, starts)
    return Linearized(options.kept(carries), last, push)


def linearize_steps(
    cell: Cell, valid: Any, cell_params: Any, input_gates: Gates, hidden_gates: Gates, starts: Any
) -> Any:
    """Return the derivative of `cell.update` at all steps, a pytree with a leading axis of time."""
    arguments = fill_arguments(valid, (input_gates, hidden_gates, starts))
    return jax.vmap(functools.partial(linearize, cell, cell_params))(*arguments)


def fill_arguments(valid: Any, arguments: Any) -> Any:
    """Fill the padding of the arguments of `cell.update` at all steps.

    An update may be singular in the padding, but not at a valid step.  Nothing reads the result.
    """
    return jax.tree.map(functools.partial(fill_padding, valid), arguments)


def run_tangent(
    options: Options,
    w_hh: Any,
    push: Any,
    valid: Any,
    resets: Any,
    zoneout: Any,
    from_outside: FromOutside,
    d_carry: Any,
    d_reset_carry: Any,
) -> tuple[Any, Any]:
    """Run the loop of the tangents, which is linear in its last three arguments.

    Only sequential work stays in the loop: multiplications, additions and one matrix product.

    Returns:
        (the tangents of what `run` keeps; that of the last carry)
    """
    cell: Any = options.cell
    d_inputs, d_hidden, d_cell_params = from_outside
    d_hidden = tuple(
        jnp.zeros_like(d_input) if d is None else d
        for d, d_input in zip(d_hidden, d_inputs, strict=True)
    )
    d_start = jax.tree.map(jnp.zeros_like, d_carry)

    def push_all(push: Any, d_input_gates: Any, d_hidden_gates: Any) -> Any:
        return push(d_hidden_gates, d_start, d_input_gates, d_cell_params=d_cell_params)

    d_from_outside = jax.vmap(push_all)(push, d_inputs, d_hidden)
    multiply_by_w_hh = transposable_product(w_hh)

    def step(d_carry: Any, now: Any) -> tuple[Any, Any]:
        push, d_from_outside, valid, reset, zoneout = now
        d_start = d_carry if reset is None else where_rows(reset, d_reset_carry, d_carry)
        d_hidden_gates = split(cell, multiply_by_w_hh(d_start.hidden))
        d_new = jax.tree.map(jnp.add, push(d_hidden_gates, d_start), d_from_outside)
        d_new = zone(zoneout, d_new, d_start)
        if valid is not None:
            d_new = where_rows(valid, d_new, d_carry)
        return d_new, options.kept(d_new)

    now = (push, d_from_outside, valid, resets, zoneout)
    d_last, d_kept = lax.scan(step, d_carry, now, unroll=_unroll(options, d_inputs))
    return d_kept, d_last


def hidden_gates_of(cell: BaseCell, params: LoopParams, hidden: Any) -> Gates:
    """Return the hidden gates, G arrays `[..., B, H]`, of hidden states `[..., B, H]`."""
    return split(cell, _hidden_gates(params, hidden))


def start_carries(carry: Any, carries: Any, resets: Any, reset_carry: Any) -> Any:
    """Return the carries `[T, B, ...]` before each step, given the carries after each step."""
    previous = jax.tree.map(lambda c, cs: jnp.concatenate([c[None], cs[:-1]]), carry, carries)
    if resets is None:
        return previous
    return where_rows(resets, jax.tree.map(lambda r: r[None], reset_carry), previous)


def cast_w_hh(options: Options, params: LoopParams) -> LoopParams:
    """Cast the recurrent weights to the dtype of the products' operands."""
    return params._replace(w_hh=cast_weights(params.w_hh, options.dtype))


def split(cell: BaseCell, gates: Any) -> Gates:
    """Split gates `[..., G*H]` into G arrays `[..., H]`."""
    return tuple(jnp.split(gates, len(cell.gates), axis=-1))


def _loop_body(
    advance: Callable[[Gates, Any], tuple[Any, Any]],
    reset_carry: Any,
    keep: Callable[[Any, Any], Any],
) -> Callable[[Any, Steps], tuple[Any, Any]]:
    """Return the body of the loop: (carry, one of the steps) -> (new carry, output of the scan).

    Here padding, resets and zoneout take effect; `run_tangent` repeats them for the tangents.

    Args:
        advance: (input_gates, start) -> (hidden gates in one array, new carry).
        reset_carry: the carry that a reset starts from.
        keep: (hidden gates, new carry) -> the output that the scan stacks over time.
    """

    def step(carry: Any, now: Steps) -> tuple[Any, Any]:
        start = carry if now.resets is None else where_rows(now.resets, reset_carry, carry)
        if now.valid is not None:  # keep padding away from singular points
            start = where_rows(now.valid, start, jax.tree.map(regular_values, start))
        hidden_gates, new = advance(now.input_gates, start)
        new = zone(now.zoneout, new, start)
        if now.valid is not None:
            new = where_rows(now.valid, new, carry)
        return new, keep(hidden_gates, new)

    return step


def _unroll(options: Options, over_time: Any) -> int:
    # A guess at the platform.  `primitives.py` corrects it when the program is lowered.
    num_steps = len(jax.tree.leaves(over_time)[0])
    return options.steps_per_iteration(num_steps, jax.default_backend())


def _advance(cell: BaseCell, params: LoopParams, input_gates: Any, start: Any) -> tuple[Any, Any]:
    """Take one step; a cell without gates reads its inputs in their place.

    Returns:
        (hidden gates `[B, G*H]`, or None for a StepCell; the new carry)
    """
    hidden_gates = None
    try:
        if isinstance(cell, StepCell):
            new = cell.step(params, input_gates, start)
        else:
            assert isinstance(cell, Cell)
            hidden_gates = _hidden_gates(params, start.hidden)
            new = cell.update(params.cell, input_gates, split(cell, hidden_gates), start)
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError) as error:
        error.add_note(
            f"In the equations of the cell {cell.name}: use jax.numpy instead of numpy, and"
            " jnp.where(condition, a, b) instead of `if`; see jaxrnn's page on own cells."
        )
        raise
    except (TypeError, ValueError) as error:
        if cell.reads_inputs:
            error.add_note(
                f"In the step of the cell {cell.name}, which reads the inputs as they are:"
                f" {input_gates.shape}."
            )
        raise
    check_new_carry(cell, start, new)
    return hidden_gates, new


def _hidden_gates(params: LoopParams, hidden: Any) -> Any:
    gates = product(params.w_hh, hidden)
    if params.b_hh is not None:
        gates += params.b_hh.reshape((1,) * (gates.ndim - 1) + (-1,))
    return gates
