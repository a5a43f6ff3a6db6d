"""Decide whether a program uses native code."""

import ctypes
import functools
import os
from typing import Any

import jax
import numpy as np
from jax.core import ShapedArray

from jaxrnn.cells import BaseCell, Cell, LinearCell
from jaxrnn.recurrence.equations import trace
from jaxrnn.recurrence.native import linear, linear_kernel
from jaxrnn.recurrence.native.build import PREFIX, SWITCH, BuildError, build, register
from jaxrnn.recurrence.native.kernel import Kernel
from jaxrnn.recurrence.native.source import HANDLERS, HEADERS, cell_source, file_text
from jaxrnn.recurrence.options import Options
from jaxrnn.recurrence.unit_programs import NotPerUnitError

# The sequences from which on native code was faster, by whether a derivative is taken: each call
# rearranges the recurrent weights first, which takes as long as one or two steps of one row.
_SHORTEST = {True: 2, False: 8}


def check_eligible(options: Options, params: Any) -> None:
    """Raise a ValueError that names why there is no native code for a run."""
    reason: str | None
    w_hh = params.w_hh
    if isinstance(options.cell, LinearCell):
        reason = obstacle(options.cell, str(params.w_ih.dtype))
    elif not isinstance(w_hh, jax.Array | np.ndarray):
        reason = f"w_hh is a {type(w_hh).__name__}, not a matrix"
    elif options.dtype not in (None, w_hh.dtype):
        reason = f"it does not multiply in {options.dtype}"
    elif w_hh.dtype not in (np.float32, np.float64):
        reason = f"it does not compute in {w_hh.dtype}"
    else:
        reason = obstacle(options.cell, str(w_hh.dtype))
    if reason is not None:
        raise ValueError(f'implementation "native" cannot be used: {reason}')


def obstacle(cell: BaseCell, dtype: str = "float32") -> str | None:
    """Return why there is no native code for a cell and a dtype, or None if there is."""
    if os.environ.get(SWITCH) == "0":
        return f"it is switched off by {SWITCH}=0"
    if isinstance(cell, LinearCell):
        return linear.obstacle(dtype)
    if not isinstance(cell, Cell):
        return f"the step of the StepCell {cell.name} is not split into gates and a product"
    if cell.num_heads > 1:
        return f"with heads, the w_hh of the cell {cell.name} is a BlockDiagonal, not a matrix"
    found = _kernel(cell, np.dtype(dtype))
    return found if isinstance(found, str) else None


def code_digest(cell: BaseCell) -> str | None:
    """Return what tells a cell's native code from other code, or None if there is none."""
    if obstacle(cell) is not None:
        return None
    if isinstance(cell, LinearCell):
        found = linear_kernel.kernel_of(cell, np.float32)
        # without code of its own, that of the recurrence alone
        target = linear.code("float32") if isinstance(found, str) else found.target
        return str(target).removeprefix(PREFIX)
    kernel: Any = _kernel(cell, np.dtype("float32"))
    return kernel.target.removeprefix(PREFIX)


def kernel_for(
    options: Options, w_hh: Any, sizes: tuple[Any, ...], training: bool
) -> Kernel | None:
    """Return the code that a program should use for a run, or None for the portable loops.

    Args:
        options: the static options of the run.
        w_hh: the recurrent weights, or what stands for them: an aval if they are a matrix.
        sizes: (T, B, H), where symbolic dimensions are not integers.
        training: whether the run is part of a derivative.
    """
    if not isinstance(w_hh, ShapedArray):
        return None
    dtype, switch = w_hh.dtype, os.environ.get(SWITCH)
    asked = options.implementation == "native" or switch == "1"
    if switch == "0" or options.implementation not in (None, "native"):
        return None
    if dtype != np.float32 and not (asked and dtype == np.float64):
        return None
    if options.dtype not in (None, dtype) or not all(isinstance(size, int) for size in sizes):
        return None
    if 0 in sizes or not (asked or sizes[0] >= _SHORTEST[training]):
        return None
    cell: Any = options.cell
    found = _kernel(cell, np.dtype(dtype))
    return None if isinstance(found, str) else found


@functools.lru_cache(maxsize=256)
def _kernel(cell: Cell, dtype: Any) -> Kernel | str:
    """Return the code of a cell, or why there is none."""
    try:
        equations = trace(cell, dtype)
        source = cell_source(equations)
        headers = {name: file_text(name) for name in HEADERS}
        flags = ("-DJAXRNN_FLOAT64",) if dtype == np.float64 else ()
        digest, functions = build(source, file_text(HANDLERS), headers, flags)
    except NotPerUnitError as error:
        return f"the cell {cell.name} is not eligible: {error}"
    except BuildError as error:
        return str(error)
    for name in ("forward", "backward"):
        size = getattr(functions, f"{name}_packed_size")
        size.restype, size.argtypes = ctypes.c_int64, [ctypes.c_int64]
    return Kernel(equations, register(digest, functions), functions)
