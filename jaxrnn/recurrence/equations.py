"""The equations of a cell as a program on the numbers of one unit.

`cell.update` and its derivative, as `unit_programs.py` traces them for native code.

    >>> import jaxrnn
    >>> print(trace(jaxrnn.rnn(8)).update)
    v3 = add(v0, v1)
    v4 = tanh(v3)
    return v4

Values 0, 1, ... are the inputs: the input gates, the hidden gates, the arrays of the carry and the
cell's own parameters.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from jaxrnn.cells import Cell
from jaxrnn.recurrence.coefficients import Source
from jaxrnn.recurrence.linearization import Coefficients, Read, coefficients
from jaxrnn.recurrence.unit_programs import Program, program_of, refusals, shapes_of


class Equations(NamedTuple):
    """The equations of a cell, and the coefficients of their derivative."""

    update: Program
    """Its results are the arrays of the new carry."""
    linearized: Program
    """Its results are those of `update`, one coefficient for each of `reads`, and for each new
    array one for each of its `others`."""
    reads: tuple[Read, ...]
    """What the new arrays read of the hidden gates."""
    others: tuple[tuple[Source, ...], ...]
    """The other sources of each new array's tangent."""
    order: tuple[int, ...]
    """In which to compute the new arrays; later ones read earlier ones."""
    carry: Any
    """The carry, as shapes."""
    params: Any
    """The cell's own parameters, as shapes."""


@functools.lru_cache(maxsize=256)
def trace(cell: Cell, dtype: Any = np.dtype("float32")) -> Equations:
    """Return the equations of a cell.

    Raises:
        NotPerUnitError: the units read each other, or there is an operation without a rule here.
    """
    with refusals():
        return _trace(cell, dtype)


def _trace(cell: Cell, dtype: Any) -> Equations:
    shape = cell.hidden_size + 1, cell.hidden_size  # no axis is confused with the other one
    gates, carry, params = shapes_of(cell, shape, dtype)

    def update(x: Any, h: Any, carry: Any, params: Any) -> Any:
        return cell.update(params, x, h, carry)

    arguments = gates, gates, carry, params
    structure: list[Coefficients] = []

    def linearized(x: Any, h: Any, carry: Any, params: Any) -> Any:
        structure[:] = [coefficients(cell.update, params, x, h, carry)]
        return update(x, h, carry, params), structure[0].hidden, structure[0].others

    plain, with_derivative = (
        program_of(function, arguments, shape) for function in (update, linearized)
    )
    (found,) = structure
    others = tuple(tuple(sorted(terms)) for terms in found.others)
    return Equations(plain, with_derivative, found.reads, others, found.order, carry, params)
