"""The portable engine: one scan over time that runs any cell, and its derivative.

Autodiff of a scan would add a `[H, G*H]` product and a full-size accumulation to every backward
step, and would linearise the gates one small step at a time.  The rule here linearises all steps in
bulk and leaves in the loop only what is sequential: multiply, add, and one product.  It is a
`custom_jvp` whose tangent loop is linear, so JAX transposes it: forward and reverse mode, higher
orders, vmap, remat, pmap and shard_map come from this one definition.

The engine knows no direction and no padding of its inputs; `jaxrnn.unroll` sees to both.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.cells import Cell, LoopParams, StepCell
from jaxrnn.recurrence.arguments import check_new_carry
from jaxrnn.recurrence.boundaries import fill_padding, harmless
from jaxrnn.recurrence.linearization import linearize
from jaxrnn.recurrence.products import cast, product, product_for_transposition


class Steps(NamedTuple):
    """What the loop reads, a row a time step."""

    # G arrays [T, B, H]: XLA's CPU back end does not vectorise equations that read one array at
    # several offsets which depend on the step.  The pointwise part of a GRU took six times as long.
    input_gates: Any
    valid: Any  # bool [T, B] | None: False where the step must leave the carry as it is
    resets: Any  # bool [T, B] | None: True where the step starts from the reset carry


def autodiff(
    cell: Cell | StepCell,
    scan_unroll: int,
    dtype: Any,
    params: LoopParams,
    steps: Steps,
    carry: Any,
    reset_carry: Any,
) -> tuple[Any, Any]:
    """Run the loop and leave the derivative to JAX: the oracle of `scan`, and all of a StepCell.

    Returns:
        (hidden [T, B, H], the carry after the last step)
    """
    advance = _step_of(cell) if isinstance(cell, StepCell) else _update_of(cell)

    def advance_in_dtype(params: LoopParams, input_gates: Any, start: Any) -> tuple[Any, Any]:
        # Cast in the loop, so that the gradient of w_hh is summed over time in full precision.
        return advance(_with_weights_in(dtype, params), input_gates, start)

    run = functools.partial(_run, advance_in_dtype, scan_unroll, params, steps, carry, reset_carry)
    return run(lambda hidden_gates, new: new.hidden)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def scan(
    cell: Cell,
    scan_unroll: int,
    dtype: Any,
    params: LoopParams,
    steps: Steps,
    carry: Any,
    reset_carry: Any,
) -> tuple[Any, Any]:
    """The same function as `autodiff`, with the derivative of this module."""
    return autodiff(cell, scan_unroll, dtype, params, steps, carry, reset_carry)


@scan.defjvp
def _scan_jvp(
    cell: Cell, scan_unroll: int, dtype: Any, primals: Any, tangents: Any
) -> tuple[Any, Any]:
    params, steps, carry, reset_carry = primals
    d_params, d_steps, d_carry, d_reset_carry = tangents
    in_dtype = functools.partial(_with_weights_in, dtype)
    params, d_params = jax.jvp(in_dtype, (params,), (d_params,))

    run = functools.partial(_run, _update_of(cell), scan_unroll, params, steps, carry, reset_carry)
    (hidden_gates, carries), last = run(lambda hidden_gates, new: (hidden_gates, new))
    starts = _starts(carry, carries, steps.resets, reset_carry)
    # In the padding an update may be singular; a step that counts is not, and nothing reads these.
    fill = functools.partial(fill_padding, steps.valid)
    arguments = jax.tree.map(fill, (_joined(steps), hidden_gates, starts))
    push = jax.vmap(functools.partial(linearize, cell, params.cell))(*arguments)
    d_outside = _tangents_from_outside(cell, params, arguments, push, d_params, _joined(d_steps))
    times_w = product_for_transposition(params.w_hh)

    def step(d_carry: Any, now: Any) -> tuple[Any, Any]:
        push, d_outside, valid, reset = now
        d_start = d_carry if reset is None else _select(reset, d_reset_carry, d_carry)
        d_inside = push(None, times_w(d_start.hidden), d_start)
        d_new = jax.tree.map(jnp.add, d_inside, d_outside)
        if valid is not None:
            d_new = _select(valid, d_new, d_carry)
        return d_new, d_new.hidden

    over_time = (push, d_outside, steps.valid, steps.resets)
    d_last, d_hidden = lax.scan(step, d_carry, over_time, unroll=scan_unroll)
    return (carries.hidden, last), (d_hidden, d_last)


def _update_of(cell: Cell) -> Callable[..., tuple[Any, Any]]:
    """(params, input_gates, start) -> (hidden_gates, new) of one step."""

    def advance(params: LoopParams, input_gates: Any, start: Any) -> tuple[Any, Any]:
        hidden_gates = product(params.w_hh, start.hidden)
        if params.b_hh is not None:
            hidden_gates += params.b_hh[None]
        new = cell.update(params.cell, input_gates, hidden_gates, start)
        check_new_carry(cell, start, new)
        return hidden_gates, new

    return advance


def _step_of(cell: StepCell) -> Callable[..., tuple[Any, Any]]:
    """(params, input_gates, start) -> (nothing, new) of one step."""

    def advance(params: LoopParams, input_gates: Any, start: Any) -> tuple[Any, Any]:
        new = cell.step(params, input_gates, start)
        check_new_carry(cell, start, new)
        return None, new

    return advance


def _with_weights_in(dtype: Any, params: LoopParams) -> LoopParams:
    return params._replace(w_hh=cast(params.w_hh, dtype))


def _run(
    advance: Callable[..., tuple[Any, Any]],
    scan_unroll: int,
    params: LoopParams,
    steps: Steps,
    carry: Any,
    reset_carry: Any,
    record: Callable[[Any, Any], Any],
) -> tuple[Any, Any]:
    """The loop: what `record(hidden_gates, new_carry)` keeps of each step, and the last carry."""

    def step(carry: Any, now: Steps) -> tuple[Any, Any]:
        start = carry if now.resets is None else _select(now.resets, reset_carry, carry)
        if now.valid is not None:  # what does not count must not be singular
            start = _select(now.valid, start, jax.tree.map(harmless, start))
        hidden_gates, new = advance(params, _joined(now), start)
        if now.valid is not None:
            new = _select(now.valid, new, carry)
        return new, record(hidden_gates, new)

    carry, recorded = lax.scan(step, carry, steps, unroll=scan_unroll)
    return recorded, carry


def _joined(steps: Steps) -> Any:
    """The gates of each row in one array, which XLA does not build for a cell that splits it."""
    return jnp.concatenate(steps.input_gates, axis=-1)


def _select(mask: Any, chosen: Any, other: Any) -> Any:
    """`chosen` where the mask, of the leading axes, is True, else `other`."""

    def choose(a: Any, b: Any) -> Any:
        return jnp.where(mask.reshape(mask.shape + (1,) * (b.ndim - mask.ndim)), a, b)

    return jax.tree.map(choose, chosen, other)


def _starts(carry: Any, carries: Any, resets: Any, reset_carry: Any) -> Any:
    """The carry that each step started from, `[T, B, ...]`, out of those that it ended with."""
    previous = jax.tree.map(lambda c, cs: jnp.concatenate([c[None], cs[:-1]]), carry, carries)
    if resets is None:
        return previous
    return _select(resets, jax.tree.map(lambda r: r[None], reset_carry), previous)


def _tangents_from_outside(
    cell: Cell, params: LoopParams, arguments: Any, push: Any, d_params: Any, d_input_gates: Any
) -> Any:
    """What every tangent but the carry's adds to the new carry of all steps.

    Transposed, it is the whole of the weights' gradients, in bulk: for `w_hh` *one* product
    `[H, T*B] @ [T*B, G*H]`.
    """
    starts = arguments[2]

    def hidden_gates_of(params: LoopParams) -> Any:
        gates = product(params.w_hh, starts.hidden)
        return gates if params.b_hh is None else gates + params.b_hh[None, None]

    _, d_hidden_gates = jax.jvp(hidden_gates_of, (params,), (d_params,))
    no_start = jax.tree.map(jnp.zeros_like, starts)
    d_new = jax.vmap(lambda push, *d: push(*d))(push, d_input_gates, d_hidden_gates, no_start)
    if not jax.tree.leaves(params.cell):
        return d_new

    def updates(cell_params: Any) -> Any:
        return jax.vmap(functools.partial(cell.update, cell_params))(*arguments)

    _, d_from_cell = jax.jvp(updates, (params.cell,), (d_params.cell,))
    return jax.tree.map(jnp.add, d_new, d_from_cell)
