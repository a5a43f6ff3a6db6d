"""The static options of a run."""

from dataclasses import dataclass, fields
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrnn.cells import BaseCell, LinearCell, StepCell
from jaxrnn.checks import check_choice, check_positive_integer
from jaxrnn.typing import DType

IMPLEMENTATIONS = (None, "scan", "native", "autodiff", "cudnn", "associative_scan")
_OF_LINEAR_CELLS = (None, "scan", "native", "autodiff", "associative_scan")


@dataclass(frozen=True, repr=False)
class Options:
    """The cell and the static options of a run.

    They are checked when the object is made.  `jaxrnn.unroll` documents the fields.
    """

    cell: BaseCell
    implementation: str | None = None
    scan_unroll: int | None = None
    remat_every: int | None = None
    dtype: DType | None = None
    reverse: bool = False
    return_carries: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.cell, BaseCell):
            raise TypeError(f"cell must be a Cell, such as jaxrnn.lstm(256), got {self.cell!r}")
        check_choice("implementation", self.implementation, IMPLEMENTATIONS)
        for name in ("scan_unroll", "remat_every"):
            if (count := getattr(self, name)) is not None:
                check_positive_integer(name, count)
        if isinstance(self.cell, StepCell) and self.implementation not in (None, "autodiff"):
            raise ValueError(
                f'implementation must be None or "autodiff" for the StepCell {self.cell.name}'
            )
        if isinstance(self.cell, LinearCell) and self.implementation not in _OF_LINEAR_CELLS:
            raise ValueError(
                f'implementation "{self.implementation}" is not for linear cells: choose one of'
                f" {', '.join(map(repr, _OF_LINEAR_CELLS))} for {self.cell.name}"
            )
        if self.implementation == "associative_scan" and not isinstance(self.cell, LinearCell):
            raise ValueError(
                f'implementation "associative_scan" needs a linear cell, got {self.cell.name}'
            )
        object.__setattr__(self, "dtype", checked_dtype(self.dtype))

    @property
    def engine(self) -> str:
        """The loop: "scan" (which may become native code), "autodiff", "cudnn" or "linear"."""
        if isinstance(self.cell, LinearCell):
            return "linear"
        if isinstance(self.cell, StepCell):  # only JAX can differentiate it
            return "autodiff"
        return self.implementation if self.implementation in ("autodiff", "cudnn") else "scan"

    def changes(self) -> list[str]:
        """Return the options that differ from their defaults, as `name=value`."""
        return [
            f"{field.name}={getattr(self, field.name)}"
            for field in fields(self)[1:]
            if getattr(self, field.name) != field.default
        ]

    def __repr__(self) -> str:
        return f"Options({', '.join([repr(self.cell), *self.changes()])})"

    def kept(self, carry: Any) -> Any:
        """Return the part of a carry that the loop stacks over time."""
        return carry if self.return_carries else carry.hidden

    def steps_per_iteration(self, num_steps: int, platform: str) -> int:
        """Return `scan_unroll`, or a default for a platform ("cpu", "gpu", "tpu").

        It was chosen by measurement (docs/performance.md), for TPUs by what their compiler expects
        (docs/compiled.md).  Larger loop bodies keep XLA's CPU threads busy.  They pay off where the
        gates are expensive and the loop is long enough to justify compiling more.  A divisor of T
        leaves no remainder, which XLA would compile and store separately.  On a GPU each iteration
        launches kernels of its own, which cost as much as a step.  A TPU keeps the carry on the
        chip; there a longer body only takes longer to compile.
        """
        if self.scan_unroll is not None:
            return self.scan_unroll
        if num_steps < 16 or platform == "tpu":
            return 1
        if platform == "gpu":
            return 8
        if len(self.cell.gates) == 1:
            return 1
        return next((steps for steps in (5, 4, 7, 6, 8) if num_steps % steps == 0), 4)


def checked_dtype(dtype: Any) -> Any:
    """Return a NumPy dtype, or None for None; raise unless it is a floating type."""
    if dtype is None:
        return None
    try:
        known = jnp.dtype(dtype)
    except TypeError:
        known = None
    if known is None or not jnp.issubdtype(known, jnp.floating):
        raise TypeError(f"dtype must be a floating type, such as jnp.bfloat16, got {dtype!r}")
    if jnp.zeros((), int).dtype != jnp.int64 and known == np.float64:
        raise TypeError("dtype must not be float64, which JAX supports only with jax_enable_x64")
    return known
