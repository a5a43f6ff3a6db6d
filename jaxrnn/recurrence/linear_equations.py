"""The equations of a linear cell as programs on the numbers of one unit.

Like `equations.py`, for the step `state' = a * state + b` and the output that is read out of it.

    >>> import jaxrnn
    >>> print(trace(jaxrnn.ema(8)).update)
    v3 = logistic(v1)
    v4 = neg(v1)
    v5 = logistic(v4)
    v6 = mul(v5, v0)
    v7 = mul(v3, v2)
    v8 = add(v7, v6)
    return v8, v8

Values 0, 1, ... are the inputs: the input gates, the cell's own parameters and the state.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.cells import ComplexCarry, LinearCell
from jaxrnn.recurrence.unit_programs import (
    NotPerUnitError,
    Program,
    program_of,
    refusals,
    shapes_of,
)


class LinearEquations(NamedTuple):
    """The equations of a linear cell and their derivatives, each on the numbers of one unit."""

    update: Program
    """(gates, parameters, state before the step) -> (the state after it, the output)."""
    slopes: Program
    """The same and the state after the step -> a; the derivative of the output by the state; and,
    for each gate and then each parameter, those of the new state and of the output by it."""
    num_gates: int
    params: Any
    """The cell's own parameters, as shapes."""
    reads_out: bool
    """Whether the output is not the state itself."""


@functools.lru_cache(maxsize=256)
def trace(cell: LinearCell, dtype: Any = np.dtype("float32")) -> LinearEquations:
    """Return the equations of a linear cell.

    Raises:
        NotPerUnitError: the units read each other, the state is complex, or there is an operation
            without a rule.
    """
    shape = cell.hidden_size + 1, cell.hidden_size  # no axis is confused with the other one
    with refusals():
        gates, carry, params = shapes_of(cell, shape, dtype)
    if isinstance(carry, ComplexCarry):
        raise NotPerUnitError("its state is complex")

    def step(gates: Any, params: Any, state: Any) -> Any:
        a, b = cell.coefficients(params, gates)
        return a * state + b

    def output(gates: Any, params: Any, state: Any) -> Any:
        return state if cell.readout is None else cell.readout(params, gates, state)

    def update(gates: Any, params: Any, state: Any) -> Any:
        new = step(gates, params, state)
        return new, output(gates, params, new)

    def slopes(gates: Any, params: Any, state: Any, new: Any) -> Any:
        by_state = (
            _slope(lambda s: step(gates, params, s), state),
            _slope(lambda s: output(gates, params, s), new),
        )
        leaves, structure = jax.tree.flatten((gates, params))
        by_others = []
        for position, leaf in enumerate(leaves):

            def of(function: Any, state: Any, position: int = position) -> Any:
                def replaced(value: Any) -> Any:
                    others = [*leaves[:position], value, *leaves[position + 1 :]]
                    return function(*jax.tree.unflatten(structure, others), state)

                return replaced

            by_others += [_slope(of(step, state), leaf), _slope(of(output, new), leaf)]
        return *by_state, *by_others

    arguments = gates, params, gates[0]
    with refusals():
        programs = (
            program_of(update, arguments, shape),
            program_of(slopes, (*arguments, gates[0]), shape),
        )
    return LinearEquations(*programs, len(cell.gates), params, cell.readout is not None)


def _slope(function: Any, at: Any) -> Any:
    """Return the derivative of an elementwise function."""
    return jax.jvp(function, (at,), (jnp.ones_like(at),))[1]
