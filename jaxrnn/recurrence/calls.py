"""Loops as primitives, which hold a traced program and are lowered by rules of their own.

Which loops are fast depends on the platform and on the number of devices that a program is compiled
for.  Both are known when it is lowered, but not when it is traced, possibly on another machine.
`primitives.py` and `linear_primitives.py` make primitives of the loops of their cells from what is
here.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.extend.core import Primitive, jaxpr_as_fun
from jax.interpreters import ad, batching, mlir

from jaxrnn.primitives import is_for_export, is_on_one_device
from jaxrnn.recurrence.options import Options


class Call(NamedTuple):
    """The static parameters of a primitive; its operands and results are arrays."""

    program: Any  # the portable loop, traced for the operands
    options: Options
    structure: Any  # that of the arguments whose leaves are the operands
    results: Any  # the structure of the results
    transposed: Any = None  # for a loop of cotangents: the call, and which operands are linear


def bind(primitive: Primitive, loop: Callable[..., Any], options: Options, arguments: Any) -> Any:
    """Call a primitive with the program of `loop(options, *arguments)`."""
    operands, structure = jax.tree.flatten(arguments)
    function = functools.partial(loop, options)
    program, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    call = Call(program, options, structure, jax.tree.structure(shapes))
    return jax.tree.unflatten(call.results, primitive.bind(*operands, call=call))


def make_primitive(name: str, function: Callable[[Call], Callable[..., Any]]) -> Primitive:
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


def portable(call: Call) -> Callable[..., Any]:
    """Return the portable loop as a function of operands."""
    return jaxpr_as_fun(call.program)


def jvp_by(rule: Callable[..., Any], primals: Any, tangents: Any, *, call: Call) -> Any:
    """Differentiate by a rule (options, primals, tangents) on the structures of the arguments."""
    tangents = list(map(ad.instantiate_zeros, tangents))
    arguments = (jax.tree.unflatten(call.structure, leaves) for leaves in (primals, tangents))
    return tuple(jax.tree.leaves(part) for part in rule(call.options, *arguments))


def loop_jvp(primals: Any, tangents: Any, *, call: Call) -> Any:
    """Differentiate the portable loop as JAX does."""
    primals = tuple(primals)
    return jax.jvp(portable(call), primals, tuple(map(ad.instantiate_zeros, tangents)))


def transpose_tangent(cotangent: Primitive, cotangents: Any, *operands: Any, call: Call) -> Any:
    """Run a loop of tangents backward, by the primitive `cotangent`."""
    linear = [ad.is_undefined_primal(operand) for operand in operands]
    known = [operand for operand, is_linear in zip(operands, linear, strict=True) if not is_linear]
    unknown = [operand.aval for operand in operands if ad.is_undefined_primal(operand)]

    def transposed(known: Any, cotangents: Any) -> Any:
        def function(*tangents: Any) -> Any:
            sources = iter(known), iter(tangents)
            return portable(call)(*(next(sources[is_linear]) for is_linear in linear))

        return jax.linear_transpose(function, *unknown)(cotangents)

    cotangents = [ad.instantiate_zeros(cotangent) for cotangent in cotangents]
    arguments = known, cotangents
    program = jax.make_jaxpr(transposed)(*arguments)
    leaves, structure = jax.tree.flatten(arguments)
    number = jax.tree.structure([0] * len(program.out_avals))
    backward = Call(program, call.options, structure, number, (call, tuple(linear)))
    results = iter(cotangent.bind(*leaves, call=backward))
    return [next(results) if is_linear else None for is_linear in linear]


def unpack_cotangents(call: Call, operands: Any) -> tuple[Any, ...]:
    """Return what a loop of cotangents is given.

    Args:
        call: its call, whose operands these are.
        operands: arrays, or what stands for them.

    Returns:
        (the arguments of the loop of tangents, with avals for what it is linear in; the
        cotangents of each of its results ...)
    """
    tangent, linear = call.transposed
    known, cotangents = call.structure.unflatten(operands)
    known, avals = iter(known), tangent.program.in_avals
    leaves = [a if is_linear else next(known) for a, is_linear in zip(avals, linear, strict=True)]
    return tangent.structure.unflatten(leaves), *tangent.results.unflatten(cotangents)


def pack_cotangents(call: Call, found: Any) -> list[Any]:
    """Return the results of a loop of cotangents, given those of the last arguments."""
    leaves = jax.tree.leaves(found)
    _, linear = call.transposed
    return [d for d, is_linear in zip(leaves, linear[-len(leaves) :], strict=True) if is_linear]


def lower(context: mlir.LoweringRuleContext, *operands: Any, call: Call) -> Any:
    """Lower to the portable loop."""
    function = jaxpr_as_fun(call.program)
    return mlir.lower_fun(function, multiple_results=True)(context, *operands)


def lower_for_cpu(
    find: Callable[..., Any], context: mlir.LoweringRuleContext, *operands: Any, call: Call
) -> Any:
    """Use native code where `find` has some: (call, avals of operands, avals of results)."""
    if not is_on_one_device(context) or is_for_export(context):
        # XLA would gather what several devices hold, and an exported program cannot call our code.
        return lower(context, *operands, call=call)
    if (function := find(call, context.avals_in, context.avals_out)) is None:
        return lower(context, *operands, call=call)
    return mlir.lower_fun(function, multiple_results=True)(context, *operands)
