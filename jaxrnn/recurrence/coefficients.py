"""The coefficients of a linear program whose arrays are all `[B, H]` and work elementwise.

The derivative of one step, as `jax.linearize` gives it, is a program without branches that adds
tangents and multiplies them by arrays.  Each tangent on the way is a sum of terms, a coefficient
times a source, and the program is followed equation by equation, on such sums.  For the GRU,

    r = sigmoid(x_r + h_r)    z = sigmoid(x_z + h_z)    n = tanh(x_n + r * h_n)
    h' = (1 - z) * n + z * h

the tangent of the one array of the new carry comes out as

    dh' = z          * dh                  source ("start", 0)
        + (h - n)*z' * (dx_z + dh_z)       sources ("input", 1) and ("hidden", 1)
        + (1 - z)*n' * dx_n                source ("input", 2)
        + (1 - z)*n'*r   * dh_n            source ("hidden", 2)
        + (1 - z)*n'*h_n*r' * (dx_r + dh_r)    sources ("input", 0) and ("hidden", 0)

five coefficients `[B, H]` (r', z' and n' are the derivatives of the activations), however long the
equations were.  An operation that may read several units of an array ends the search.
"""

import operator
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

Source = tuple[str, int]  # ("input" | "hidden", gate) or ("start" | "new", array of the carry)
Terms = dict[Source, Any]  # the coefficient of each source, [B, H] or a number


class NotElementwiseError(Exception):
    """The program has an operation that none of the rules below describes."""


def new_carry_terms(program: Any, inputs: list[Terms]) -> dict[int, Terms]:
    """Return the terms of each array of the new carry, in an order of computation.

    An array of the new carry that others are computed from, such as an LSTM's memory, is a source
    of theirs, and comes before them.

    Args:
        program: a ClosedJaxpr, linear in all its inputs.
        inputs: the terms of each of these.

    Raises:
        NotElementwiseError: the program may mix units.
    """
    from jax.extend.core import Literal  # here, so that a move of JAX's costs speed at most

    new: dict[int, Terms] = {}

    def follow(program: Any, operands: list[Any], outputs: dict[Any, int]) -> list[Any]:
        known = dict(zip(program.jaxpr.constvars, program.consts, strict=True))
        known |= dict(zip(program.jaxpr.invars, operands, strict=True))

        def read(variables: Any) -> list[Any]:
            return [v.val if isinstance(v, Literal) else known.get(v) for v in variables]

        for equation in program.jaxpr.eqns:
            operands = read(equation.invars)
            if not any(isinstance(operand, dict) for operand in operands):
                continue  # no tangent: a zero
            if equation.primitive.name == "jit":
                inner = equation.params["jaxpr"]
                pairs = zip(inner.jaxpr.outvars, equation.outvars, strict=True)
                inside = {i: outputs[o] for i, o in pairs if o in outputs and is_variable(i)}
                results = follow(inner, operands, inside)
            elif equation.primitive.name in _RULES:
                results = [_RULES[equation.primitive.name](*operands)]
            else:
                raise NotElementwiseError(equation.primitive.name)
            for variable, result in zip(equation.outvars, results, strict=True):
                output = outputs.get(variable)
                if output is not None and output not in new and isinstance(result, dict):
                    new[output] = result
                    result = {("new", output): 1.0}
                known[variable] = result
        return read(program.jaxpr.outvars)

    def is_variable(variable: Any) -> bool:
        return not isinstance(variable, Literal)

    outputs = {v: i for i, v in enumerate(program.jaxpr.outvars) if is_variable(v)}
    for output, result in enumerate(follow(program, inputs, outputs)):
        if output not in new:  # an input as it was, another output, or zero
            new[output] = result if isinstance(result, dict) else {}
    return new


def _combine(function: Callable[..., Any], *sums: Terms) -> Terms:
    """Return `function` of each source's coefficients, None where a sum has none.

    Sources that share a coefficient object share the result object: by this identity it is seen
    that the two halves of a gate are only ever added.
    """
    results: dict[tuple[int, ...], Any] = {}
    terms = {}
    for source in dict.fromkeys(source for each in sums for source in each):
        coefficients = [each.get(source) for each in sums]
        key = tuple(map(id, coefficients))
        if key not in results:
            results[key] = function(*coefficients)
        terms[source] = results[key]
    return terms


def _coefficient(operand: Any) -> Any:
    """Return an operand that is no tangent."""
    if operand is None:
        raise NotElementwiseError
    return operand


def _add(a: Any, b: Any) -> Any:
    if not (isinstance(a, dict) and isinstance(b, dict)):  # the other is zero
        return a if isinstance(a, dict) else b
    return _combine(lambda x, y: y if x is None else x if y is None else x + y, a, b)


def _negate(a: Terms) -> Terms:
    return _combine(operator.neg, a)


def _subtract(a: Any, b: Any) -> Any:
    return _add(a, _negate(b) if isinstance(b, dict) else b)


def _multiply(a: Any, b: Any) -> Terms:
    tangent, factor = (a, b) if isinstance(a, dict) else (b, a)
    factor = _coefficient(factor)
    return _combine(lambda c: c * factor, tangent)


def _divide(a: Terms, b: Any) -> Terms:
    divisor = _coefficient(b)
    return _combine(lambda c: c / divisor, a)


def _select(which: Any, *cases: Any) -> Terms:
    which = _coefficient(which)
    sums = [case if isinstance(case, dict) else {} for case in cases]
    coefficients = [c for terms in sums for c in terms.values()]
    shape = jnp.broadcast_shapes(jnp.shape(which), *map(jnp.shape, coefficients))
    dtype = jnp.result_type(*coefficients)

    def select(*coefficients: Any) -> Any:
        arrays = (jnp.asarray(0 if c is None else c, dtype) for c in coefficients)
        return lax.select_n(which, *(jnp.broadcast_to(array, shape) for array in arrays))

    return _combine(select, *sums)


_RULES: dict[str, Callable[..., Any]] = {
    "add": _add,
    "add_any": _add,
    "sub": _subtract,
    "neg": _negate,
    "mul": _multiply,
    "div": _divide,
    "select_n": _select,
}
