"""A run as three primitives, whose lowering rules choose the implementation.

Which loops are fast depends on the platform and on the number of devices that a program is compiled
for.  Both are known when it is lowered, but not when it is traced, possibly on another machine.
`run`, `run_and_linearize` and the loop of tangents are therefore primitives.  Each holds a traced
program of the portable loop, which is its lowering everywhere, unless a rule below finds a faster
one.

The derivatives are those of `derivative.py`: the first is that of `run`, the second that of
`run_and_linearize`.  The transpose of the loop of tangents is a primitive, too; the derivatives of
both are JAX's.  Under vmap a run is handed over to the scans.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.experimental.layout import Layout, with_layout_constraint
from jax.extend.core import Primitive, jaxpr_as_fun
from jax.extend.core.primitives import scan_p
from jax.interpreters import ad, batching, mlir

from jaxrnn.primitives import is_on_one_device
from jaxrnn.recurrence import derivative, scan
from jaxrnn.recurrence.native import lowering as native
from jaxrnn.recurrence.options import Options
from jaxrnn.recurrence.scan import Linearized


class Call(NamedTuple):
    """The static parameters of a primitive; its operands and results are arrays."""

    program: Any  # the portable loop, traced for the operands
    options: Options
    structure: Any  # that of the arguments whose leaves are the operands
    results: Any  # the structure of the results
    transposed: Any = None  # for a loop of cotangents: the call, and which operands are linear


def run(options: Options, params: Any, steps: Any, carry: Any, reset_carry: Any) -> tuple[Any, Any]:
    """Run a `Cell` like `scan.run`, by the fastest implementation there is."""
    return _bind(_run, scan.run, options, (params, steps, carry, reset_carry))


def run_and_linearize(options: Options, *arguments: Any) -> Linearized:
    """Run and linearise like `scan.run_and_linearize`."""
    return _bind(_run_and_linearize, scan.run_and_linearize, options, arguments)


def run_tangent(options: Options, *arguments: Any) -> tuple[Any, Any]:
    """Run the loop of tangents like `scan.run_tangent`."""
    return _bind(_run_tangent, scan.run_tangent, options, arguments)


def _bind(primitive: Primitive, loop: Callable[..., Any], options: Options, arguments: Any) -> Any:
    operands, structure = jax.tree.flatten(arguments)
    function = functools.partial(loop, options)
    program, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    call = Call(program, options, structure, jax.tree.structure(shapes))
    return jax.tree.unflatten(call.results, primitive.bind(*operands, call=call))


def _primitive(name: str, function: Callable[[Call], Callable[..., Any]]) -> Primitive:
    """Make a primitive, given a function of its operands that vmap takes instead."""
    primitive = Primitive(name)
    primitive.multiple_results = True
    primitive.def_impl(lambda *operands, call: jaxpr_as_fun(call.program)(*operands))
    primitive.def_abstract_eval(lambda *avals, call: call.program.out_avals)

    def batch(operands: Any, axes: Any, *, call: Call) -> Any:
        results = jax.vmap(function(call), in_axes=tuple(axes))(*operands)
        return results, [0] * len(results)

    batching.primitive_batchers[primitive] = batch
    return primitive


def _flat(loop: Callable[..., Any], call: Call) -> Callable[..., Any]:
    """Return a loop as a function of operands."""

    def function(*operands: Any) -> Any:
        return jax.tree.leaves(loop(call.options, *jax.tree.unflatten(call.structure, operands)))

    return function


def _portable(call: Call) -> Callable[..., Any]:
    return jaxpr_as_fun(call.program)


_run = _primitive("rnn_run", functools.partial(_flat, derivative.run))
_run_and_linearize = _primitive("rnn_run_and_linearize", _portable)
_run_tangent = _primitive("rnn_run_tangent", _portable)
_run_cotangent = _primitive("rnn_run_cotangent", _portable)

_LOOPS = derivative.Loops(run_and_linearize, run_tangent)


def _jvp(rule: Callable[..., Any], primals: Any, tangents: Any, *, call: Call) -> Any:
    tangents = [
        None if jax.numpy.issubdtype(primal.dtype, bool) else ad.instantiate_zeros(tangent)
        for primal, tangent in zip(primals, tangents, strict=True)
    ]
    arguments = (jax.tree.unflatten(call.structure, leaves) for leaves in (primals, tangents))
    return tuple(jax.tree.leaves(part) for part in rule(_LOOPS, call.options, *arguments))


def _loop_jvp(primals: Any, tangents: Any, *, call: Call) -> Any:
    primals = tuple(primals)
    return jax.jvp(_portable(call), primals, tuple(map(ad.instantiate_zeros, tangents)))


def _transpose_tangent(cotangents: Any, *operands: Any, call: Call) -> Any:
    """Run the loop of tangents backward."""
    linear = [ad.is_undefined_primal(operand) for operand in operands]
    known = [operand for operand, is_linear in zip(operands, linear, strict=True) if not is_linear]
    unknown = [operand.aval for operand in operands if ad.is_undefined_primal(operand)]

    def transposed(known: Any, cotangents: Any) -> Any:
        def function(*tangents: Any) -> Any:
            sources = iter(known), iter(tangents)
            return _portable(call)(*(next(sources[is_linear]) for is_linear in linear))

        return jax.linear_transpose(function, *unknown)(cotangents)

    cotangents = [ad.instantiate_zeros(cotangent) for cotangent in cotangents]
    arguments = known, cotangents
    program = jax.make_jaxpr(transposed)(*arguments)
    leaves, structure = jax.tree.flatten(arguments)
    number = jax.tree.structure([0] * len(program.out_avals))
    backward = Call(program, call.options, structure, number, (call, tuple(linear)))
    results = iter(_run_cotangent.bind(*leaves, call=backward))
    return [next(results) if is_linear else None for is_linear in linear]


ad.primitive_jvps[_run] = functools.partial(_jvp, derivative.run_jvp)
ad.primitive_jvps[_run_and_linearize] = functools.partial(_jvp, derivative.run_and_linearize_jvp)
ad.primitive_jvps[_run_tangent] = _loop_jvp
ad.primitive_jvps[_run_cotangent] = _loop_jvp
ad.primitive_transposes[_run_tangent] = _transpose_tangent


def _lower(context: mlir.LoweringRuleContext, *operands: Any, call: Call) -> Any:
    function = jaxpr_as_fun(call.program)
    return mlir.lower_fun(function, multiple_results=True)(context, *operands)


def _lower_for(platform: str, context: mlir.LoweringRuleContext, *operands: Any, call: Call) -> Any:
    """Adapt the loops to a platform: to the launches of kernels on a GPU, to a TPU's memory."""
    if platform == "tpu" and _is_for_export(context):
        # It cannot fix layouts, without which the steps an iteration that a CPU takes are better.
        return _lower(context, *operands, call=call)

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


def _is_for_export(context: mlir.LoweringRuleContext) -> bool:
    return context.module_context.lowering_parameters.for_export


def _lower_for_cpu(
    find: Callable[..., Any], context: mlir.LoweringRuleContext, *operands: Any, call: Call
) -> Any:
    """Use native code where there is some, and where it pays."""
    if not is_on_one_device(context) or _is_for_export(context):
        # XLA would gather what several devices hold, and an exported program cannot call our code.
        return _lower(context, *operands, call=call)
    if (function := find(call, context.avals_in, context.avals_out)) is None:
        return _lower(context, *operands, call=call)
    return mlir.lower_fun(function, multiple_results=True)(context, *operands)


for _each in (_run, _run_and_linearize, _run_tangent, _run_cotangent):
    mlir.register_lowering(_each, _lower)
    for _name, _platform in (("cuda", "gpu"), ("rocm", "gpu"), ("tpu", "tpu")):
        _rule = functools.partial(_lower_for, _platform)
        mlir.register_lowering(_each, _rule, platform=_name)
for _each, _find in (
    (_run, native.forward),
    (_run_and_linearize, native.forward),
    (_run_cotangent, native.backward),
):
    mlir.register_lowering(_each, functools.partial(_lower_for_cpu, _find), platform="cpu")
