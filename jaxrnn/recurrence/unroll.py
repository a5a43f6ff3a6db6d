"""`unroll`: run a cell over a sequence."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.cells import Cell, LoopParams, StepCell
from jaxrnn.checks import wide_ids
from jaxrnn.matrix import rounded, rows_in_parts, times
from jaxrnn.recurrence import cudnn, scan
from jaxrnn.recurrence.arguments import check_arguments, check_options
from jaxrnn.recurrence.boundaries import (
    fill_padding,
    resets_in_direction,
    valid_steps,
    zero_padding,
)
from jaxrnn.recurrence.params import RecurrentParams
from jaxrnn.recurrence.products import cast, outputs_of
from jaxrnn.recurrence.remat import run_in_chunks
from jaxrnn.typing import AnyArray, Array, Bool, Carry, DType, Float, Inputs, Integer

IMPLEMENTATIONS: dict[str, Callable[..., Any]] = {"scan": scan.scan, "autodiff": scan.autodiff}


def unroll(
    cell: Cell | StepCell,
    params: RecurrentParams,
    inputs: Inputs,
    carry: Carry,
    *,
    lengths: Integer[AnyArray, "B"] | None = None,
    resets: Bool[AnyArray, "T B"] | None = None,
    reset_carry: Carry | None = None,
    reverse: bool = False,
    implementation: str | None = None,
    scan_unroll: int | None = None,
    remat_every: int | None = None,
    dtype: DType | None = None,
) -> tuple[Float[Array, "T B F"], Carry]:
    """Run `cell` over time.

        start[t]  = reset_carry where resets[t], else carry[t-1]
        carry[t]  = cell.update(inputs[t] w_ih + b_ih, start[t].hidden w_hh + b_hh, start[t])
        output[t] = carry[t].hidden                  (its projection, where `w_hh` is `LowRank`)

    Args:
        cell: the gate equations.
        params: the matrices, biases and the cell's own parameters.
        inputs: vectors `[T, B, D]`, or token ids `[T, B]` in `0..D - 1` that stand for one-hot
            rows: these gather rows of `w_ih`, no one-hot array exists.  An id out of range is an
            error where its value can be seen, and gives NaN under `jit`.
        carry: where the sequences start, such as `cell.initial_carry(B, dtype)`.
        lengths: the steps of each sequence that count, in `0..T`; None means all.  Outputs past the
            end are zero, the final carry is the one at the length, and nothing in the padding, NaN
            included, reaches an output or a gradient.
        resets: where a sequence starts again, before that step; a boundary between `t - 1` and `t`.
        reset_carry: what it starts again from; None means `cell.initial_carry`.
        reverse: run from the last step of each sequence to its first; the outputs stay in place.
        implementation: "scan", the engine with its own derivative; "autodiff", the same loop
            differentiated by JAX; "cudnn", NVIDIA's kernels for `jaxrnn.lstm` on float32 vectors,
            without resets, in reverse mode only, and "scan" where there is no GPU.  None takes the
            first for a Cell and the second for a StepCell.
        scan_unroll: steps that one turn of the loop takes.  None means about five for a cell with
            several gates, which on a CPU was up to a fifth faster, and one for others.
        remat_every: store the carry of every k-th step only, and compute what lies between, input
            gates included, again in the backward pass: memory for T / k + k steps in place of T,
            for one more forward pass.  The square root of T is a good k.
        dtype: of the operands of the matrix products, such as `jnp.bfloat16`, and of the outputs.
            Gates, carry and their sums stay in the precision of the params; products of the
            derivative are rounded to it, those of the weights' gradients after their sums.  None
            means the precision of the params; float32 products are less exact than that on TPUs
            and recent GPUs unless `jax_default_matmul_precision` is "highest".

    Returns:
        (outputs `[T, B, H]`, or `[T, B, P]` where `w_hh` is `LowRank`, the carry after the last
        step)

    Raises:
        TypeError: a wrong type or dtype.
        ValueError: a wrong rank, size or value.  Both name the argument and what was expected.
    """
    dtype = check_options(cell, implementation, scan_unroll, remat_every, dtype)
    check_arguments(cell, params, inputs, carry, lengths, resets, reset_carry, dtype)
    implementation = implementation or ("autodiff" if isinstance(cell, StepCell) else "scan")
    if implementation == "cudnn":
        cudnn.check_eligible(cell, params, inputs, resets, dtype)
        implementation = "cudnn" if cudnn.available() else "scan"
    num_steps, batch_size = inputs.shape[:2]
    valid = valid_steps(lengths, num_steps)
    inputs = fill_padding(valid, inputs)
    if jnp.issubdtype(inputs.dtype, jnp.integer):
        inputs = wide_ids("inputs", inputs, params.w_ih.shape[0])
    if resets is not None and reset_carry is None:
        reset_carry = cell.initial_carry(batch_size, params.w_ih.dtype)
    sequence = Sequence(inputs, valid, resets_in_direction(resets, valid, reverse))
    how = How(cell, implementation, scan_unroll, reverse, remat_every, dtype)
    return _run(how, params, sequence, carry, reset_carry)


class How(NamedTuple):
    """What is known of a run before its arrays."""

    cell: Cell | StepCell
    implementation: str
    scan_unroll: int | None
    reverse: bool
    remat_every: int | None
    dtype: DType | None


class Sequence(NamedTuple):
    """What a run reads, a row a time step."""

    inputs: Any
    valid: Any
    resets: Any


# Jitted for those who call without: a loop whose body is a new closure would compile at every call.
@functools.partial(jax.jit, static_argnums=0)
def _run(
    how: How, params: RecurrentParams, sequence: Sequence, carry: Any, reset_carry: Any
) -> tuple[Any, Any]:
    carry = _as_varying_as((params, sequence, reset_carry), carry)
    if how.remat_every is None:
        return _run_chunk(how, params, sequence, carry, reset_carry)
    run = functools.partial(_run_chunk, how)
    return run_in_chunks(run, how.remat_every, how.reverse, params, sequence, carry, reset_carry)


def _run_chunk(
    how: How, params: RecurrentParams, sequence: Sequence, carry: Any, reset_carry: Any
) -> tuple[Any, Any]:
    """Project, turn, run the engine, turn back."""
    if how.implementation == "cudnn":
        return cudnn.run(params, sequence.inputs, sequence.valid, carry, how.reverse)
    input_gates = _project(how.cell, params, sequence.inputs, how.dtype)
    loop_params = LoopParams(params.w_hh, params.b_hh, params.cell)
    steps = scan.Steps(input_gates, sequence.valid, sequence.resets)
    run = IMPLEMENTATIONS[how.implementation]
    steps = _turn(steps, how.reverse)
    scan_unroll = how.scan_unroll or _steps_a_turn(how.cell, len(sequence.inputs))
    hidden, carry = run(how.cell, scan_unroll, how.dtype, loop_params, steps, carry, reset_carry)
    hidden = zero_padding(steps.valid, hidden)
    outputs = cast(outputs_of(cast(params.w_hh, how.dtype), hidden), how.dtype)
    return _turn(outputs, how.reverse), carry


def _steps_a_turn(cell: Cell | StepCell, num_steps: int) -> int:
    """By measurement (docs/performance.md): longer turns keep a CPU's threads from falling asleep.

    It pays where the gates take a while, and in loops long enough to be worth compiling more.  A
    divisor of T leaves no rest, which would be compiled and stored apart.
    """
    if cell.num_gates == 1 or num_steps < 16:
        return 1
    return next((turn for turn in (5, 4, 7, 6, 8) if num_steps % turn == 0), 4)


def _as_varying_as(arrays: Any, carry: Any) -> Any:
    """The same carry, of a type that follows all of the arrays.

    Under shard_map a carry of zeros is of another type than one computed from what varies over
    devices, which no loop accepts; choosing by a zero taken from that hands its type on.
    """
    filled = [array for array in jax.tree.leaves(arrays) if array.size]
    zeros = [jnp.zeros_like(array[(0,) * array.ndim]).astype(bool) for array in filled]
    never = functools.reduce(jnp.logical_or, zeros)
    return jax.tree.map(lambda c: jnp.where(never, jnp.zeros_like(c), c), carry)


def _project(cell: Cell | StepCell, params: RecurrentParams, inputs: Any, dtype: Any) -> list[Any]:
    """The input gates of the whole sequence, in one product or by gathers; an array per gate."""
    if jnp.issubdtype(inputs.dtype, jnp.integer):
        biases = jnp.split(params.b_ih, cell.num_gates)
        rows = rows_in_parts(rounded(params.w_ih, dtype), inputs, cell.num_gates)
        return [row + bias[None, None] for row, bias in zip(rows, biases, strict=True)]
    gates = times(inputs, cast(params.w_ih, dtype), params.w_ih.dtype)
    return jnp.split(gates + params.b_ih[None, None], cell.num_gates, axis=-1)


def _turn(over_time: Any, reverse: bool) -> Any:
    """Flip the time axis for a reversed run, which meets the padding first and passes over it."""
    return jax.tree.map(lambda x: x[::-1], over_time) if reverse else over_time
