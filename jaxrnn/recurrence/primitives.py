"""A run as three primitives, whose lowering rules choose the implementation.

`run`, `run_and_linearize` and the loop of tangents are primitives; `calls.py` says why.  Each holds
a traced program of the portable loop, which is its lowering everywhere, unless a rule below finds a
faster one.

The derivatives are those of `derivative.py`: the first is that of `run`, the second that of
`run_and_linearize`.  The transpose of the loop of tangents is a primitive, too; the derivatives of
both are JAX's.  Under vmap a run is handed over to the scans.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.experimental.layout import Layout, with_layout_constraint
from jax.extend.core import jaxpr_as_fun
from jax.extend.core.primitives import scan_p
from jax.interpreters import ad, mlir

from jaxrnn.primitives import is_for_export
from jaxrnn.recurrence import derivative, scan
from jaxrnn.recurrence.calls import (
    Call,
    bind,
    jvp_by,
    loop_jvp,
    lower,
    lower_for_cpu,
    make_primitive,
    portable,
    transpose_tangent,
)
from jaxrnn.recurrence.native import lowering as native
from jaxrnn.recurrence.options import Options
from jaxrnn.recurrence.scan import Linearized


def run(options: Options, params: Any, steps: Any, carry: Any, reset_carry: Any) -> tuple[Any, Any]:
    """Run a `Cell` like `scan.run`, by the fastest implementation there is."""
    return bind(_run, scan.run, options, (params, steps, carry, reset_carry))


def run_and_linearize(options: Options, *arguments: Any) -> Linearized:
    """Run and linearise like `scan.run_and_linearize`."""
    return bind(_run_and_linearize, scan.run_and_linearize, options, arguments)


def run_tangent(options: Options, *arguments: Any) -> tuple[Any, Any]:
    """Run the loop of tangents like `scan.run_tangent`."""
    return bind(_run_tangent, scan.run_tangent, options, arguments)


def _flat(loop: Callable[..., Any], call: Call) -> Callable[..., Any]:
    """Return a loop as a function of operands."""

    def function(*operands: Any) -> Any:
        return jax.tree.leaves(loop(call.options, *jax.tree.unflatten(call.structure, operands)))

    return function


_run = make_primitive("rnn_run", functools.partial(_flat, derivative.run))
_run_and_linearize = make_primitive("rnn_run_and_linearize", portable)
_run_tangent = make_primitive("rnn_run_tangent", portable)
_run_cotangent = make_primitive("rnn_run_cotangent", portable)

_LOOPS = derivative.Loops(run_and_linearize, run_tangent)


ad.primitive_jvps[_run] = functools.partial(jvp_by, functools.partial(derivative.run_jvp, _LOOPS))
ad.primitive_jvps[_run_and_linearize] = functools.partial(
    jvp_by, functools.partial(derivative.run_and_linearize_jvp, _LOOPS)
)
ad.primitive_jvps[_run_tangent] = loop_jvp
ad.primitive_jvps[_run_cotangent] = loop_jvp
ad.primitive_transposes[_run_tangent] = functools.partial(transpose_tangent, _run_cotangent)


def _lower_for(platform: str, context: mlir.LoweringRuleContext, *operands: Any, call: Call) -> Any:
    """Adapt the loops to a platform: to the launches of kernels on a GPU, to a TPU's memory."""
    if platform == "tpu" and is_for_export(context):
        # It cannot fix layouts, without which the steps an iteration that a CPU takes are better.
        return lower(context, *operands, call=call)

    def adapt(equation: Any) -> Any:
        if equation.primitive is not scan_p:
            return equation
        steps = call.options.steps_per_iteration(equation.params["length"], platform)
        return equation.replace(params=equation.params | {"unroll": steps})

    program = call.program
    adapted = program.jaxpr.replace(eqns=[adapt(equation) for equation in program.jaxpr.eqns])
    loop = jaxpr_as_fun(program.replace(jaxpr=adapted))

    def function(*arrays: Any) -> Any:
        return loop(*(map(_lay_out_by_time, arrays) if platform == "tpu" else arrays))

    return mlir.lower_fun(function, multiple_results=True)(context, *operands)


def _lay_out_by_time(array: Any) -> Any:
    """Keep the rows of a time step together in memory.

    A TPU's compiler may choose to keep those of a sequence together, and then copies a row out of
    each array at every step: a GRU's loop takes six times as long by its own estimate.
    """
    if array.ndim < 3:
        return array
    return with_layout_constraint(array, Layout(tuple(range(array.ndim))))


for _each in (_run, _run_and_linearize, _run_tangent, _run_cotangent):
    mlir.register_lowering(_each, lower)
    for _name, _platform in (("cuda", "gpu"), ("rocm", "gpu"), ("tpu", "tpu")):
        _rule = functools.partial(_lower_for, _platform)
        mlir.register_lowering(_each, _rule, platform=_name)
for _each, _find in (
    (_run, native.forward),
    (_run_and_linearize, native.forward),
    (_run_cotangent, native.backward),
):
    mlir.register_lowering(_each, functools.partial(lower_for_cpu, _find), platform="cpu")
