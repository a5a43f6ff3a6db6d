"""`unroll`: run a cell over a sequence."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.cells import BaseCell, LoopParams
from jaxrnn.cells.cell import check_carry_type
from jaxrnn.checks import widen_ids
from jaxrnn.matmul import gather_row_parts, matmul, round_to
from jaxrnn.primitives import match_varying_axes
from jaxrnn.recurrence import cudnn, linear_primitives, primitives, scan
from jaxrnn.recurrence.arguments import check_arguments, check_sequence
from jaxrnn.recurrence.boundaries import (
    Context,
    fill_padding,
    flip_within,
    resets_in_direction,
    valid_steps,
    zero_padding,
)
from jaxrnn.recurrence.native import choice as native
from jaxrnn.recurrence.options import Options
from jaxrnn.recurrence.remat import run_in_chunks
from jaxrnn.recurrence.weights import RecurrentParams, cast_weights, project_outputs
from jaxrnn.typing import AnyArray, Array, Bool, Carry, DType, Float, Gates, Inputs, Integer

ENGINES: dict[str, Callable[..., Any]] = {
    "scan": primitives.run,
    "autodiff": scan.run,
    "linear": linear_primitives.run,
}


def unroll(
    cell: BaseCell,
    params: RecurrentParams,
    inputs: Inputs,
    carry: Carry | None = None,
    *,
    lengths: Integer[AnyArray, "B"] | None = None,
    resets: Bool[AnyArray, "T B"] | None = None,
    reset_carry: Carry | None = None,
    reverse: bool = False,
    implementation: str | None = None,
    scan_unroll: int | None = None,
    remat_every: int | None = None,
    dtype: DType | None = None,
    return_carries: bool = False,
) -> tuple[Float[Array, "T B F"], Carry]:
    """Run `cell` over time.

        start[t]  = reset_carry where resets[t], else carry[t-1]
        carry[t]  = cell.update(inputs[t] w_ih + b_ih, start[t].hidden w_hh + b_hh, start[t])
        output[t] = carry[t].hidden                  (its projection, where `w_hh` is `LowRank`)

    Args:
        cell: the gate equations.
        params: the matrices, biases and the cell's own parameters.
        inputs: vectors `[T, B, D]`, or token ids `[T, B]` in `0..D - 1` that stand for one-hot
            rows.  Ids gather rows of `w_ih`; no one-hot array is built.  An id out of range raises
            an error where it is concrete, and gives NaN under `jit`.
        carry: where the sequences start; None means `cell.initial_carry`.
        lengths: the number of valid steps of each sequence, in `0..T`; None means all.  Outputs
            past the end are zero, and padding leaves the carry unchanged.  Nothing in the padding,
            NaN included, reaches an output or a gradient.
        resets: where a sequence restarts: `resets[t]` is a boundary between `t - 1` and `t`.
        reset_carry: the carry that it restarts from; None means `cell.initial_carry`.
        reverse: run from the last step of each sequence to its first; the outputs stay in place.
        implementation: "scan" is the engine with its own derivative.  "native" is the same on CPUs
            in compiled C++, for cells whose units do not read each other.  "autodiff" is the loop
            of "scan" differentiated by JAX.  "cudnn" calls NVIDIA's kernels for `jaxrnn.lstm` on
            float32 vectors without resets; it needs a GPU, is slower there than "scan", and
            supports reverse mode only.  "associative_scan" evaluates a linear cell as a tree, in
            logarithmically many steps.  None chooses when a program is compiled: "native" for one
            CPU where there is such code and it pays, else "scan"; "autodiff" for a StepCell;
            "associative_scan" for a linear cell on a GPU or TPU.
            `jaxrnn.implementations` says what there is for a cell.
        scan_unroll: time steps per iteration of the loop (`lax.scan`'s `unroll`).  None means eight
            if JAX's default device is a GPU, where one takes up to twice as long.  On a CPU it
            means about five for a cell with several gates, which was up to a fifth faster, and one
            for other cells.
        remat_every: store the carry of every k-th step only, and recompute the steps between them,
            input gates included, in the backward pass.  This takes memory for T / k + k steps
            instead of T, and one more forward pass.  The square root of T is a good k.
        dtype: the dtype of the matrix products' operands, such as `jnp.bfloat16`, and of the
            outputs.  Gates, carry and their sums stay in the precision of the params.  Products in
            the derivative are rounded to `dtype`, those of the weights' gradients after summation.
            None means the dtype of the params; even so, TPUs and recent GPUs multiply float32
            with less precision unless `jax_default_matmul_precision` is "highest".
        return_carries: return the carry after every step, an LSTM's memory included, instead of
            the last one only.

    Returns:
        (outputs `[T, B, H]`, or `[T, B, P]` where `w_hh` is `LowRank`; the carry after the last
        step).  With `return_carries`, the carry's arrays are `[T, B, ...]` and hold the carry after
        each step, padding included.  The last carry is therefore `carries[-1]`, or `carries[0]` in
        a reversed run.

    Raises:
        TypeError: an argument is of the wrong type or dtype.
        ValueError: a rank, size or value is wrong, or cuDNN is not available.

    Examples:
        >>> import jax, jaxrnn
        >>> cell = jaxrnn.lstm(8)
        >>> params = jaxrnn.recurrent(cell).init(jax.random.key(0), 3)
        >>> outputs, carry = jaxrnn.unroll(cell, params, jax.numpy.ones((5, 2, 3)))
        >>> outputs.shape, carry.memory.shape
        ((5, 2, 8), (2, 8))
    """
    options = Options(
        cell, implementation, scan_unroll, remat_every, dtype, reverse, return_carries
    )
    check_sequence(inputs, lengths, resets)
    return run(options, params, inputs, carry, Context(lengths, resets, reset_carry))


def run(
    options: Options,
    params: RecurrentParams,
    inputs: Any,
    carry: Any,
    context: Context,
    zoneout: Any = None,
) -> tuple[Any, Any]:
    """Run a cell like `unroll`, given checked options and a checked sequence.

    Args:
        options: the static options.
        params: as for `unroll`.
        inputs: as for `unroll`.
        carry: as for `unroll`.
        context: lengths, resets and the like; its key is ignored.
        zoneout: where units keep their values, a carry of bool `[T, B, ...]`; None for nowhere.
    """
    check_arguments(options, params, inputs, carry, context)
    if options.engine == "cudnn":
        cudnn.check_eligible(options, params, inputs, context.resets, zoneout)
    if options.implementation == "native":
        native.check_eligible(options, params)
    num_steps, batch_size = inputs.shape[:2]
    dtype = inputs.dtype if params.w_ih is None else params.w_ih.dtype
    initial_carry = functools.partial(options.cell.initial_carry, batch_size, dtype)
    valid = valid_steps(context.lengths, num_steps)
    inputs = fill_padding(valid, inputs)
    if jnp.issubdtype(inputs.dtype, jnp.integer):
        inputs = widen_ids("inputs", inputs, params.w_ih.shape[0])
    if carry is None:
        carry = initial_carry()
        check_carry_type(f"the carry of the cell {options.cell.name}", type(carry))
    reset_carry = context.reset_carry
    if context.resets is not None and reset_carry is None:
        reset_carry = initial_carry()
    resets = resets_in_direction(context.resets, valid, options.reverse)
    return _run(options, params, Sequence(inputs, valid, resets, zoneout), carry, reset_carry)


class Sequence(NamedTuple):
    """The arrays that a run reads, one row per time step."""

    inputs: Any
    valid: Any
    resets: Any
    zoneout: Any = None


# Jitted, so that callers who do not jit do not recompile the loop: its body is a new closure.
@functools.partial(jax.jit, static_argnums=0)
def _run(
    options: Options, params: RecurrentParams, sequence: Sequence, carry: Any, reset_carry: Any
) -> tuple[Any, Any]:
    # Under shard_map what the devices share, such as a constant carry, must vary like the result.
    params, sequence, carry, reset_carry = match_varying_axes(
        (params, sequence, carry, reset_carry)
    )
    run_all = functools.partial(_run_chunk, options)
    if options.remat_every is not None:
        run_all = functools.partial(run_in_chunks, run_all, options)
    kept, last = run_all(params, sequence, carry, reset_carry)
    return kept if options.return_carries else (kept, last)


def _run_chunk(
    options: Options, params: RecurrentParams, sequence: Sequence, carry: Any, reset_carry: Any
) -> tuple[Any, Any]:
    """Project the inputs, flip them for a reversed run, run the engine, flip back.

    Returns:
        (outputs or, with `return_carries`, (outputs, carries); the last carry)
    """
    engine = options.engine
    if engine == "cudnn":
        if sequence.inputs.shape[1] > 0:
            return cudnn.run(params, sequence.inputs, sequence.valid, carry, options.reverse)
        engine = "scan"  # cuDNN refuses a batch without rows
    if options.reverse:  # a reversed run meets the padding first, and skips it
        sequence = flip_within(None, sequence)
    input_gates = project_inputs(options, params, sequence.inputs)
    steps = scan.Steps(input_gates, *sequence[1:])
    loop_params = LoopParams(params.w_hh, params.b_hh, params.cell)
    carries, last = ENGINES[engine](options, loop_params, steps, carry, reset_carry)
    hidden = carries.hidden if options.return_carries else carries
    weights = cast_weights(params.w_hh, options.dtype)
    outputs = cast_weights(
        project_outputs(weights, zero_padding(steps.valid, hidden)), options.dtype
    )
    kept = (outputs, carries) if options.return_carries else outputs
    return (flip_within(None, kept) if options.reverse else kept), last


def project_inputs(options: Options, params: RecurrentParams, inputs: Any) -> Gates | Any:
    """Compute the input gates of the whole sequence, by one product or by gathers.

    A cell without gates reads the inputs.
    """
    if params.w_ih is None:
        return inputs
    num_gates, dtype = len(options.cell.gates), options.dtype
    if jnp.issubdtype(inputs.dtype, jnp.integer):
        biases = jnp.split(params.b_ih, num_gates)
        rows = gather_row_parts(round_to(params.w_ih, dtype), inputs, num_gates)
        return tuple(row + bias[None, None] for row, bias in zip(rows, biases, strict=True))
    gates = matmul(inputs, cast_weights(params.w_ih, dtype), params.w_ih.dtype)
    return tuple(jnp.split(gates + params.b_ih[None, None], num_gates, axis=-1))
