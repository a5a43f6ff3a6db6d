"""What `unroll` checks of its arguments, none of it traced."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.cells import Cell, StepCell
from jaxrnn.checks import (
    check_array,
    check_choice,
    check_mask,
    check_positive_integer,
    check_range,
    check_shape,
)
from jaxrnn.recurrence.params import RecurrentParams
from jaxrnn.recurrence.products import BlockDiagonal, LowRank, Masked


def check_arguments(
    cell: Cell | StepCell,
    params: Any,
    inputs: Any,
    carry: Any,
    lengths: Any,
    resets: Any,
    reset_carry: Any,
    dtype: Any,
) -> None:
    """Raise a TypeError or ValueError that names the argument, what came and what was expected."""
    check_params(cell, params)
    check_array("inputs", inputs)
    check_inputs(params.w_ih.shape[0], inputs)
    num_steps, batch_size = inputs.shape[:2]
    check_w_hh(cell, params.w_hh, batch_size)
    floats = jnp.issubdtype(inputs.dtype, jnp.floating)
    allowed = {params.w_ih.dtype} | ({dtype} if dtype is not None else set())
    if floats and inputs.dtype not in allowed:
        raise TypeError(f"inputs are {inputs.dtype}, params {params.w_ih.dtype}: cast one of them")
    check_carry("carry", cell, carry, batch_size, params.w_ih.dtype)
    if lengths is not None:
        check_lengths(lengths, num_steps, batch_size)
    if resets is not None:
        check_mask("resets", resets, (num_steps, batch_size))
    if reset_carry is not None:
        if resets is None:
            raise ValueError("reset_carry was given without resets: nothing would use it")
        check_carry("reset_carry", cell, reset_carry, batch_size, params.w_ih.dtype)


def check_options(
    cell: Any, implementation: Any, scan_unroll: Any, remat_every: Any, dtype: Any
) -> Any:
    """Check what does not depend on arrays; return the dtype as NumPy has it, or None."""
    check_cell(cell)
    check_choice("implementation", implementation, (None, "scan", "autodiff", "cudnn"))
    for name, count in (("scan_unroll", scan_unroll), ("remat_every", remat_every)):
        if count is not None:
            check_positive_integer(name, count)
    if isinstance(cell, StepCell) and implementation not in (None, "autodiff"):
        raise ValueError(f'implementation must be None or "autodiff" for the StepCell {cell.name}')
    return check_dtype(dtype)


def check_cell(cell: Any) -> None:
    """Raise unless it is a cell."""
    if not isinstance(cell, Cell | StepCell):
        raise TypeError(f"cell must be a Cell, such as jaxrnn.lstm(256), got {cell!r}")


def check_dtype(dtype: Any) -> Any:
    """Return it as NumPy has it, or None as it is; raise unless it is a floating type."""
    if dtype is None:
        return None
    try:
        known = jnp.dtype(dtype)
    except TypeError:
        known = None
    if known is None or not jnp.issubdtype(known, jnp.floating):
        raise TypeError(f"dtype must be a floating type, such as jnp.bfloat16, got {dtype!r}")
    if jnp.zeros((), int).dtype != jnp.int64 and known == np.float64:
        raise TypeError("dtype must not be float64, which JAX has only with jax_enable_x64")
    return known


def check_params(cell: Cell | StepCell, params: Any) -> None:
    """Check the shapes of RecurrentParams against the cell's sizes."""
    if not isinstance(params, RecurrentParams):
        raise TypeError(f"params must be RecurrentParams, got {type(params).__name__}")
    gates = cell.num_gates * cell.hidden_size
    if params.w_ih.ndim != 2 or params.w_ih.shape[1] != gates:
        raise ValueError(
            f"params.w_ih must have shape [D, G*H] with G*H = {gates} for {cell.name},"
            f" got {params.w_ih.shape}"
        )
    check_shape("params.b_ih", params.b_ih.shape, (gates,), "[G*H]")
    if cell.hidden_bias != (params.b_hh is not None):
        expected = "an array [G*H]" if cell.hidden_bias else "None"
        raise ValueError(f"params.b_hh must be {expected} for the cell {cell.name}")
    if params.b_hh is not None:
        check_shape("params.b_hh", params.b_hh.shape, (gates,), "[G*H]")


def check_w_hh(cell: Cell | StepCell, w_hh: Any, batch_size: int) -> None:
    """Check the recurrent weights, in whichever of their forms."""
    size, gates = cell.hidden_size, cell.num_gates * cell.hidden_size
    name = "params.w_hh"
    if isinstance(w_hh, Masked | LowRank | BlockDiagonal) and isinstance(cell, StepCell):
        raise TypeError(f"{name} must be an array for the StepCell {cell.name}, got {w_hh!r}")
    if isinstance(w_hh, Masked):
        check_shape(f"{name}.mask", w_hh.mask.shape, (batch_size, size), "[B, H]")
        w_hh = w_hh.w_hh
    if isinstance(w_hh, LowRank):
        rank = w_hh.down.shape[-1]
        check_shape(f"{name}.down", w_hh.down.shape, (size, rank), "[H, P]")
        check_shape(f"{name}.up", w_hh.up.shape, (rank, gates), "[P, G*H]")
    elif isinstance(w_hh, BlockDiagonal):
        heads = w_hh.blocks.shape[0]
        if size % heads:
            raise ValueError(f"{name}.blocks must have heads that divide H = {size}, got {heads}")
        expected = (heads, size // heads, cell.num_gates, size // heads)
        check_shape(f"{name}.blocks", w_hh.blocks.shape, expected, "[heads, K, G, K]")
    else:
        check_array(name, w_hh)
        check_shape(name, w_hh.shape, (size, gates), "[H, G*H]")


def check_inputs(input_size: int, inputs: Any) -> None:
    """Check the rank, sizes and kind of a sequence."""
    if jnp.issubdtype(inputs.dtype, jnp.integer):
        if inputs.ndim != 2:
            raise ValueError(f"inputs of token ids must be [T, B], got shape {inputs.shape}")
    elif not jnp.issubdtype(inputs.dtype, jnp.floating):
        raise TypeError(f"inputs must be floats [T, B, D] or ids [T, B], got {inputs.dtype}")
    elif inputs.ndim != 3:
        raise ValueError(f"inputs must be [T, B, D], got shape {inputs.shape}")
    elif inputs.shape[2] != input_size:
        raise ValueError(f"inputs must have D = {input_size} as w_ih has, got {inputs.shape[2]}")
    if 0 in inputs.shape:
        raise ValueError(
            f"inputs must have at least one step, one row and one feature, got {inputs.shape}"
        )


def check_carry(name: str, cell: Cell | StepCell, carry: Any, batch_size: int, dtype: Any) -> None:
    """Check a carry against the one that the cell would start from."""
    expected = jax.eval_shape(lambda: cell.initial_carry(batch_size, dtype))
    if not jax.tree.structure(carry) == jax.tree.structure(expected):  # type: ignore[operator]
        raise TypeError(f"{name} must be a {type(expected).__name__} of arrays, got {carry!r}")
    leaves = zip(jax.tree.leaves_with_path(expected), jax.tree.leaves(carry), strict=True)
    for (path, wanted), came in leaves:
        field = f"{name}{jax.tree_util.keystr(path)}"
        check_array(field, came)
        if isinstance(cell, Cell) and not jnp.issubdtype(wanted.dtype, jnp.floating):
            raise TypeError(f"{field} must be of floats, for a derivative; got {wanted.dtype}")
        check_shape(field, came.shape, wanted.shape, "[B, ...]")
        if came.dtype != wanted.dtype:
            raise TypeError(f"{field} must be {wanted.dtype} as params, got {came.dtype}")


def check_new_carry(cell: Cell | StepCell, start: Any, new: Any) -> None:
    """Check, when it is traced, that a step returns a carry like the one it was given."""
    if jax.tree.structure(new) != jax.tree.structure(start):  # type: ignore[operator]
        raise TypeError(
            f"the cell {cell.name} must return a carry as it was given, a {type(start).__name__},"
            f" got {type(new).__name__}"
        )
    leaves = zip(jax.tree.leaves_with_path(start), jax.tree.leaves(new), strict=True)
    for (path, given), came in leaves:
        if came.shape != given.shape or came.dtype != given.dtype:
            field = jax.tree_util.keystr(path)
            raise TypeError(
                f"the cell {cell.name} must return carry{field} as it was given,"
                f" {given.dtype}{list(given.shape)}, got {came.dtype}{list(came.shape)}"
            )


def check_sequence(inputs: Any, lengths: Any, resets: Any) -> None:
    """Check that lengths and resets are those of the inputs, for layers beside `recurrent`."""
    check_array("inputs", inputs)
    if inputs.ndim < 2:
        raise ValueError(f"inputs must be [T, B, ...], got shape {inputs.shape}")
    if lengths is not None:
        check_lengths(lengths, *inputs.shape[:2])
    if resets is not None:
        check_mask("resets", resets, inputs.shape[:2])


def check_lengths(lengths: Any, num_steps: int, batch_size: int) -> None:
    """Check the lengths' shape and type and, where they can be seen, their range."""
    check_array("lengths", lengths)
    check_shape("lengths", lengths.shape, (batch_size,), "[B]")
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise TypeError(f"lengths must be integers, got {lengths.dtype}")
    check_range("lengths", lengths, num_steps)
