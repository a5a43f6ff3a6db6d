"""What each unit's tangent is the sum of, in a linear program whose units do not mix.

A tangent `[B, k*H]` is followed as k blocks, and each block as a sum of names times coefficients
`[B, H]`.  That is exact for operations that work elementwise, or move whole blocks.  Any other may
read several units, and ends it.
"""

import itertools
import operator
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.extend.core import ClosedJaxpr, Literal

Name = tuple[str, int]  # ("input" | "hidden", gate block) or ("start" | "new", array of the carry)
Sum = dict[Name, Any]  # the coefficient of each, [B, H] or a number
Blocks = list[Sum]


class MixedUnitsError(Exception):
    """The program has an operation that none of the rules below describes."""


def new_carry_sums(program: ClosedJaxpr, inputs: list[Blocks], size: int) -> dict[int, Sum]:
    """The sum of each array of the new carry, in an order in which each reads earlier ones only.

    What an array of the new carry serves to compute has it as a name of its own.

    Raises:
        MixedUnitsError: there may be no such sums.
    """
    new: dict[int, Sum] = {}

    def follow(program: ClosedJaxpr, operands: list[Any], outputs: dict[Any, int]) -> list[Any]:
        known = dict(zip(program.jaxpr.constvars, program.consts, strict=True))
        known |= dict(zip(program.jaxpr.invars, operands, strict=True))

        def read(variables: Any) -> list[Any]:
            return [v.val if isinstance(v, Literal) else known.get(v) for v in variables]

        for equation in program.jaxpr.eqns:
            operands = read(equation.invars)
            if not any(isinstance(operand, list) for operand in operands):
                continue  # no tangent: a zero
            if equation.primitive.name == "jit":
                inner = equation.params["jaxpr"]
                pairs = zip(inner.jaxpr.outvars, equation.outvars, strict=True)
                inside = {i: outputs[o] for i, o in pairs if o in outputs and _is_variable(i)}
                results = follow(inner, operands, inside)
            else:
                results = _rule(equation)(equation, size, *operands)
            for variable, result in zip(equation.outvars, results, strict=True):
                output = outputs.get(variable)
                if output is not None and output not in new and isinstance(result, list):
                    [new[output]] = result
                    result = [{("new", output): 1.0}]
                known[variable] = result
        return read(program.jaxpr.outvars)

    outputs = {v: i for i, v in enumerate(program.jaxpr.outvars) if _is_variable(v)}
    for output, result in enumerate(follow(program, inputs, outputs)):
        if output not in new:  # an input as it was, another output, or zero
            [new[output]] = result if isinstance(result, list) else [{}]
    return new


def _is_variable(variable: Any) -> bool:
    return not isinstance(variable, Literal)


def _rule(equation: Any) -> Callable[..., list[Any]]:
    try:
        return _RULES[equation.primitive.name]
    except KeyError:
        raise MixedUnitsError(equation.primitive.name) from None


def blocks_of(array: Any, size: int) -> list[Any]:
    """`[B, k*H]` in k arrays `[B, H]`."""
    return jnp.split(array, array.shape[-1] // size, axis=-1)


def _coefficients(operand: Any, num_blocks: int, size: int) -> list[Any]:
    """An operand that is no tangent, by block."""
    if operand is None:
        raise MixedUnitsError
    return [operand] * num_blocks if jnp.ndim(operand) == 0 else blocks_of(operand, size)


def _by_name(function: Callable[..., Any], *sums: Sum) -> Sum:
    """`function` of the coefficients of each name, None where a sum has none.

    Names with the same coefficients get the same result, not two that are equal: so it shows that
    the two halves of a gate are only ever added.
    """
    results: dict[tuple[int, ...], Any] = {}
    by_name = {}
    for name in dict.fromkeys(name for terms in sums for name in terms):
        coefficients = [terms.get(name) for terms in sums]
        key = tuple(map(id, coefficients))
        if key not in results:
            results[key] = function(*coefficients)
        by_name[name] = results[key]
    return by_name


def _add(equation: Any, size: int, a: Any, b: Any) -> list[Any]:
    def add(x: Any, y: Any) -> Any:
        return y if x is None else x if y is None else x + y

    if not isinstance(a, list):  # a constant of a linear program: zero
        return [b]
    if not isinstance(b, list):
        return [a]
    return [[_by_name(add, x, y) for x, y in zip(a, b, strict=True)]]


def _negate(equation: Any, size: int, a: Blocks) -> list[Blocks]:
    return [[_by_name(operator.neg, terms) for terms in a]]


def _subtract(equation: Any, size: int, a: Any, b: Any) -> list[Any]:
    return _add(equation, size, a, _negate(equation, size, b)[0] if isinstance(b, list) else b)


def _multiply(equation: Any, size: int, a: Any, b: Any) -> list[Blocks]:
    tangent, factor = (a, b) if isinstance(a, list) else (b, a)
    factors = _coefficients(factor, len(tangent), size)
    return [[_by_name(lambda c, f=f: c * f, s) for s, f in zip(tangent, factors, strict=True)]]


def _divide(equation: Any, size: int, a: Blocks, b: Any) -> list[Blocks]:
    divisors = _coefficients(b, len(a), size)
    return [[_by_name(lambda c, d=d: c / d, s) for s, d in zip(a, divisors, strict=True)]]


def _select(equation: Any, size: int, which: Any, *cases: Any) -> list[Blocks]:
    [result] = equation.outvars
    shape = (result.aval.shape[0], size)
    num_blocks = result.aval.shape[1] // size

    def select(which: Any, *coefficients: Any) -> Any:
        arrays = (jnp.asarray(0 if c is None else c, result.aval.dtype) for c in coefficients)
        return lax.select_n(which, *(jnp.broadcast_to(array, shape) for array in arrays))

    sums = [case if isinstance(case, list) else [{}] * num_blocks for case in cases]
    by_block = zip(_coefficients(which, num_blocks, size), *sums, strict=True)
    return [[_by_name(lambda *c, w=w: select(w, *c), *terms) for w, *terms in by_block]]


def _split(equation: Any, size: int, a: Blocks) -> list[Blocks]:
    _require(equation.params["axis"] == 1)
    ends = [0]
    for width in equation.params["sizes"]:
        ends.append(ends[-1] + _in_blocks(int(width), size))
    return [a[start:end] for start, end in itertools.pairwise(ends)]


def _slice(equation: Any, size: int, a: Blocks) -> list[Blocks]:
    starts, ends = equation.params["start_indices"], equation.params["limit_indices"]
    _require(equation.params["strides"] in (None, (1, 1)))
    _require(equation.outvars[0].aval.shape[0] == equation.invars[0].aval.shape[0])
    return [a[_in_blocks(starts[1], size) : _in_blocks(ends[1], size)]]


def _concatenate(equation: Any, size: int, *arrays: Any) -> list[Blocks]:
    _require(equation.params["dimension"] == 1)
    widths = [_in_blocks(v.aval.shape[1], size) for v in equation.invars]
    parts = (a if isinstance(a, list) else [{}] * w for a, w in zip(arrays, widths, strict=True))
    return [[terms for part in parts for terms in part]]


def _require(condition: bool) -> None:
    if not condition:
        raise MixedUnitsError


def _in_blocks(columns: int, size: int) -> int:
    _require(columns % size == 0)
    return columns // size


_RULES: dict[str, Callable[..., list[Any]]] = {
    "add": _add,
    "add_any": _add,
    "sub": _subtract,
    "neg": _negate,
    "mul": _multiply,
    "div": _divide,
    "select_n": _select,
    "split": _split,
    "slice": _slice,
    "concatenate": _concatenate,
}
