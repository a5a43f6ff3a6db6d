"""The coefficients of an elementwise linear program on arrays `[B, H]`.

The derivative of one step, as `jax.linearize` returns it, is a program without branches that adds
tangents and multiplies them by arrays.  Each intermediate tangent is a sum of terms, each of them a
coefficient times a source.  This module evaluates the program on such sums, equation by equation.
For the GRU,

    r = sigmoid(x_r + h_r)    z = sigmoid(x_z + h_z)    n = tanh(x_n + r * h_n)
    h' = (1 - z) * n + z * h

the tangent of the new carry's only array comes out as

    dh' = z          * dh                  source ("start", 0)
        + (h - n)*z' * (dx_z + dh_z)       sources ("input", 1) and ("hidden", 1)
        + (1 - z)*n' * dx_n                source ("input", 2)
        + (1 - z)*n'*r   * dh_n            source ("hidden", 2)
        + (1 - z)*n'*h_n*r' * (dx_r + dh_r)    sources ("input", 0) and ("hidden", 0)

with five coefficients `[B, H]` (r', z' and n' are the derivatives of the activations), however long
the equations are.  An operation that may mix units of an array raises a NotElementwiseError.
"""

import operator
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

# ("input" | "hidden", gate), ("start" | "new", array of the carry), ("param", one of the cell)
Source = tuple[str, int]
Terms = dict[Source, Any]  # a coefficient, [B, H] or a number, for each source


class NotElementwiseError(Exception):
    """The program has an operation that the rules below do not cover."""


def new_carry_terms(program: Any, inputs: list[Terms]) -> dict[int, Terms]:
    """Return the terms of each array of the new carry, in the order of their computation.

    An array of the new carry that others depend on, such as an LSTM's memory, precedes them and is
    one of their sources.

    Args:
        program: a ClosedJaxpr that is linear in all its inputs.
        inputs: the terms of each input.

    Raises:
        NotElementwiseError: the program may mix units.
    """
    # Imported here: if JAX moves it, `linearize` falls back to a slower derivative.
    from jax.extend.core import Literal

    new: dict[int, Terms] = {}

    def evaluate(program: Any, operands: list[Any], outputs: dict[Any, int]) -> list[Any]:
        known = dict(zip(program.jaxpr.constvars, program.consts, strict=True))
        known |= dict(zip(program.jaxpr.invars, operands, strict=True))

        def read(variables: Any) -> list[Any]:
            return [v.val if isinstance(v, Literal) else known.get(v) for v in variables]

        for equation in program.jaxpr.eqns:
            operands = read(equation.invars)
            if not any(isinstance(operand, dict) for operand in operands):
                continue  # it reads no tangent: zero wherever it is added
            if equation.primitive.name == "jit":
                inner = equation.params["jaxpr"]
                pairs = zip(inner.jaxpr.outvars, equation.outvars, strict=True)
                inside = {i: outputs[o] for i, o in pairs if o in outputs and is_variable(i)}
                results = evaluate(inner, operands, inside)
            elif equation.primitive.name in _SAME_NUMBERS:
                results = [_align(operands[0], equation)]
            elif equation.primitive.name == "select_n":
                results = [_select(equation.outvars[0].aval.dtype, *operands)]
            elif equation.primitive.name in _RULES:
                results = [_RULES[equation.primitive.name](*operands)]
            else:
                raise NotElementwiseError(f"the operation {equation.primitive.name}")
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
    for output, result in enumerate(evaluate(program, inputs, outputs)):
        if output not in new:  # it is an input, another output, or zero
            new[output] = result if isinstance(result, dict) else {}
    return new


def _combine(function: Callable[..., Any], *sums: Terms) -> Terms:
    """Apply `function` to the coefficients of each source, None where a sum lacks the source.

    Sources that share coefficient objects share the result object.  By this identity
    `linearization.coefficients` detects that input and hidden parts of a gate are only ever added.
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


def _require_coefficient(operand: Any) -> Any:
    """Return an operand that serves as a coefficient; raise if it is not known."""
    if operand is None:
        raise NotElementwiseError("a product of two tangents")
    return operand


def _add(a: Any, b: Any) -> Any:
    if not (isinstance(a, dict) and isinstance(b, dict)):  # one of them is zero
        return a if isinstance(a, dict) else b
    return _combine(lambda x, y: y if x is None else x if y is None else x + y, a, b)


def _negate(a: Terms) -> Terms:
    return _combine(operator.neg, a)


def _subtract(a: Any, b: Any) -> Any:
    return _add(a, _negate(b) if isinstance(b, dict) else b)


def _multiply(a: Any, b: Any) -> Terms:
    tangent, factor = (a, b) if isinstance(a, dict) else (b, a)
    factor = _require_coefficient(factor)
    return _combine(lambda c: c * factor, tangent)


def _divide(a: Terms, b: Any) -> Terms:
    divisor = _require_coefficient(b)
    return _combine(lambda c: c / divisor, a)


def _select(dtype: Any, predicate: Any, *cases: Any) -> Terms:
    predicate = _require_coefficient(predicate)
    sums = [case if isinstance(case, dict) else {} for case in cases]
    coefficients = [c for terms in sums for c in terms.values()]
    shape = jnp.broadcast_shapes(jnp.shape(predicate), *map(jnp.shape, coefficients))

    def select(*coefficients: Any) -> Any:
        arrays = (jnp.asarray(0 if c is None else c, dtype) for c in coefficients)
        return lax.select_n(predicate, *(jnp.broadcast_to(array, shape) for array in arrays))

    return _combine(select, *sums)


def _align(a: Terms, equation: Any) -> Terms:
    """Give the tangent of a parameter `[H]` or `[]` the axes of the gates; move no unit."""
    before, after = (v.aval.shape for v in (equation.invars[0], equation.outvars[0]))
    last = tuple(range(len(after) - len(before), len(after)))
    convert: Any = jnp.reshape
    if equation.primitive.name == "broadcast_in_dim":
        convert, aligned = jnp.broadcast_to, equation.params["broadcast_dimensions"] == last
    else:
        longer, shorter = sorted((before, after), key=len, reverse=True)
        aligned = longer == (1,) * (len(longer) - len(shorter)) + shorter
    if not aligned:
        raise NotElementwiseError(f"the operation {equation.primitive.name}")
    return _combine(lambda c: convert(c, after) if jnp.ndim(c) else c, a)


_SAME_NUMBERS = {"broadcast_in_dim", "reshape", "squeeze", "pvary"}
_RULES: dict[str, Callable[..., Any]] = {
    "add": _add,
    "add_any": _add,
    "sub": _subtract,
    "neg": _negate,
    "mul": _multiply,
    "div": _divide,
}
