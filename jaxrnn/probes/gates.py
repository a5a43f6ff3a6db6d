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
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun

from jaxrnn.typing import Array, Float, Gates

FUNCTIONS = {
    "logistic": "sigmoid",
    **{name: name for name in ("sigmoid", "tanh", "relu", "exp", "softplus", "log_sigmoid", "erf")},
    **{name: name for name in ("silu", "gelu", "elu", "relu6", "hard_tanh", "soft_sign", "selu")},
    **{name: name for name in ("hard_sigmoid", "leaky_relu", "celu", "sin", "cos")},
}
"""Functions that squash a gate, by the names of JAX's primitives or of its own functions."""

RANGES = {"sigmoid": (0.0, 1.0), "hard_sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
"""The values between which some of them lie."""


@dataclass(frozen=True)
class Gate:
    """A gate at every step."""

    pre_activation: Float[Array, "T B H"]
    """The argument of the function."""
    value: Float[Array, "T B H"]
    """What the function makes of it, as the equations go on with it."""
    function: str
    """The name of the function, such as "sigmoid"; "identity" if there is none."""


jax.tree_util.register_dataclass(Gate, ["pre_activation", "value"], ["function"])


class Found(NamedTuple):
    """A call of one of `FUNCTIONS` in some equations."""

    gates: frozenset[int]
    """The gates in its argument that no other such function has been applied to."""
    negated: bool
    """Whether the argument is the negative of such a sum, as in sigmoid(-z)."""
    function: str
    """The name of the function."""


def gates_of(
    equations: Callable[..., Any], names: tuple[str, ...], gates: tuple[Gates, ...], *others: Any
) -> dict[str, Gate]:
    """Return the gates of some equations at all steps.

    A gate's function is the first whose argument contains the gate, but neither as part of another
    function's value nor of a sum or product over units; one of its negative comes second.

    Args:
        equations: a function (*gates, *others) of one step.
        names: the names of the gates.
        gates: the input gates and, for some cells, the hidden gates, each G arrays `[T, B, H]`.
        others: other arguments that have a leading axis of time.
    """
    found: list[Found] = []

    def one_step(*arguments: Any) -> list[tuple[Any, Any]]:
        traced = jax.make_jaxpr(equations)(*arguments)
        reader = _Reader()
        leaves = [jax.tree.leaves(argument) for argument in arguments]
        reaches = [
            (frozenset([k]) if position < len(gates) else frozenset(), False)
            for position, group in enumerate(leaves)
            for k in range(len(group))
        ]
        reader.read(traced, [leaf for group in leaves for leaf in group], reaches)
        found[:] = reader.found
        return reader.values

    values = jax.vmap(one_step)(*gates, *others)
    result = OrderedDict[str, Gate]()  # of a plain one, jit would sort the names
    for k, name in enumerate(names):
        calls = [call for call, one in enumerate(found) if k in one.gates]
        calls.sort(key=lambda call: found[call].negated)  # stable: the first one stays first
        if calls:
            result[name] = Gate(*values[calls[0]], found[calls[0]].function)
        else:
            plain = functools.reduce(lambda a, b: a + b, (group[k] for group in gates))
            result[name] = Gate(plain, plain, "identity")
    return result


Reach = tuple[frozenset[int], bool]
"""(the gates that a value contains, whether negated)"""
NOTHING: Reach = (frozenset(), False)


class _Reader:
    """Evaluates traced equations, and keeps the arguments and values of `FUNCTIONS`."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self.values: list[tuple[Any, Any]] = []

    def read(
        self, traced: Any, arguments: list[Any], reaches: list[Reach]
    ) -> tuple[list[Any], list[Reach]]:
        """Return the results, and which gates they contain."""
        values = dict(zip(traced.jaxpr.constvars, traced.consts, strict=True))
        values |= dict(zip(traced.jaxpr.invars, arguments, strict=True))
        contained: dict[Any, Reach] = dict(zip(traced.jaxpr.invars, reaches, strict=True))

        def value(variable: Any) -> Any:
            return variable.val if isinstance(variable, Literal) else values[variable]

        def reach(variable: Any) -> Reach:
            return NOTHING if isinstance(variable, Literal) else contained.get(variable, NOTHING)

        for equation in traced.jaxpr.eqns:
            inputs = [value(variable) for variable in equation.invars]
            into = [reach(variable) for variable in equation.invars]
            results, out_of = self.evaluate(equation, inputs, into)
            values |= dict(zip(equation.outvars, results, strict=True))
            contained |= dict(zip(equation.outvars, out_of, strict=True))
        results = traced.jaxpr.outvars
        return [value(variable) for variable in results], [reach(variable) for variable in results]

    def evaluate(
        self, equation: Any, inputs: list[Any], into: list[Reach]
    ) -> tuple[list[Any], list[Reach]]:
        """Evaluate one operation, or the operations of a call."""
        inner = next((equation.params[p] for p in _CALLS if p in equation.params), None)
        function = FUNCTIONS.get(_name(equation))
        if inner is not None and not isinstance(inner, ClosedJaxpr):
            inner = ClosedJaxpr(inner, ())
        if inner is not None and function is None and equation.primitive.name in _CALLERS:
            return self.read(inner, inputs, into)
        if inner is not None and equation.primitive.name in _CALLERS:
            results = jaxpr_as_fun(inner)(*inputs)
        else:
            results = equation.primitive.bind(*inputs, **equation.params)
            results = list(results) if equation.primitive.multiple_results else [results]
        gates = frozenset[int]().union(*(gates for gates, _ in into))
        negated = any(negated for gates, negated in into if gates)
        if function is not None and gates:
            self.found.append(Found(gates, negated, function))
            self.values.append((inputs[0], results[0]))
        across_units = equation.primitive.name.startswith(_ACROSS_UNITS)
        if function is not None or across_units:
            return results, [NOTHING] * len(results)
        return results, [(gates, negated ^ (equation.primitive.name == "neg"))] * len(results)


def _name(equation: Any) -> str:
    """Return the name of an operation, or of the function that is called."""
    name = equation.params.get("name", equation.primitive.name)
    if equation.primitive.name == "custom_jvp_call":
        inner = equation.params["call_jaxpr"].jaxpr.eqns
        if len(inner) == 1:
            name = _name(inner[0])
    if equation.primitive.name == "max" and _is_zero(equation.invars):
        return "relu"
    return str(name)


def _is_zero(variables: Any) -> bool:
    literals = [variable.val for variable in variables if isinstance(variable, Literal)]
    return any(float(literal) == 0 for literal in literals)


_CALLS = ("jaxpr", "call_jaxpr")
_CALLERS = ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call")
_ACROSS_UNITS = ("reduce_", "dot_general", "cumsum", "cumprod", "conv_", "sort", "fft")
