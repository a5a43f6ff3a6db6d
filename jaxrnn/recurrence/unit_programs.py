"""Programs on the numbers of one unit, traced from functions of arrays `[B, H]`.

Code that computes a whole sequence in one kernel needs a cell's equations as a list of operations,
each on the numbers of one unit of one row.  A cell whose units read each other, for instance by a
normalisation, has no such program.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from jaxrnn.cells import BaseCell
from jaxrnn.recurrence.coefficients import NotElementwiseError


class NotPerUnitError(Exception):
    """A cell has no program on single units; the message says why."""


class Value(NamedTuple):
    """The result of an operation, or an input."""

    number: int

    def __str__(self) -> str:
        return f"v{self.number}"


Operand = Value | float | bool


class Operation(NamedTuple):
    """An assignment of a program."""

    result: Value
    name: str
    """The name of JAX's primitive."""
    operands: tuple[Operand, ...]
    parameter: Any = None
    """The exponent of `integer_pow`."""

    def __str__(self) -> str:
        parameters = [] if self.parameter is None else [self.parameter]
        return f"{self.result} = {self.name}({', '.join(map(str, [*self.operands, *parameters]))})"


class Program(NamedTuple):
    """Operations in the order of their execution."""

    num_inputs: int
    operations: tuple[Operation, ...]
    results: tuple[Operand, ...]

    def __str__(self) -> str:
        results = ", ".join(map(str, self.results))
        return "\n".join([*map(str, self.operations), f"return {results}"])


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Raise a NotPerUnitError in place of whatever tracing a cell raises."""
    try:
        yield
    except NotPerUnitError:
        raise
    except NotElementwiseError as error:
        raise NotPerUnitError(f"its derivative has {error}") from error
    except Exception as error:  # an update may expect what it is only given in a run
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise NotPerUnitError(f"its equations cannot be traced ({first})") from error


def shapes_of(cell: BaseCell, shape: tuple[int, int], dtype: Any) -> tuple[Any, Any, Any]:
    """Return the shapes of a cell's (gates, carry, own parameters) for a batch of `shape[0]` rows.

    Raises:
        NotPerUnitError: a parameter is a matrix, which would be taken for rows and units, or not
            a float.
    """
    gates = (jax.ShapeDtypeStruct(shape, dtype),) * len(cell.gates)
    carry, params = jax.eval_shape(
        lambda: (cell.initial_carry(shape[0], dtype), cell.init_params(jax.random.key(0)))
    )
    if not all(jnp.issubdtype(p.dtype, jnp.floating) for p in jax.tree.leaves(params)):
        raise NotPerUnitError("it has integers among its parameters")
    params = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, dtype), params)
    matrices = shape, (shape[1], shape[1])
    if any(p.shape in matrices for p in jax.tree.leaves(params)):
        raise NotPerUnitError("it has a matrix among its parameters")
    return gates, carry, params


def program_of(function: Any, arguments: Any, shape: tuple[int, int]) -> Program:
    """Return the program of a function of arrays `[B, H]`, given shapes of its arguments.

    Raises:
        NotPerUnitError: the units read each other, or there is an operation without a rule here.
    """
    return _Tracer(shape).program(jax.make_jaxpr(function)(*arguments))


class _Tracer:
    """Turns traced equations on arrays `[B, H]` into a program on single units."""

    def __init__(self, shape: tuple[int, int]) -> None:
        # Numbers of a row and unit, of a unit, and of a cell.
        self.shapes = {shape, (1, shape[1]), (shape[1],), (), (1,), (1, 1)}
        self.operations: dict[Any, Operation] = {}  # equal ones are computed once
        self.count = 0

    def program(self, traced: Any) -> Program:
        inputs: list[Operand] = [self.value() for _ in traced.jaxpr.invars]
        for variable in traced.jaxpr.invars:
            self.check(variable.aval)
        results = self.evaluate(traced, inputs)
        return Program(len(inputs), tuple(self.operations.values()), tuple(results))

    def value(self) -> Value:
        self.count += 1
        return Value(self.count - 1)

    def check(self, aval: Any) -> None:
        if aval.shape not in self.shapes:
            raise NotPerUnitError(f"it has an array of shape {aval.shape}, not one number a unit")

    def evaluate(self, traced: Any, operands: list[Operand]) -> list[Operand]:
        known = dict(zip(traced.jaxpr.invars, operands, strict=True))
        for variable, constant in zip(traced.jaxpr.constvars, traced.consts, strict=True):
            known[variable] = self.constant(constant)

        def read(variable: Any) -> Operand:
            if isinstance(variable, Literal):
                return self.constant(variable.val)
            return known[variable]

        for equation in traced.jaxpr.eqns:
            operands = [read(variable) for variable in equation.invars]
            name = equation.primitive.name
            if name in CALLS:
                results = self.evaluate(closed(equation.params[CALLS[name]]), operands)
            else:
                results = [self.apply(equation, name, operands)]
            known |= dict(zip(equation.outvars, results, strict=True))
        return [read(variable) for variable in traced.jaxpr.outvars]

    def constant(self, value: Any) -> Operand:
        array = np.asarray(value)
        if array.size != 1:
            raise NotPerUnitError(
                "it has an array among its constants: make it one of the cell's parameters"
            )
        number = array.reshape(()).item()
        return number if isinstance(number, bool) else float(number)

    def apply(self, equation: Any, name: str, operands: list[Operand]) -> Operand:
        (out,) = equation.outvars
        self.check(out.aval)
        if name in _SAME:
            return operands[0]
        if name == "convert_element_type":
            return self.convert(equation, operands[0])
        if name not in OPERATIONS:
            raise NotPerUnitError(f"it has the operation {name}")
        kinds = {variable.aval.dtype.kind for variable in equation.invars}
        if kinds & {"i", "u"} or ("b" in kinds and name not in _OF_BOOLEANS):
            raise NotPerUnitError(f"it has the operation {name} of numbers that are not floats")
        if name == "mul" and 1.0 in operands:  # as derivatives have them
            first, second = operands
            return second if first == 1.0 and not isinstance(first, Value) else first
        parameter = equation.params["y"] if name == "integer_pow" else None
        return self.operation(name, tuple(operands), parameter)

    def convert(self, equation: Any, operand: Operand) -> Operand:
        before, after = equation.invars[0].aval.dtype, equation.outvars[0].aval.dtype
        if before == after:
            return operand
        if not isinstance(operand, Value):
            return self.constant(np.asarray(operand).astype(after))
        if before.kind == "b" and jnp.issubdtype(after, jnp.floating):
            return self.operation("select_n", (operand, 0.0, 1.0), None)
        raise NotPerUnitError(f"it converts {before} to {after}")

    def operation(self, name: str, operands: tuple[Operand, ...], parameter: Any) -> Value:
        # As texts, because -0.0 == 0.0 and True == 1.0.
        key = name, tuple(map(str, operands)), parameter
        if key not in self.operations:
            self.operations[key] = Operation(self.value(), name, operands, parameter)
        return self.operations[key].result


def closed(program: Any) -> Any:
    """Return the program that a call holds, with its constants."""
    return program if isinstance(program, ClosedJaxpr) else ClosedJaxpr(program, ())


CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}
"""Calls of programs by the names of JAX's primitives, and the parameter that holds the program."""
# Operations that leave the number of each unit as it is.
_SAME = {
    *("broadcast_in_dim", "reshape", "squeeze", "expand_dims"),
    *("copy", "optimization_barrier", "stop_gradient"),
}
_OF_FLOATS = (
    "abs acos acosh add add_any asin asinh atan atan2 atanh cbrt ceil clamp cos cosh div erf erfc"
    " exp exp2 expm1 floor integer_pow log log1p logistic max min mul neg pow rsqrt sign sin sinh"
    " sqrt square sub tan tanh"
)
_OF_BOOLEANS = {"select_n", "eq", "ne", "and", "or", "not", "xor"}
OPERATIONS = frozenset({*_OF_FLOATS.split(), *_OF_BOOLEANS, "lt", "le", "gt", "ge", "is_finite"})
"""The operations of programs, by the names of JAX's primitives."""
