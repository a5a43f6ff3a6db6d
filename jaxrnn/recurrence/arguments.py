"""Checks of the arguments of `unroll`.  They add nothing to the traced program."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.cells import BaseCell, Cell, LinearCell, StepCell
from jaxrnn.cells.cell import check_carry_type
from jaxrnn.checks import check_array, check_like, check_mask, check_range, check_shape
from jaxrnn.recurrence.boundaries import Context
from jaxrnn.recurrence.options import Options
from jaxrnn.recurrence.weights import BlockDiagonal, LowRank, Masked, RecurrentParams

TIME_MAJOR = "inputs are time-major [T, B, D]; jaxrnn.batch_first takes [B, T, D]"
"""What an error says where lengths or resets would fit inputs with these two axes swapped."""


def check_arguments(
    options: Options, params: Any, inputs: Any, carry: Any, context: Context
) -> None:
    """Check the arguments of `unroll` against each other and against the options."""
    cell = options.cell
    check_params(cell, params)
    check_inputs(None if params.w_ih is None else params.w_ih.shape[0], inputs)
    batch_size = inputs.shape[1]
    dtype = inputs.dtype if params.w_ih is None else params.w_ih.dtype
    check_w_hh(cell, params.w_hh, batch_size)
    allowed = {dtype, options.dtype} - {None}
    if jnp.issubdtype(inputs.dtype, jnp.floating) and inputs.dtype not in allowed:
        raise TypeError(f"inputs are {inputs.dtype}, params {dtype}: cast one of them")
    if carry is not None:
        check_carry("carry", cell, carry, batch_size, dtype)
    if context.reset_carry is not None:
        if context.resets is None:
            raise ValueError("reset_carry was given without resets, so it would have no effect")
        check_carry("reset_carry", cell, context.reset_carry, batch_size, dtype)


def check_params(cell: BaseCell, params: Any) -> None:
    """Check the shapes of RecurrentParams against the cell's sizes."""
    if not isinstance(params, RecurrentParams):
        raise TypeError(f"params must be RecurrentParams, got {type(params).__name__}")
    if cell.reads_inputs:
        if any(array is not None for array in params[:4]):
            raise ValueError(
                f"params must hold no matrices and biases but its own for the cell {cell.name}"
            )
        return
    gates = len(cell.gates) * cell.hidden_size
    if params.w_ih is None or params.w_ih.ndim != 2 or params.w_ih.shape[1] != gates:
        raise ValueError(
            f"params.w_ih must have shape [D, G*H] with G*H = {gates} for {cell.name},"
            f" got {getattr(params.w_ih, 'shape', None)}"
        )
    check_shape("params.b_ih", params.b_ih.shape, (gates,), "[G*H]")
    if cell.hidden_bias != (params.b_hh is not None):
        expected = "an array [G*H]" if cell.hidden_bias else "None"
        raise ValueError(f"params.b_hh must be {expected} for the cell {cell.name}")
    if params.b_hh is not None:
        check_shape("params.b_hh", params.b_hh.shape, (gates,), "[G*H]")


def check_w_hh(cell: BaseCell, w_hh: Any, batch_size: int) -> None:
    """Check the recurrent weights, in any of their forms."""
    size, gates = cell.hidden_size, len(cell.gates) * cell.hidden_size
    name = "params.w_hh"
    if isinstance(cell, LinearCell) or cell.reads_inputs:
        if w_hh is not None:
            raise ValueError(f"{name} must be None for the cell {cell.name}, got {w_hh!r}")
        return
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
            raise ValueError(
                f"{name}.blocks must have a number of heads that divides H = {size}, got {heads}"
            )
        expected = (heads, size // heads, len(cell.gates), size // heads)
        check_shape(f"{name}.blocks", w_hh.blocks.shape, expected, "[heads, K, G, K]")
    else:
        check_array(name, w_hh)
        check_shape(name, w_hh.shape, (size, gates), "[H, G*H]")


def check_inputs(input_size: int | None, inputs: Any) -> None:
    """Check the dtype, rank and sizes of a sequence; None for a cell that reads vectors as such."""
    if input_size is None and not jnp.issubdtype(inputs.dtype, jnp.floating):
        raise TypeError(f"inputs must be floats for a cell without gates, got {inputs.dtype}")
    if jnp.issubdtype(inputs.dtype, jnp.integer):
        if inputs.ndim != 2:
            raise ValueError(f"inputs of token ids must be [T, B], got shape {inputs.shape}")
    elif not jnp.issubdtype(inputs.dtype, jnp.floating):
        raise TypeError(f"inputs must be floats [T, B, D] or ids [T, B], got {inputs.dtype}")
    elif inputs.ndim != 3:
        raise ValueError(f"inputs must be [T, B, D], got shape {inputs.shape}")
    elif input_size is not None and inputs.shape[2] != input_size:
        raise ValueError(f"inputs must have D = {input_size} to match w_ih, got {inputs.shape[2]}")
    if 0 in (inputs.shape[0], *inputs.shape[2:]):
        raise ValueError(f"inputs must have at least one step and one feature, got {inputs.shape}")


def check_carry(name: str, cell: BaseCell, carry: Any, batch_size: int, dtype: Any) -> None:
    """Check that a carry is like the cell's initial one, and differentiable for a `Cell`."""
    expected = jax.eval_shape(lambda: cell.initial_carry(batch_size, dtype))
    check_carry_type(f"the carry of the cell {cell.name}", type(expected))
    check_like(name, carry, expected)
    for path, leaf in jax.tree.leaves_with_path(expected):
        if isinstance(cell, Cell) and not jnp.issubdtype(leaf.dtype, jnp.floating):
            field = f"{name}{jax.tree_util.keystr(path)}"
            raise TypeError(
                f"{field} must have a floating dtype to be differentiable, got {leaf.dtype}"
            )


def check_new_carry(cell: BaseCell, start: Any, new: Any) -> None:
    """Check, while tracing, that a step returns a carry like the one it was given."""
    check_like(f"the {cell.name} cell's new carry", new, start)


def check_sequence(inputs: Any, lengths: Any, resets: Any) -> None:
    """Check that the inputs are a sequence, and that lengths and resets fit them."""
    check_array("inputs", inputs)
    if inputs.ndim < 2:
        raise ValueError(f"inputs must be [T, B, ...], got shape {inputs.shape}")
    if lengths is not None:
        check_lengths(lengths, inputs.shape[:2])
    if resets is not None:
        check_array("resets", resets)
        if resets.shape == inputs.shape[1::-1] != inputs.shape[:2]:
            raise ValueError(
                f"resets must have shape {inputs.shape[:2]}, got {resets.shape}: {TIME_MAJOR}"
            )
        check_mask("resets", resets, inputs.shape[:2])


def check_lengths(lengths: Any, shape: tuple[int, int]) -> None:
    """Check the lengths' shape and dtype and, where they are concrete, their range.

    Args:
        lengths: one length per sequence.
        shape: `(T, B)` of the sequences.
    """
    num_steps, batch_size = shape
    check_array("lengths", lengths)
    if lengths.shape == (num_steps,) != (batch_size,):
        raise ValueError(
            f"lengths must have shape [B] = {(batch_size,)}, got {lengths.shape}: {TIME_MAJOR}"
        )
    check_shape("lengths", lengths.shape, (batch_size,), "[B]")
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise TypeError(f"lengths must be integers, got {lengths.dtype}")
    check_range("lengths", lengths, num_steps)
