"""Zoneout: units of the carry that keep their values of the step before.

In training the engine mixes by masks that are drawn outside.  In evaluation the expectation takes
their place, which is a cell like any other.

Reference:
    Krueger et al., Zoneout: regularizing RNNs by randomly preserving hidden activations, 2017,
    arXiv:1606.01305.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from jaxrnn.cells import BaseCell, Cell, LinearCell, LoopParams, SLSTMCarry
from jaxrnn.typing import Gates


def zone(masks: Any, new: Any, start: Any) -> Any:
    """Return the new carry with the values of the start where the masks are True.

    Args:
        masks: a carry of bool arrays, or of None for the arrays of the carry that have no zoneout;
            None means no zoneout at all.
        new: the carry after a step.
        start: the carry before it.
    """
    if masks is None:
        return new
    fields = zip(masks, new, start, strict=True)
    return type(new)(*(n if mask is None else jnp.where(mask, s, n) for mask, n, s in fields))


def zoned_fields(cell: BaseCell, carry_type: Any) -> tuple[str, ...]:
    """Return the fields of a carry that zoneout applies to: of a linear cell's only the state.

    Those of an sLSTM but the hidden state are one state in three parts, which cannot be mixed one
    by one: memory and normalizer are divided by the stabilizer's exponential.
    """
    if carry_type is SLSTMCarry:
        return ("hidden",)
    if isinstance(cell, LinearCell) and cell.readout is not None:
        return tuple(name for name in carry_type._fields if name != "hidden")
    return tuple(carry_type._fields)


def expected_cell(cell: BaseCell, rates: Any) -> BaseCell:
    """Return the cell whose carry is the expectation of `cell` under zoneout.

    Args:
        cell: any cell.
        rates: a carry of numbers.
    """
    if isinstance(cell, LinearCell):
        coefficients = ExpectedCoefficients(cell.coefficients, rates[-1])
        return dataclasses.replace(cell, coefficients=coefficients)
    if isinstance(cell, Cell):
        return dataclasses.replace(cell, update=ExpectedUpdate(cell.update, rates))
    step: Any = cell
    return dataclasses.replace(step, step=ExpectedStep(step.step, rates))


def _mix(rates: Any, new: Any, start: Any) -> Any:
    fields = zip(rates, new, start, strict=True)
    return type(new)(*(_mixed(float(rate), n, s) for rate, n, s in fields))


def _mixed(rate: float, new: Any, start: Any) -> Any:
    if not rate or not jnp.issubdtype(new.dtype, jnp.inexact):  # integers have no expectation
        return new
    return rate * start + (1 - rate) * new


@dataclass(frozen=True)
class ExpectedUpdate:
    """The `update` of a `Cell` in expectation."""

    update: Any
    rates: Any

    def __call__(
        self, cell_params: Any, input_gates: Gates, hidden_gates: Gates, carry: Any
    ) -> Any:
        """Take one step."""
        return _mix(self.rates, self.update(cell_params, input_gates, hidden_gates, carry), carry)


@dataclass(frozen=True)
class ExpectedStep:
    """The `step` of a `StepCell` in expectation."""

    step: Any
    rates: Any

    def __call__(self, params: LoopParams, input_gates: Gates, carry: Any) -> Any:
        """Take one step."""
        return _mix(self.rates, self.step(params, input_gates, carry), carry)


@dataclass(frozen=True)
class ExpectedCoefficients:
    """The `coefficients` of a `LinearCell` in expectation."""

    coefficients: Any
    rate: float

    def __call__(self, cell_params: Any, input_gates: Gates) -> tuple[Any, Any]:
        """Return (a, b) of one step."""
        a, b = self.coefficients(cell_params, input_gates)
        rate = float(self.rate)  # a number of NumPy would have a dtype
        return rate + (1 - rate) * a, (1 - rate) * b


def zone_coefficients(masks: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """Return the coefficients (1, 0), which keep the state, where the masks are True."""
    if masks is None:
        return a, b
    mask = masks[-1]  # of a complex state, too, where both parts stay or go together
    return (a, b) if mask is None else (jnp.where(mask, 1, a), jnp.where(mask, 0, b))
