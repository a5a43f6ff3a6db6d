"""The gates of a cell, found in its equations.

Equations compute gates by functions such as the sigmoid, of an argument that contains the input
gate of the same name.  Here they are traced, and that function, its argument and its value found:
no cell has to say what its gates are, and what is reported is what the equations compute.
"""

import functools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import Literal, jaxpr_as_fun

from jaxrnn.recurrence.unit_programs import CALLS, closed
from jaxrnn.typing import Array, Float, Gates

_NAMES = (
    "sigmoid hard_sigmoid log_sigmoid tanh hard_tanh relu relu6 leaky_relu elu selu celu silu"
    " hard_silu gelu softplus soft_sign squareplus mish exp erf atan sin cos"
)
FUNCTIONS = {name: name for name in _NAMES.split()} | {"logistic": "sigmoid"}
"""Functions that gates are passed through, by the names of JAX's primitives or functions."""

RANGES = {
    **dict.fromkeys(("sigmoid", "hard_sigmoid"), (0.0, 1.0)),
    **dict.fromkeys(("tanh", "hard_tanh", "soft_sign", "erf"), (-1.0, 1.0)),
}
"""The values between which some of them lie."""


@dataclass(frozen=True)
class Gate:
    """A gate at every step."""

    pre_activation: Float[Array, "T B H"]
    """The argument of the function."""
    value: Float[Array, "T B H"]
    """What the function makes of it, as the equations go on with it; NaN if it is unknown."""
    function: str
    """The name of the function, such as "sigmoid"; "identity" if the gate is only added and
    multiplied; "unknown" if the equations do anything else with it, such as join it with others."""


jax.tree_util.register_dataclass(Gate, ["pre_activation", "value"], ["function"])


def gates_of(
    equations: Callable[..., Any], names: tuple[str, ...], gates: tuple[Gates, ...], *others: Any
) -> dict[str, Gate]:
    """Return the gates of some equations at all steps.

    Args:
        equations: a function (*gates, *others) of one step.
        names: the names of the gates.
        gates: the input gates and, for some cells, the hidden gates, each G arrays `[T, B, H]`.
        others: other arguments that have a leading axis of time.
    """
    readers: list[_Reader] = []

    def one_step(*arguments: Any) -> list[tuple[Any, Any]]:
        traced, reader = jax.make_jaxpr(equations)(*arguments), _Reader()
        readers[:] = [reader]
        holds = [
            Holds(frozenset([k]) if position < len(gates) else frozenset())
            for position, argument in enumerate(arguments)
            for k in range(len(jax.tree.leaves(argument)))
        ]
        reader.read(traced, jax.tree.leaves(arguments), holds)
        return reader.values

    values = jax.vmap(one_step)(*gates, *others)
    (reader,) = readers
    result = OrderedDict[str, Gate]()  # of a plain one, jit would sort the names
    for k, name in enumerate(names):
        total = functools.reduce(lambda a, b: a + b, (group[k] for group in gates))
        call = reader.call_of(k)
        if call is not None and values[call][0].shape == total.shape:
            result[name] = Gate(*values[call], reader.found[call].function)
        elif call is None and k not in reader.bent:
            result[name] = Gate(total, total, "identity")
        else:
            result[name] = Gate(total, jnp.full_like(total, jnp.nan), "unknown")
    return result


class Holds(NamedTuple):
    """The gates that a value of the equations holds."""

    raw: frozenset[int] = frozenset()
    """Those that no function has been applied to."""
    negated: bool = False
    """Whether it holds their negative, as in 1 - z."""
    passed: frozenset[int] = frozenset()
    """Those that have been passed through a function."""


class Found(NamedTuple):
    """A call of one of `FUNCTIONS` in some equations."""

    holds: Holds
    """What its argument holds."""
    function: str
    """The name of the function."""


class _Reader:
    """Evaluates traced equations, and follows the gates through them."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self.values: list[tuple[Any, Any]] = []
        """The arguments and results of the calls that were found."""
        self.bent: set[int] = set()
        """Gates that something else was done to than to add and multiply them."""
        self.in_cases: set[int] = set()
        """Gates that some units pass through a function and others do not."""

    def call_of(self, gate: int) -> int | None:
        """Return the first call with this gate alone, if any; one of its negative comes second."""
        calls = [
            call
            for call, (holds, function) in enumerate(self.found)
            if holds.raw == {gate} and not (function == "exp" and holds.negated)
        ]
        if not calls or gate in self.in_cases:
            self.bent |= set().union(*(found.holds.raw for found in self.found)) & {gate}
            return None
        return min(calls, key=lambda call: self.found[call].holds.negated)

    def read(
        self, traced: Any, arguments: list[Any], holds: list[Holds]
    ) -> tuple[list[Any], list[Holds]]:
        """Return the results, and what they hold."""
        jaxpr = traced.jaxpr
        values = dict(zip(jaxpr.constvars, traced.consts, strict=True))
        values |= dict(zip(jaxpr.invars, arguments, strict=True))
        held: dict[Any, Holds] = dict(zip(jaxpr.invars, holds, strict=True))

        def look_up(variables: Any) -> tuple[list[Any], list[Holds]]:
            literals = [isinstance(variable, Literal) for variable in variables]
            pairs = list(zip(variables, literals, strict=True))
            return (
                [variable.val if literal else values[variable] for variable, literal in pairs],
                [
                    Holds() if literal else held.get(variable, Holds())
                    for variable, literal in pairs
                ],
            )

        for equation in jaxpr.eqns:
            results, of_results = self.evaluate(equation, *look_up(equation.invars))
            values |= dict(zip(equation.outvars, results, strict=True))
            held |= dict(zip(equation.outvars, of_results, strict=True))
        return look_up(jaxpr.outvars)

    def evaluate(
        self, equation: Any, inputs: list[Any], holds: list[Holds]
    ) -> tuple[list[Any], list[Holds]]:
        """Evaluate one operation, or the operations of a call."""
        primitive, function = equation.primitive, FUNCTIONS.get(_name(equation))
        if primitive.name in CALLS:
            program = closed(equation.params[CALLS[primitive.name]])
            if function is None:
                return self.read(program, inputs, holds)
            results = jaxpr_as_fun(program)(*inputs)
        else:
            results = primitive.bind(*inputs, **equation.params)
            results = list(results) if primitive.multiple_results else [results]
        together = _together(primitive.name, holds)
        if function is not None and together.raw:
            self.found.append(Found(together, function))
            self.values.append((inputs[0], results[0]))
            together = Holds(passed=together.passed | together.raw)
        elif primitive.name == "select_n":
            self.in_cases |= together.raw & together.passed
        elif primitive.name not in _OF_SUMS:
            self.bent |= together.raw
        if primitive.name.startswith(_ACROSS_UNITS) and primitive.name != "reduce_precision":
            together = Holds()
        return results, [together] * len(results)


def _together(name: str, holds: list[Holds]) -> Holds:
    """Return what the result of an operation holds, given what its operands hold."""
    if name == "sub" and holds[1].raw:
        holds = [holds[0], holds[1]._replace(negated=not holds[1].negated)]
    with_gates = [each for each in holds if each.raw]
    negated = bool(with_gates) and with_gates[0].negated  # a - b has the sign of a
    return Holds(
        frozenset().union(*(each.raw for each in holds)),
        negated ^ (name == "neg"),
        frozenset().union(*(each.passed for each in holds)),
    )


def _name(equation: Any) -> str:
    """Return the name of an operation, or of the function that is called."""
    name = equation.primitive.name
    if name == "custom_jvp_call":  # as of `jax.nn.relu`, around a call by its name
        calls = closed(equation.params[CALLS[name]]).jaxpr.eqns
        return _name(calls[0]) if len(calls) == 1 else name
    if name == "max" and _is_zero(equation.invars):
        return "relu"
    return str(equation.params.get("name", name))


def _is_zero(variables: Any) -> bool:
    literals = [variable.val for variable in variables if isinstance(variable, Literal)]
    return any(float(literal) == 0 for literal in literals)


_SUMS = (
    "add add_any sub mul div neg complex real imag copy convert_element_type broadcast_in_dim"
    " reshape squeeze expand_dims stop_gradient optimization_barrier"
)
_OF_SUMS = frozenset(_SUMS.split())
"""Operations that a sum of multiples of gates consists of."""

_ACROSS_UNITS = ("reduce_", "dot_general", "rows_times_kernel", "cum", "conv_", "sort", "fft")
"""Beginnings of the names of operations whose results depend on many units."""
