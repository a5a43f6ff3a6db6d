"""The portable engine: one scan over time that runs any cell, and its derivative.

Autodiff of a scan would add a `[H, G*H]` product and a full-size accumulation to every backward
step, and would linearise the gates one small step at a time.  The rule in this module linearises
all steps in bulk.  Only sequential work stays in the loop: multiplications, additions and one
matrix product.  The rule is a `custom_jvp` whose tangent loop is linear, so JAX can transpose it.
Forward and reverse mode, higher orders, vmap, remat, pmap and shard_map all follow from it.

The engine ignores the direction and expects the padding of its inputs to be filled; `jaxrnn.unroll`
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
from jaxrnn.typing import Gates


class Steps(NamedTuple):
    """The arrays that the loop reads, one row per time step."""

    # G arrays [T, B, H].  XLA's CPU back end does not vectorise equations that read one array at
    # several step-dependent offsets: the pointwise part of a GRU took six times as long.
    input_gates: Gates
    valid: Any  # bool [T, B] | None: False where the step must leave the carry as it is
    resets: Any  # bool [T, B] | None: True where the step starts from the reset carry


def autodiff(
    options: Options, params: LoopParams, steps: Steps, carry: Any, reset_carry: Any
) -> tuple[Any, Any]:
    """Run the loop and leave its derivative to JAX.

    It is the engine of a StepCell, and the oracle that `scan` is tested against.

    Returns:
        (the hidden states [T, B, H] or, with `return_carries`, the carries; the last carry)
    """

    def advance(input_gates: Gates, start: Any) -> tuple[Any, Any]:
        # Casting inside the loop sums the gradient of w_hh over time in full precision.
        return _advance(options.cell, _cast_w_hh(options, params), input_gates, start)

    step = _loop_body(advance, reset_carry, lambda hidden_gates, new: options.kept(new))
    carry, kept = lax.scan(step, carry, steps, unroll=_unroll(options, steps))
    return kept, carry


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def scan(
    options: Options, params: LoopParams, steps: Steps, carry: Any, reset_carry: Any
) -> tuple[Any, Any]:
    """Run the loop of `autodiff`, with the derivative of this module."""
    return autodiff(options, params, steps, carry, reset_carry)


@scan.defjvp
def _scan_jvp(options: Options, primals: Any, tangents: Any) -> tuple[Any, Any]:
    params, steps, carry, reset_carry = primals
    d_params, d_steps, d_carry, d_reset_carry = tangents
    cell = options.cell
    assert isinstance(cell, Cell)
    cast_w_hh = functools.partial(_cast_w_hh, options)
    params, d_params = jax.jvp(cast_w_hh, (params,), (d_params,))

    advance = functools.partial(_advance, cell, params)
    step = _loop_body(advance, reset_carry, lambda hidden_gates, new: (hidden_gates, new))
    last, (hidden_gates, carries) = lax.scan(step, carry, steps, unroll=_unroll(options, steps))
    hidden_gates = _split(cell, hidden_gates)  # split here: the loop stores one array faster
    starts = _start_carries(carry, carries, steps.resets, reset_carry)
    # An update may be singular in the padding, but not at a valid step.  Nothing reads the result.
    fill = functools.partial(fill_padding, steps.valid)
    arguments = jax.tree.map(fill, (steps.input_gates, hidden_gates, starts))
    push = jax.vmap(functools.partial(linearize, cell, params.cell))(*arguments)
    d_from_inputs = _tangent_from_params_and_inputs(
        cell, (params, d_params), arguments, push, d_steps.input_gates
    )
    multiply_by_w_hh = transposable_product(params.w_hh)

    def d_step(d_carry: Any, now: Any) -> tuple[Any, Any]:
        push, d_from_inputs, valid, reset = now
        d_start = d_carry if reset is None else where_rows(reset, d_reset_carry, d_carry)
        d_hidden_gates = _split(cell, multiply_by_w_hh(d_start.hidden))
        d_new = jax.tree.map(jnp.add, push(None, d_hidden_gates, d_start), d_from_inputs)
        if valid is not None:
            d_new = where_rows(valid, d_new, d_carry)
        return d_new, options.kept(d_new)

    over_time = (push, d_from_inputs, steps.valid, steps.resets)
    d_last, d_kept = lax.scan(d_step, d_carry, over_time, unroll=_unroll(options, steps))
    return (options.kept(carries), last), (d_kept, d_last)


def _loop_body(
    advance: Callable[[Gates, Any], tuple[Any, Any]],
    reset_carry: Any,
    keep: Callable[[Any, Any], Any],
) -> Callable[[Any, Steps], tuple[Any, Any]]:
    """Return the body of the loop: (carry, one of the steps) -> (new carry, output of the scan).

    Here padding and resets take effect; `scan` repeats both for the tangents.

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
        if now.valid is not None:
            new = where_rows(now.valid, new, carry)
        return new, keep(hidden_gates, new)

    return step


def _unroll(options: Options, steps: Steps) -> int:
    return options.steps_per_iteration(len(steps.input_gates[0]))


def _advance(cell: BaseCell, params: LoopParams, input_gates: Gates, start: Any) -> tuple[Any, Any]:
    """Take one step.

    Returns:
        (hidden gates `[B, G*H]`, or None for a StepCell; the new carry)
    """
    hidden_gates = None
    if isinstance(cell, StepCell):
        new = cell.step(params, input_gates, start)
    else:
        assert isinstance(cell, Cell)
        hidden_gates = _hidden_gates(params, start.hidden)
        new = cell.update(params.cell, input_gates, _split(cell, hidden_gates), start)
    check_new_carry(cell, start, new)
    return hidden_gates, new


def _hidden_gates(params: LoopParams, hidden: Any) -> Any:
    gates = product(params.w_hh, hidden)
    if params.b_hh is not None:
        gates += params.b_hh.reshape((1,) * (gates.ndim - 1) + (-1,))
    return gates


def _split(cell: BaseCell, gates: Any) -> Gates:
    return tuple(jnp.split(gates, len(cell.gates), axis=-1))


def _cast_w_hh(options: Options, params: LoopParams) -> LoopParams:
    return params._replace(w_hh=cast_weights(params.w_hh, options.dtype))


def _start_carries(carry: Any, carries: Any, resets: Any, reset_carry: Any) -> Any:
    """Return the carries `[T, B, ...]` before each step, given the carries after each step."""
    previous = jax.tree.map(lambda c, cs: jnp.concatenate([c[None], cs[:-1]]), carry, carries)
    if resets is None:
        return previous
    return where_rows(resets, jax.tree.map(lambda r: r[None], reset_carry), previous)


def _tangent_from_params_and_inputs(
    cell: Any, params_and_tangent: Any, arguments: Any, push: Any, d_input_gates: Gates
) -> Any:
    """Return the part of the new carries' tangents that comes from parameters and inputs.

    It is computed for all steps at once.  Its transpose is therefore the weights' gradients in
    bulk: for `w_hh`, *one* product `[H, T*B] @ [T*B, G*H]`.
    """
    (params, d_params), starts = params_and_tangent, arguments[2]

    def hidden_gates_of(params: LoopParams) -> Gates:
        return _split(cell, _hidden_gates(params, starts.hidden))

    _, d_hidden_gates = jax.jvp(hidden_gates_of, (params,), (d_params,))
    no_start = jax.tree.map(jnp.zeros_like, starts)
    d_new = jax.vmap(lambda push, *d: push(*d))(push, d_input_gates, d_hidden_gates, no_start)
    if not jax.tree.leaves(params.cell):
        return d_new

    def updates(cell_params: Any) -> Any:
        return jax.vmap(functools.partial(cell.update, cell_params))(*arguments)

    _, d_from_cell = jax.jvp(updates, (params.cell,), (d_params.cell,))
    return jax.tree.map(jnp.add, d_new, d_from_cell)
