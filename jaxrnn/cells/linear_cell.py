"""Cells whose carry is a linear function of itself: no product, and no loop but this one."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxrnn.cells.cell import BaseCell, HiddenCarry, no_params, zero_carry
from jaxrnn.matmul import matmul
from jaxrnn.typing import Array, Float, Gates, Key, Params


class LinearCarry(NamedTuple):
    """The carry of a linear cell whose output is read out of its state."""

    hidden: Float[Array, "B H"]
    """The output, h."""
    state: Float[Array, "B H"]
    """What the recurrence carries."""


class ComplexCarry(NamedTuple):
    """The carry of a linear cell with a complex state."""

    hidden: Float[Array, "B H"]
    """The output, h."""
    real: Float[Array, "B H"]
    """The real part of the state."""
    imaginary: Float[Array, "B H"]
    """The imaginary part of the state."""


@runtime_checkable
class CoefficientsOf(Protocol):
    """The coefficients of one time step."""

    def __call__(self, cell_params: Any, input_gates: Gates, /) -> tuple[Any, Any]:
        """Return (a, b) of the step `state = a * state + b`."""


@runtime_checkable
class Readout(Protocol):
    """The output of one time step."""

    def __call__(self, cell_params: Any, input_gates: Gates, state: Any, /) -> Any:
        """Return the output `[B, H]`."""


def real_product(state: Any, real: Any, imaginary: Any) -> Any:
    """Return the real part of the product of complex states and a matrix, given by its parts."""
    return matmul(state.real, real) - matmul(state.imag, imaginary)


@dataclass(frozen=True, repr=False)
class LinearCell(BaseCell):
    """A recurrence that is linear in its state; `linear_cell` makes it from its equations.

    Examples:
        >>> import jaxrnn
        >>> isinstance(jaxrnn.min_gru(8), jaxrnn.cells.LinearCell)
        True
    """

    _: KW_ONLY
    coefficients: CoefficientsOf
    """The coefficients of one step: (cell_params, input_gates) -> (a, b)."""
    readout: Readout | None = None
    """The output of one step: (cell_params, input_gates, state) -> hidden; None for the state."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.coefficients):
            raise TypeError(
                "coefficients must be a function (cell_params, input_gates), got"
                f" {self.coefficients!r}"
            )
        if self.readout is not None and not callable(self.readout):
            raise TypeError(
                "readout must be None or a function (cell_params, input_gates, state), got"
                f" {self.readout!r}"
            )


def linear_cell(
    name: str,
    hidden_size: int,
    *,
    gates: tuple[str, ...],
    coefficients: CoefficientsOf,
    readout: Readout | None = None,
    complex_state: bool = False,
    init_params: Callable[[Key], Params] = no_params,
) -> LinearCell:
    """Return a cell whose state is a linear function of the state before.

        state[t]  = a[t] * state[t-1] + b[t]       elementwise, a and b functions of the inputs
        output[t] = readout(state[t])              or the state itself

    There is no product with the hidden state, so nothing but these two operations is sequential:
    the gates, a, b and the output are computed for all steps at once, and so are all gradients.
    Devices that prefer it can evaluate the recurrence in parallel over time.

    Args:
        name: the cell's name in its `repr` and in error messages.
        hidden_size: H, the width of the output, of the state and of each gate.
        gates: the names of the gates, in the order of the columns of `w_ih`.
        coefficients: (cell_params, input_gates) -> (a, b) of one step, from G arrays `[B, H]`.
            Return a as `[1, H]` if it does not depend on the inputs.
        readout: (cell_params, input_gates, state) -> the output `[B, H]`; None means the state.
            It may hold a matrix product.
        complex_state: whether a, b and the state are complex.  Then there must be a readout.
        init_params: parameters besides `w_ih` and `b_ih`: (key) -> cell_params, of real arrays.

    Returns:
        A cell with the carry `HiddenCarry(hidden)`; with a readout `LinearCarry(hidden, state)`, or
        `ComplexCarry(hidden, real, imaginary)`.  Its `RecurrentParams` have neither w_hh nor b_hh.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: `hidden_size` is below 1, `gates` is empty or repeats a name, or a complex state
            has no readout.

    Examples:
        >>> import jax, jaxrnn
        >>> def leaky(cell_params, input_gates):  # keeps what the gate f says
        ...     x, f = input_gates[0], jax.nn.sigmoid(input_gates[1])
        ...     return f, (1 - f) * x
        >>> cell = jaxrnn.linear_cell("leaky", 8, gates=("input", "forget"), coefficients=leaky)
        >>> layer = jaxrnn.recurrent(cell)
        >>> params = layer.init(jax.random.key(0), 3)
        >>> outputs, carry = layer.apply(params, jax.numpy.ones((5, 2, 3)))
        >>> cell, outputs.shape
        (leaky(8), (5, 2, 8))

    Reference:
        Martin and Cundy, Parallelizing linear recurrent neural nets over sequence length, 2018,
        arXiv:1709.04057.
    """
    if complex_state and readout is None:
        raise ValueError("a complex state needs a readout: the output is real")
    carry_type: Any = HiddenCarry
    if readout is not None:
        carry_type = ComplexCarry if complex_state else LinearCarry
    return LinearCell(
        name,
        hidden_size,
        gates=gates,
        initial_carry=zero_carry(carry_type, hidden_size),
        init_params=init_params,
        coefficients=coefficients,
        readout=readout,
    )
