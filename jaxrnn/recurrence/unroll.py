"""`unroll`: run a cell over a sequence."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.cells import Cell
from jaxrnn.checks import check_positive_integer
from jaxrnn.recurrence import scan
from jaxrnn.recurrence.arguments import check_arguments
from jaxrnn.recurrence.boundaries import resets_in_direction, valid_steps
from jaxrnn.typing import AnyArray, Array, Bool, Carry, Float, Int, Params, Sequence

IMPLEMENTATIONS: dict[str | None, Callable[..., Any]] = {
    None: scan.scan,
    "scan": scan.scan,
    "autodiff": scan.autodiff,
}


class RecurrentParams(NamedTuple):
    """The parameters of one recurrent layer; gate blocks in the order of the cell's equations."""

    w_ih: Float[Array, "D G*H"]
    """From the inputs to the gates."""
    w_hh: Float[Array, "H G*H"]
    """From the hidden state to the gates."""
    b_ih: Float[Array, "G*H"]
    """Added to the input gates."""
    b_hh: Float[Array, "G*H"] | None = None
    """Added to the hidden gates; None where it would be redundant (`cell.hidden_bias`)."""
    cell: Params = ()
    """What `cell.init_params` made."""


def unroll(
    cell: Cell,
    params: RecurrentParams,
    inputs: Sequence,
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
        implementation: None for the best one here, "scan" for the engine with its own derivative,
            "autodiff" for the same loop differentiated by JAX.
        scan_unroll: steps of the loop that XLA compiles as one; more can help on a GPU.

    Returns:
        (outputs `[T, B, H]`, the carry after the last step)

    Raises:
        TypeError: a wrong type or dtype.
        ValueError: a wrong rank, size or value.  Both name the argument and what was expected.
    """
    check_arguments(cell, params, inputs, carry, lengths, resets, reset_carry)
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(
            f"implementation must be one of {list(IMPLEMENTATIONS)}, got {implementation!r}"
        )
    check_positive_integer("scan_unroll", scan_unroll)
    num_steps, batch_size = inputs.shape[:2]
    valid = valid_steps(lengths, num_steps)
    if resets is not None and reset_carry is None:
        reset_carry = cell.initial_carry(batch_size, params.w_hh.dtype)

    input_gates = _project(params, inputs if valid is None else _where(valid, inputs))
    steps = scan.Steps(input_gates, valid, resets_in_direction(resets, valid, reverse))
    # Under shard_map a carry of zeros is of another type than gates that vary over devices;
    # a zero taken from the gates hands their type on.
    zero = jnp.zeros_like(input_gates[0, 0, 0])
    carry = jax.tree.map(lambda c: c + zero, carry)
    loop_params = scan.LoopParams(params.w_hh, params.b_hh, params.cell)
    run = IMPLEMENTATIONS[implementation]
    hidden, carry = run(cell, scan_unroll, loop_params, _turn(steps, reverse), carry, reset_carry)
    hidden = _turn(hidden, reverse)
    return hidden if valid is None else _where(valid, hidden), carry


def _project(params: RecurrentParams, inputs: Any) -> Any:
    """The input gates of the whole sequence, in one product or one gather."""
    if jnp.issubdtype(inputs.dtype, jnp.integer):
        # "fill" makes an id out of range visible (NaN); JAX's default would clamp it.
        rows = params.w_ih.at[inputs].get(
            mode="fill", fill_value=jnp.nan, wrap_negative_indices=False
        )
    else:
        rows = inputs @ params.w_ih
    return rows + params.b_ih[None, None]


def _turn(over_time: Any, reverse: bool) -> Any:
    """Flip the time axis for a reversed run, which meets the padding first and passes over it."""
    return jax.tree.map(lambda x: x[::-1], over_time) if reverse else over_time


def _where(valid: Any, array: Any) -> Any:
    """`array` with zeros in its padding."""
    mask = valid.reshape(valid.shape + (1,) * (array.ndim - 2))
    return jnp.where(mask, array, jnp.zeros_like(array))
