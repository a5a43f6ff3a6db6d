"""The `Cell` type: a recurrent cell is its gate equations and nothing else."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp

from jaxrnn.checks import check_positive_integer
from jaxrnn.typing import Array, DType, Float, Gates, Key, Params


@runtime_checkable
class InitialCarry(Protocol):
    """Makes the carry that sequences start from."""

    def __call__(self, batch_size: int, dtype: DType = jnp.float32, /) -> Any:
        """Return a NamedTuple of arrays `[B, H]`, one of which is called `hidden`."""


@runtime_checkable
class Update(Protocol):
    """The equations of one time step."""

    def __call__(
        self, cell_params: Any, input_gates: Gates, hidden_gates: Gates, carry: Any, /
    ) -> Any:
        """Return the new carry."""


@runtime_checkable
class Step(Protocol):
    """One time step that multiplies by the recurrent weights itself."""

    def __call__(self, params: "LoopParams", input_gates: Gates, carry: Any, /) -> Any:
        """Return the new carry."""


def no_params(key: Key) -> tuple[()]:
    """Return the parameters of a cell that needs none besides the matrices."""
    del key
    return ()


@dataclass(frozen=True, repr=False)
class BaseCell:
    """What every cell has; `Cell` and `StepCell` add the equations.

    A cell is static: never traced, hashable, and equal to another one made of equal arguments, so
    that a program compiled for one serves the other.  A function among the arguments is equal to
    itself only: define it at the top of a module, where it can be pickled as well.

    Raises:
        TypeError: an argument is of the wrong type.
        ValueError: `hidden_size` is below 1, or `gates` names none or one of them twice.
    """

    name: str
    """The cell's name in error messages and when it is printed."""
    hidden_size: int
    """H, the width of `carry.hidden` and of each gate."""
    _: KW_ONLY
    gates: tuple[str, ...]
    """The names of the G gates, in the order of the columns of the matrices.  The one called
    "forget", if any, is what `forget_gate_bias` opens."""
    initial_carry: InitialCarry
    """(batch_size, dtype) -> carry, a NamedTuple of arrays `[B, H]` with a field `hidden`, the
    cell's output; `zero_carry` makes one."""
    init_params: Callable[[Key], Params] = no_params
    """(key) -> cell_params: what the equations need besides the matrices, such as peepholes."""
    hidden_bias: bool = False
    """Whether there is a `b_hh`: only where the equations treat input and hidden gates differently
    is it more than a second `b_ih`."""

    def __post_init__(self) -> None:
        check_positive_integer("hidden_size", self.hidden_size)
        named = isinstance(self.gates, tuple) and all(isinstance(g, str) for g in self.gates)
        if not named:
            raise TypeError(f"gates must be a tuple of names, got {self.gates!r}")
        if not self.gates or len(set(self.gates)) < len(self.gates):
            raise ValueError(f"gates must hold at least one name, each once, got {self.gates!r}")
        for name in ("initial_carry", "init_params"):
            if not callable(function := getattr(self, name)):
                raise TypeError(f"{name} must be a function, got {function!r}")

    def __repr__(self) -> str:
        return f"{self.name}({self.hidden_size})"


@dataclass(frozen=True, repr=False)
class Cell(BaseCell):
    """Gate equations that one engine runs over time.

    The engine computes `input_gates = inputs @ w_ih + b_ih` for the whole sequence at once and
    `hidden_gates = hidden @ w_hh + b_hh` at each step, and hands both to `update` as tuples of
    arrays `[B, H]`, one per gate.  Everything else is the cell's `update`.

    Example:
        >>> import jax, jaxrnn
        >>> def mgu_update(cell_params, input_gates, hidden_gates, carry):
        ...     (x_f, x_n), (h_f, h_n) = input_gates, hidden_gates
        ...     f = jax.nn.sigmoid(x_f + h_f)
        ...     candidate = jax.numpy.tanh(x_n + f * h_n)
        ...     return jaxrnn.HiddenCarry((1 - f) * carry.hidden + f * candidate)
        >>> zeros = jaxrnn.zero_carry(jaxrnn.HiddenCarry, 8)
        >>> gates = ("forget", "candidate")
        >>> jaxrnn.Cell("mgu", 8, gates=gates, initial_carry=zeros, update=mgu_update)
        mgu(8)
    """

    _: KW_ONLY
    update: Update
    """(cell_params, input_gates, hidden_gates, carry) -> carry, for one step.  It must treat the
    rows of the batch independently, since padding and resets rely on it, and work elementwise: a
    matrix product in here would be linearised into T matrices, and belongs in a `StepCell`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.update):
            raise TypeError(f"update must be a function, got {self.update!r}")


class LoopParams(NamedTuple):
    """The parameters that take part in every step of the loop."""

    w_hh: Any
    """[H, G*H], or another of the forms in `jaxrnn.recurrence.weights`."""
    b_hh: Float[Array, "G*H"] | None
    cell: Params
    """What `init_params` made."""


@dataclass(frozen=True, repr=False)
class StepCell(BaseCell):
    """A recurrence that does not fit `Cell`: a plain step function.

    It needs more than one product with the hidden state, say.  It gets lengths, resets, direction
    and rematerialisation like any `Cell`; its derivative is JAX's own of the loop, so it is slower
    to train.  The fields of its carry may have other shapes than `[B, H]`, except `hidden`.
    """

    _: KW_ONLY
    step: Step
    """(params, input_gates, carry) -> carry, for one step; rows of the batch independently.  The
    input gates are a tuple, as for a `Cell`; `params` are `LoopParams`: multiply by `w_hh [H, G*H]`
    with `jaxrnn.matmul`, since `dtype=bfloat16` hands it over in bfloat16."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.step):
            raise TypeError(
                f"step must be a function (params, input_gates, carry), got {self.step!r}"
            )


class HiddenCarry(NamedTuple):
    """The carry of a cell whose only state is its output."""

    hidden: Float[Array, "B H"]


@dataclass(frozen=True)
class ZeroCarry:
    """An `initial_carry` of zeros."""

    carry_type: Any
    hidden_size: int

    def __call__(self, batch_size: int, dtype: DType = jnp.float32) -> Any:
        """Return zeros `[B, H]` in every field."""
        check_positive_integer("batch_size", batch_size)
        shape = (batch_size, self.hidden_size)
        return self.carry_type(*(jnp.zeros(shape, dtype) for _ in self.carry_type._fields))


def zero_carry(carry_type: Any, hidden_size: int) -> ZeroCarry:
    """An `initial_carry` of zeros for a NamedTuple whose fields are all `[B, H]`.

    Example:
        >>> import jaxrnn
        >>> jaxrnn.zero_carry(jaxrnn.LSTMCarry, 5)(2).memory.shape
        (2, 5)
    """
    check_positive_integer("hidden_size", hidden_size)
    return ZeroCarry(carry_type, hidden_size)
