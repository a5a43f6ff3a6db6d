"""`unroll`: run a cell over a sequence."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.cells import Cell
from jaxrnn.checks import check_choice, check_ids, check_positive_integer
from jaxrnn.recurrence import scan
from jaxrnn.recurrence.arguments import check_arguments
from jaxrnn.recurrence.boundaries import resets_in_direction, valid_steps, zero_padding
from jaxrnn.recurrence.params import RecurrentParams
from jaxrnn.typing import AnyArray, Array, Bool, Carry, Float, Inputs, Int

# Jitted for those who call without: a loop whose body is a new closure would compile at every call.
_scan, _autodiff = (jax.jit(run, static_argnums=(0, 1)) for run in (scan.scan, scan.autodiff))
IMPLEMENTATIONS: dict[str | None, Callable[..., Any]] = {
    None: _scan,
    "scan": _scan,
    "autodiff": _autodiff,
}


def unroll(
    cell: Cell,
    params: RecurrentParams,
    inputs: Inputs,
    carry: Carry,
    *,
    lengths: Int[AnyArray, "B"] | None = None,
    resets: Bool[AnyArray, "T B"] | None = None,
    reset_carry: Carry | None = None,
    reverse: bool = False,
    implementation: str | None = None,
    scan_unroll: int = 1,
) -> tuple[Float[Array, "T B H"], Carry]:
    """Run `cell` over time.

        start[t]  = reset_carry where resets[t], else carry[t-1]
        carry[t]  = cell.update(inputs[t] w_ih + b_ih, start[t].hidden w_hh + b_hh, start[t])
        output[t] = carry[t].hidden

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
        implementation: "scan", the engine with its own derivative, which None means, too; or
            "autodiff", the same loop differentiated by JAX.
        scan_unroll: steps of the loop that XLA compiles as one; more can help on a GPU.

    Returns:
        (outputs `[T, B, H]`, the carry after the last step)

    Raises:
        TypeError: a wrong type or dtype.
        ValueError: a wrong rank, size or value.  Both name the argument and what was expected.
    """
    check_arguments(cell, params, inputs, carry, lengths, resets, reset_carry)
    check_choice("implementation", implementation, tuple(IMPLEMENTATIONS))
    check_positive_integer("scan_unroll", scan_unroll)
    num_steps, batch_size = inputs.shape[:2]
    valid = valid_steps(lengths, num_steps)
    if resets is not None and reset_carry is None:
        reset_carry = cell.initial_carry(batch_size, params.w_hh.dtype)

    input_gates = _project(params, zero_padding(valid, inputs))
    steps = scan.Steps(input_gates, valid, resets_in_direction(resets, valid, reverse))
    # Under shard_map a carry of zeros is of another type than gates that vary over devices;
    # a zero taken from the gates hands their type on.
    zero = jnp.zeros_like(input_gates[0, 0, 0])
    carry = jax.tree.map(lambda c: c + zero, carry)
    loop_params = scan.LoopParams(params.w_hh, params.b_hh, params.cell)
    run = IMPLEMENTATIONS[implementation]
    hidden, carry = run(cell, scan_unroll, loop_params, _turn(steps, reverse), carry, reset_carry)
    hidden = _turn(hidden, reverse)
    return zero_padding(valid, hidden), carry


def _project(params: RecurrentParams, inputs: Any) -> Any:
    """The input gates of the whole sequence, in one product or one gather."""
    if jnp.issubdtype(inputs.dtype, jnp.integer):
        check_ids("inputs", inputs, params.w_ih.shape[0])
        # "fill" makes an id out of range visible (NaN); JAX's default would clamp it.
        rows = (
            jnp.asarray(params.w_ih)
            .at[inputs]
            .get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)
        )
    else:
        rows = inputs @ params.w_ih
    return rows + params.b_ih[None, None]


def _turn(over_time: Any, reverse: bool) -> Any:
    """Flip the time axis for a reversed run, which meets the padding first and passes over it."""
    return jax.tree.map(lambda x: x[::-1], over_time) if reverse else over_time
