"""The derivative of a run, whichever loops compute it.

Autodiff of a scan would add a `[H, G*H]` product and a full-size accumulation to every backward
step, and would linearise the gates one small step at a time.  The rule in this module linearises
all steps in bulk.  What remains is a loop of tangents: it is linear, and its transpose is the
backward pass.  Forward and reverse mode, higher orders, vmap, remat, pmap and shard_map all follow
from it.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jaxrnn.recurrence import scan
from jaxrnn.recurrence.linearization import shared_gates
from jaxrnn.recurrence.options import Options
from jaxrnn.recurrence.scan import FromOutside, Linearized


class Loops(NamedTuple):
    """The two loops that the derivative needs, such as those of `scan.py`."""

    run_and_linearize: Callable[..., Linearized]
    run_tangent: Callable[..., tuple[Any, Any]]


def run_jvp(loops: Loops, options: Options, primals: Any, tangents: Any) -> tuple[Any, Any]:
    """Return the result of `scan.run` and its tangent.

    Args:
        loops: what computes both.
        options: the static options of the run.
        primals: (params, steps, carry, reset_carry).
        tangents: the same for tangents; those of masks are not read.
    """
    (params, *others), (d_params, *d_others) = primals, tangents
    cast = functools.partial(scan.cast_w_hh, options)
    params, d_params = jax.jvp(cast, (params,), (d_params,))
    primals, tangents = (params, *others), (d_params, *d_others)
    done = loops.run_and_linearize(options, *primals)
    return (done.kept, done.last), _carries_tangent(loops, options, done, primals, tangents)


def run_and_linearize_jvp(
    loops: Loops, options: Options, primals: Any, tangents: Any
) -> tuple[Linearized, Linearized]:
    """Return the result of `scan.run_and_linearize` and its tangent, for second derivatives.

    Args and returns are those of `run_jvp`, with weights to multiply by.
    """
    cell: Any = options.cell
    (params, steps, carry, reset_carry), (d_params, d_steps, d_carry, d_reset_carry) = (
        primals,
        tangents,
    )
    stored = dataclasses.replace(options, return_carries=True)
    done = loops.run_and_linearize(stored, *primals)
    d_carries, d_last = _carries_tangent(loops, stored, done, primals, tangents)
    starts = scan.start_carries(carry, done.kept, steps.resets, reset_carry)
    d_starts = scan.start_carries(d_carry, d_carries, steps.resets, d_reset_carry)
    hidden_gates, d_hidden_gates = jax.jvp(
        functools.partial(scan.hidden_gates_of, cell),
        (params, starts.hidden),
        (d_params, d_starts.hidden),
    )
    _, d_push = jax.jvp(
        functools.partial(scan.linearize_steps, cell, steps.valid),
        (params.cell, steps.input_gates, hidden_gates, starts),
        (d_params.cell, d_steps.input_gates, d_hidden_gates, d_starts),
    )
    d_done = Linearized(d_carries, d_last, d_push)
    done, d_done = (d._replace(kept=options.kept(d.kept)) for d in (done, d_done))
    return done, d_done


def _carries_tangent(
    loops: Loops, options: Options, done: Linearized, primals: Any, tangents: Any
) -> tuple[Any, Any]:
    """Return the tangents of what a run keeps, and of its last carry."""
    (params, steps, *_), (*_, d_carry, d_reset_carry) = primals, tangents
    masks = steps.valid, steps.resets, steps.zoneout
    from_outside = _from_outside(options, done, primals, tangents)
    return loops.run_tangent(
        options, params.w_hh, done.push, *masks, from_outside, d_carry, d_reset_carry
    )


def _from_outside(options: Options, done: Linearized, primals: Any, tangents: Any) -> FromOutside:
    """Return what parameters and inputs add to the tangents, at all steps at once.

    The transpose is therefore the weights' gradients in bulk: for `w_hh`, *one* product
    `[H, T*B] @ [T*B, G*H]`.
    """
    cell: Any = options.cell
    (params, steps, carry, reset_carry), (d_params, d_steps, *_) = primals, tangents
    kept = done.kept.hidden if options.return_carries else done.kept
    reset_hidden = None if reset_carry is None else reset_carry.hidden
    starts = scan.start_carries(carry.hidden, kept, steps.resets, reset_hidden)
    hidden = scan.fill_arguments(steps.valid, starts)

    def hidden_gates_of(params: Any) -> Any:
        return scan.hidden_gates_of(cell, params, hidden)

    _, d_hidden_gates = jax.jvp(hidden_gates_of, (params,), (d_params,))
    d_input_gates = d_steps.input_gates
    shared = shared_gates(done.push, len(cell.gates))
    d_input_gates = tuple(
        d_input + d if both else d_input
        for d_input, d, both in zip(d_input_gates, d_hidden_gates, shared, strict=True)
    )
    d_hidden_gates = tuple(
        None if both else d for d, both in zip(d_hidden_gates, shared, strict=True)
    )
    return FromOutside(d_input_gates, d_hidden_gates, d_params.cell)


SCANS = Loops(scan.run_and_linearize, scan.run_tangent)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def run(options: Options, params: Any, steps: Any, carry: Any, reset_carry: Any) -> tuple[Any, Any]:
    """Run a `Cell` like `scan.run`, with the derivative of this module."""
    return scan.run(options, params, steps, carry, reset_carry)


run.defjvp(functools.partial(run_jvp, SCANS))
