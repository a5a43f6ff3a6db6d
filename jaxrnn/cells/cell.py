"""The types of recurrent cells.  A cell is its gate equations and nothing else."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp

from jaxrnn.checks import check_integer, check_positive_integer
from jaxrnn.typing import Array, DType, Float, Gates, Key, Params


@runtime_checkable
class InitialCarry(Protocol):
    """A function that makes the carry that sequences start from."""

    def __call__(self, batch_size: int, dtype: DType = jnp.float32, /) -> Any:
        """Return a NamedTuple of arrays `[B, H]` with a field `hidden`."""


@runtime_checkable
class Update(Protocol):
    """The equations of one time step."""

    def __call__(
        self, cell_params: Any, input_gates: Gates, hidden_gates: Gates, carry: Any, /
    ) -> Any:
        """Return the new carry."""


@runtime_checkable
class Step(Protocol):
    """One time step, including the product with the recurrent weights."""

    def __call__(self, params: "LoopParams", input_gates: Gates, carry: Any, /) -> Any:
        """Return the new carry."""


def no_params(key: Key) -> tuple[()]:
    """Return `()`, the parameters of a cell that needs only the matrices and biases."""
    del key
    return ()


@dataclass(frozen=True, repr=False)
class BaseCell:
    """The fields that all cells share; `Cell` and `StepCell` add the equations.

    A cell is static: it is hashable and never traced.  Cells made of equal arguments are equal and
    share compiled programs.  Functions compare by identity, so define a cell's functions at the top
    of a module, where they can also be pickled.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: `hidden_size` is below 1, or `gates` is empty or repeats a name.

    Examples:
        >>> import jaxrnn
        >>> from jaxrnn.cells import BaseCell
        >>> isinstance(jaxrnn.gru(8), BaseCell), jaxrnn.gru(8) == jaxrnn.gru(8)
        (True, True)
    """

    name: str
    """The cell's name in its `repr` and in error messages."""
    hidden_size: int
    """H, the width of `carry.hidden` and of each gate."""
    _: KW_ONLY
    gates: tuple[str, ...]
    """The names of the G gates, in the order of the matrices' columns.

    `forget_gate_bias` applies to the one called "forget", if there is one, which must keep the
    state where it is large.
    """
    initial_carry: InitialCarry
    """The carry that sequences start from, as a function (batch_size, dtype) -> carry.

    A carry is a NamedTuple of arrays `[B, H]`; its field `hidden` is the cell's output.
    `zero_carry` makes such a function.
    """
    init_params: Callable[[Key], Params] = no_params
    """Parameters besides the matrices and biases, such as peepholes: (key) -> cell_params."""
    hidden_bias: bool = False
    """Whether the hidden gates have a bias `b_hh`.

    It is redundant with `b_ih` unless the equations treat input and hidden gates differently.
    """
    num_heads: int = 1
    """The heads that H is divided into; the gates of each read only its own hidden state."""

    def __post_init__(self) -> None:
        check_positive_integer("hidden_size", self.hidden_size)
        if not isinstance(self.gates, tuple) or not all(isinstance(g, str) for g in self.gates):
            raise TypeError(f"gates must be a tuple of names, got {self.gates!r}")
        if len(set(self.gates)) < len(self.gates) or not (self.gates or self.reads_inputs):
            raise ValueError(f"gates must hold at least one name, each once, got {self.gates!r}")
        check_positive_integer("num_heads", self.num_heads)
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"num_heads must divide hidden_size = {self.hidden_size}, got {self.num_heads}"
            )
        for name in ("initial_carry", "init_params"):
            if not callable(function := getattr(self, name)):
                raise TypeError(f"{name} must be a function, got {function!r}")

    @property
    def reads_inputs(self) -> bool:
        """True if the equations read the inputs and not gates, as a StepCell without gates does."""
        return False

    def __repr__(self) -> str:
        return f"{self.name}({self.hidden_size})"


@dataclass(frozen=True, repr=False)
class Cell(BaseCell):
    """A recurrence given by gate equations around one recurrent product.

    The engine computes `input_gates = inputs @ w_ih + b_ih` for the whole sequence at once and
    `hidden_gates = hidden @ w_hh + b_hh` at each step.  It passes both to `update` as tuples of
    arrays `[B, H]`, one per gate.  `update` does the rest of the step.

    Examples:
        >>> import jax, jaxrnn
        >>> def mgu_update(cell_params, input_gates, hidden_gates, carry):
        ...     (x_f, x_n), (h_f, h_n) = input_gates, hidden_gates
        ...     f = jax.nn.sigmoid(x_f + h_f)
        ...     candidate = jax.numpy.tanh(x_n + f * h_n)
        ...     return jaxrnn.HiddenCarry((1 - f) * carry.hidden + f * candidate)
        >>> zeros = jaxrnn.zero_carry(jaxrnn.HiddenCarry, 8)
        >>> gates = ("update", "candidate")
        >>> jaxrnn.Cell("mgu", 8, gates=gates, initial_carry=zeros, update=mgu_update)
        mgu(8)
    """

    _: KW_ONLY
    update: Update
    """The equations of one step: (cell_params, input_gates, hidden_gates, carry) -> carry.

    They must treat batch rows independently, because padding and resets rely on it.  A matrix
    product belongs in a `StepCell`: in `update` it would be linearised into one matrix per step.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.update):
            raise TypeError(f"update must be a function, got {self.update!r}")


class LoopParams(NamedTuple):
    """The parameters that every step of the loop reads."""

    w_hh: Any
    """Recurrent weights `[H, G*H]`, or another form from `jaxrnn.recurrence.weights`; None where
    the cell has no gates or is a linear one."""
    b_hh: Float[Array, "G*H"] | None
    """The bias of the hidden gates; None where `cell.hidden_bias` is False."""
    cell: Params
    """The cell's own parameters, from `cell.init_params`."""


@dataclass(frozen=True, repr=False)
class StepCell(BaseCell):
    """A recurrence that does not fit `Cell`: a plain step function.

    Use it, for example, for more than one product with the hidden state.  Lengths, resets,
    direction and rematerialisation work as for any `Cell`.  JAX differentiates the loop, so
    training is slower.  The fields of the carry other than `hidden` need not be `[B, H]`.

    With `gates=()` the step reads the inputs `[B, D]` as they are, in place of the gates, and has
    no matrices but its own: `params.w_hh` is None.

    Examples:
        >>> import jax, jaxrnn
        >>> def step(params, input_gates, carry):
        ...     residual = jax.numpy.tanh(input_gates[0] + jaxrnn.matmul(carry.hidden, params.w_hh))
        ...     return jaxrnn.HiddenCarry(carry.hidden + residual)
        >>> zeros = jaxrnn.zero_carry(jaxrnn.HiddenCarry, 8)
        >>> jaxrnn.StepCell("residual", 8, gates=("residual",), initial_carry=zeros, step=step)
        residual(8)
    """

    _: KW_ONLY
    step: Step
    """The function of one step: (params, input_gates, carry) -> carry.

    It must treat batch rows independently.  The input gates are a tuple, as for a `Cell`; `params`
    are `LoopParams`.  Multiply by `w_hh [H, G*H]` with `jaxrnn.matmul`, because `dtype=bfloat16`
    casts `w_hh`.
    """

    @property
    def reads_inputs(self) -> bool:
        """True if there are no gates, so that the step reads the inputs."""
        return not self.gates

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.step):
            raise TypeError(
                f"step must be a function (params, input_gates, carry), got {self.step!r}"
            )


class HiddenCarry(NamedTuple):
    """The carry of a cell whose only state is its output."""

    hidden: Float[Array, "B H"]
    """The output, h."""


@dataclass(frozen=True)
class ZeroCarry:
    """An `initial_carry` that returns zeros."""

    carry_type: Any
    hidden_size: int

    def __call__(self, batch_size: int, dtype: DType = jnp.float32) -> Any:
        """Return a carry of zeros, `[B, H]` in every field."""
        check_integer("batch_size", batch_size)
        if batch_size < 0:
            raise ValueError(f"batch_size must be at least 0, got {batch_size}")
        shape = (batch_size, self.hidden_size)
        return self.carry_type(*(jnp.zeros(shape, dtype) for _ in self.carry_type._fields))


def zero_carry(carry_type: Any, hidden_size: int) -> ZeroCarry:
    """Return an `initial_carry` of zeros for a NamedTuple whose fields are all `[B, H]`.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.zero_carry(jaxrnn.LSTMCarry, 5)(2).memory.shape
        (2, 5)
    """
    check_positive_integer("hidden_size", hidden_size)
    check_carry_type("carry_type", carry_type)
    return ZeroCarry(carry_type, hidden_size)


def check_carry_type(name: str, carry_type: Any) -> None:
    """Raise unless `carry_type` is a NamedTuple with a field `hidden`."""
    fields = getattr(carry_type, "_fields", None)
    if fields is None or "hidden" not in fields:
        has = "no NamedTuple" if fields is None else f"with the fields {', '.join(fields)}"
        type_name = getattr(carry_type, "__name__", repr(carry_type))
        raise TypeError(
            f"{name} must be a NamedTuple with a field hidden, the cell's output [B, H], got"
            f" {type_name}, {has}"
        )
