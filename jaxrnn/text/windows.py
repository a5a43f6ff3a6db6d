"""The two samplers of "Dive into Deep Learning": how a long text becomes batches.

Each is a plan, which only says where windows begin, and a gather that cuts them out.  A plan is a
pure function of its arguments, so the place in the data is two integers: epoch and batch.

Reference: Zhang, Lipton, Li and Smola, Dive into Deep Learning, "Language models and the dataset".
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxrnn.checks import (
    check_array,
    check_integer,
    check_positive_integer,
    check_range,
    check_seed,
)
from jaxrnn.typing import AnyArray, Bool, HostArray, Int


class Batch(NamedTuple):
    """What a training step reads; a leading axis `[N, ...]` stacks the batches of an epoch."""

    inputs: Int[AnyArray, "*N T B"]
    """Token ids."""
    targets: Int[AnyArray, "*N T B"]
    """The token after each input."""
    mask: Bool[AnyArray, "*N T B"] | None
    """True where the target counts in the loss; None means everywhere."""
    starts: Bool[AnyArray, "*N B"]
    """Rows that begin at the initial carry; the others go on from the batch before."""


class WindowPlan(NamedTuple):
    """Where the windows of an epoch begin."""

    offsets: Int[HostArray, "N B"]
    """The place in the text of each window's first input."""
    starts: Bool[HostArray, "N B"]
    """Windows that begin at the initial carry."""


def sequential_plan(
    num_ids: int, batch_size: int, num_steps: int, offset: int = 0, row_length: int | None = None
) -> WindowPlan:
    """The plan of `sequential_windows`, for a text of `num_ids` tokens."""
    _check_sizes(num_ids, batch_size, num_steps, offset)
    if row_length is None:
        check_long_enough(num_ids, offset, batch_size, num_steps, num_steps)
        row_length = (num_ids - offset) // batch_size
    else:
        check_integer("row_length", row_length)
        if row_length < num_steps:
            raise ValueError(
                f"row_length must be at least num_steps = {num_steps}, got {row_length}"
            )
    check_long_enough(num_ids, offset, batch_size, num_steps, row_length)
    rows = offset + np.arange(batch_size) * row_length
    num_batches = min(row_length, num_ids - 1 - int(rows[-1])) // num_steps
    offsets = rows + num_steps * np.arange(num_batches)[:, None]
    starts = np.zeros((num_batches, batch_size), bool)
    starts[0] = True
    return WindowPlan(offsets.astype(np.int32), starts)


def random_plan(
    num_ids: int, batch_size: int, num_steps: int, seed: int, epoch: int, offset: int = 0
) -> WindowPlan:
    """The plan of `random_windows`, for a text of `num_ids` tokens."""
    _check_sizes(num_ids, batch_size, num_steps, offset)
    check_seed("seed", seed)
    check_seed("epoch", epoch)
    check_long_enough(num_ids, offset, batch_size, num_steps, num_steps)
    num_windows = (num_ids - 1 - offset) // num_steps
    num_batches = num_windows // batch_size
    order = np.random.default_rng((seed, epoch)).permutation(num_windows)
    offsets = offset + num_steps * order[: num_batches * batch_size].reshape(-1, batch_size)
    return WindowPlan(offsets.astype(np.int32), np.ones((num_batches, batch_size), bool))


def gather_windows(
    ids: Int[AnyArray, "n"], offsets: Int[AnyArray, "*N B"], num_steps: int
) -> tuple[Int[AnyArray, "*N T B"], Int[AnyArray, "*N T B"]]:
    """Cut out the windows that begin at `offsets`: (inputs, targets), on host or device."""
    check_positive_integer("num_steps", num_steps)
    check_range("offsets", offsets, ids.shape[0] - num_steps - 1)
    steps = np.arange(num_steps, dtype=np.int32).reshape((1,) * (offsets.ndim - 1) + (-1, 1))
    places = offsets[..., None, :] + steps
    return ids[places], ids[places + 1]


def sequential_windows(
    ids: Int[AnyArray, "n"],
    batch_size: int,
    num_steps: int,
    offset: int = 0,
    row_length: int | None = None,
) -> Batch:
    """Cut a text into `batch_size` rows and read them side by side, window after window.

    Window k + 1 of a row follows on window k, so a carry may pass from one batch to the next.

    Args:
        ids: the text.
        batch_size: B.
        num_steps: T.
        offset: tokens to skip first.
        row_length: tokens of a row; by default `(n - offset) // batch_size`, as the first edition
            of the book; the second edition has `(n - offset - 1) // batch_size`.

    Returns:
        A Batch of arrays `[N, T, B]`; only the first batch starts at the initial carry.

    Raises:
        TypeError: a size is not an integer, or the ids are not.
        ValueError: a size is out of range, or the text too short for one batch.
    """
    check_text(ids)
    plan = sequential_plan(ids.shape[0], batch_size, num_steps, offset, row_length)
    return _batches(ids, plan, num_steps)


def random_windows(
    ids: Int[AnyArray, "n"],
    batch_size: int,
    num_steps: int,
    seed: int,
    epoch: int,
    offset: int = 0,
) -> Batch:
    """Cut a text into windows that do not overlap, and read them in random order.

    Args:
        ids: the text.
        batch_size: B.
        num_steps: T.
        seed, epoch: the order is a function of the two, each in `0..2**32 - 1`.
        offset: tokens to skip first.

    Returns:
        A Batch of arrays `[N, T, B]`; every row of it starts at the initial carry.

    Raises:
        TypeError: a size is not an integer, or the ids are not.
        ValueError: a size is out of range, or the text too short for one batch.
    """
    check_text(ids)
    plan = random_plan(ids.shape[0], batch_size, num_steps, seed, epoch, offset)
    return _batches(ids, plan, num_steps)


def _batches(ids: Int[AnyArray, "n"], plan: WindowPlan, num_steps: int) -> Batch:
    inputs, targets = gather_windows(ids, plan.offsets, num_steps)
    return Batch(inputs, targets, None, plan.starts)


def check_text(ids: AnyArray) -> None:
    """Raise unless `ids` are one text of integers `[n]`."""
    check_array("ids", ids)
    if ids.ndim != 1:
        raise ValueError(f"ids must be one text [n], got shape {ids.shape}")
    if not jnp.issubdtype(ids.dtype, jnp.integer):
        raise TypeError(f"ids must be integers, got {ids.dtype}")


def _check_sizes(num_ids: int, batch_size: int, num_steps: int, offset: int) -> None:
    check_positive_integer("batch_size", batch_size)
    check_positive_integer("num_steps", num_steps)
    check_integer("offset", offset)
    if num_ids >= 2**31:
        raise ValueError(f"the text must have fewer than 2**31 tokens, got {num_ids}")
    if not 0 <= offset <= num_ids:
        raise ValueError(f"offset must lie in 0..{num_ids}, the text's length, got {offset}")


def check_long_enough(
    num_ids: int, offset: int, batch_size: int, num_steps: int, row_length: int
) -> None:
    """Raise, with the number that is needed, if a text has too few tokens for one batch."""
    needed = offset + (batch_size - 1) * row_length + num_steps + 1  # every input has a target
    if num_ids < needed:
        raise ValueError(
            f"the text must have at least {needed} tokens for one batch of {batch_size} rows and"
            f" {num_steps} steps, got {num_ids}"
        )
