"""The two samplers of "Dive into Deep Learning", which cut a long text into batches.

A plan only says where windows begin, and a gather cuts them out.  Plans are pure functions of their
arguments, so a position in the data is two integers: epoch and batch.

Reference: Zhang, Lipton, Li and Smola, Dive into Deep Learning, "Language models and the dataset".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxrnn.batch import Batch
from jaxrnn.checks import (
    check_array,
    check_integer,
    check_positive_integer,
    check_range,
    check_seed,
    widen,
)
from jaxrnn.text.permutation import random_order
from jaxrnn.typing import AnyArray, Bool, HostArray, Int, Integer


class Windows(NamedTuple):
    """The positions where the windows of some batches begin."""

    offsets: Int[HostArray, "N B"]
    """The position in the text of each window's first input."""
    starts: Bool[HostArray, "N B"]
    """Windows that begin at the initial carry."""
    lengths: Int[HostArray, "N"] | None = None
    """The tokens in each batch's windows; None means that all have as many."""


@dataclass(frozen=True)
class WindowPlan:
    """The rule for the windows of an epoch: `plan[first:last]` gives those of some batches."""

    num_batches: int
    """The number of batches, N."""
    batch_size: int
    """The number of rows, B."""
    num_ids: int
    """The number of tokens in the text."""
    offsets_of: Callable[[Any, Any], Any]
    """(batch indices [N, 1], rows [B]) -> offsets [N, B]."""
    carries_on: bool
    """Whether only the first batch starts at the initial carry."""
    lengths_of: Callable[[Any], Any] | None = None
    """Batch indices [N] -> tokens in their windows [N]; None means that all have as many."""

    def __len__(self) -> int:
        return self.num_batches

    def __getitem__(self, batches: slice) -> Windows:
        numbers = np.arange(*batches.indices(self.num_batches))[:, None]
        offsets = self.offsets_of(numbers, np.arange(self.batch_size))
        starts = (numbers == 0) | np.full(offsets.shape, not self.carries_on)
        # By default JAX has no 64-bit integers; a text that fits on a device needs none.
        offsets = offsets.astype(np.int32 if self.num_ids < 2**31 else np.int64)
        lengths = None if self.lengths_of is None else self.lengths_of(numbers[:, 0])
        return Windows(offsets, starts, lengths)


def sequential_plan(
    num_ids: int, batch_size: int, num_steps: int, offset: int = 0, row_length: int | None = None
) -> WindowPlan:
    """Return the plan of `sequential_windows`, for a text of `num_ids` tokens.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.text.sequential_plan(21, batch_size=2, num_steps=5)[:].offsets.tolist()
        [[0, 10], [5, 15]]
    """
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
    last_row = offset + (batch_size - 1) * row_length
    num_batches = min(row_length, num_ids - 1 - last_row) // num_steps

    def offsets_of(batches: Any, rows: Any) -> Any:
        return offset + rows * row_length + batches * num_steps

    return WindowPlan(num_batches, batch_size, num_ids, offsets_of, carries_on=True)


def random_plan(
    num_ids: int, batch_size: int, num_steps: int, seed: int, epoch: int, offset: int = 0
) -> WindowPlan:
    """Return the plan of `random_windows`, for a text of `num_ids` tokens.

    Examples:
        >>> import jaxrnn
        >>> len(jaxrnn.text.random_plan(21, batch_size=2, num_steps=5, seed=0, epoch=0))
        2
    """
    _check_sizes(num_ids, batch_size, num_steps, offset)
    check_seed("seed", seed)
    check_seed("epoch", epoch)
    check_long_enough(num_ids, offset, batch_size, num_steps, num_steps)
    num_windows = (num_ids - 1 - offset) // num_steps
    order = random_order(num_windows, seed, epoch)

    def offsets_of(batches: Any, rows: Any) -> Any:
        return offset + num_steps * order(batches * batch_size + rows)

    num_batches = num_windows // batch_size
    return WindowPlan(num_batches, batch_size, num_ids, offsets_of, carries_on=False)


def gather_windows(
    ids: Integer[AnyArray, "n"], offsets: Integer[AnyArray, "*N B"], num_steps: int
) -> tuple[Integer[AnyArray, "*N T B"], Integer[AnyArray, "*N T B"]]:
    """Cut out the windows that begin at `offsets`: (inputs, targets), on host or device.

    Examples:
        >>> import jaxrnn, numpy as np
        >>> [x.tolist() for x in jaxrnn.text.gather_windows(np.arange(9), np.array([0, 5]), 2)]
        [[[0, 5], [1, 6]], [[1, 6], [2, 7]]]
    """
    check_positive_integer("num_steps", num_steps)
    windows = cut_windows(ids, offsets, num_steps + 1)
    return windows[..., :-1, :], windows[..., 1:, :]


def cut_windows(
    ids: Integer[AnyArray, "n"], offsets: Integer[AnyArray, "*N B"], length: int
) -> Integer[AnyArray, "*N length B"]:
    """Cut out `length` tokens from each offset on, on host or device."""
    check_range("offsets", offsets, ids.shape[0] - length)
    offsets = widen(offsets)
    steps = np.arange(length, dtype=offsets.dtype).reshape((1,) * (offsets.ndim - 1) + (-1, 1))
    return ids[offsets[..., None, :] + steps]


def sequential_windows(
    ids: Integer[AnyArray, "n"],
    batch_size: int,
    num_steps: int,
    offset: int = 0,
    row_length: int | None = None,
) -> Batch:
    """Split a text into `batch_size` rows and read them side by side, window by window.

    Window k + 1 of a row continues window k, so the carry can pass from one batch to the next.

    Args:
        ids: the text.
        batch_size, num_steps: B and T.
        offset: tokens to skip first.
        row_length: tokens per row; by default `(n - offset) // batch_size`, as in the first edition
            of the book; the second edition has `(n - offset - 1) // batch_size`.

    Returns:
        A Batch of arrays `[N, T, B]`; only the first batch starts at the initial carry.

    Raises:
        TypeError: a size is not an integer, or the ids are not.
        ValueError: a size is out of range, or the text is too short for one batch.

    Examples:
        >>> import jaxrnn, numpy as np
        >>> jaxrnn.sequential_windows(np.arange(21), batch_size=2, num_steps=5).inputs.shape
        (2, 5, 2)
    """
    check_text(ids)
    plan = sequential_plan(ids.shape[0], batch_size, num_steps, offset, row_length)
    return _batches(ids, plan, num_steps)


def random_windows(
    ids: Integer[AnyArray, "n"],
    batch_size: int,
    num_steps: int,
    seed: int,
    epoch: int,
    offset: int = 0,
) -> Batch:
    """Cut a text into windows that do not overlap, and read them in random order.

    Args:
        ids, batch_size, num_steps, offset: those of `sequential_windows`, with the same errors.
        seed, epoch: the order is a function of the two, each in `0..2**32 - 1`.

    Returns:
        A Batch of arrays `[N, T, B]`; every row starts at the initial carry.

    Examples:
        >>> import jaxrnn, numpy as np
        >>> jaxrnn.random_windows(np.arange(21), 2, 5, seed=0, epoch=0).inputs.shape
        (2, 5, 2)
    """
    check_text(ids)
    plan = random_plan(ids.shape[0], batch_size, num_steps, seed, epoch, offset)
    return _batches(ids, plan, num_steps)


def _batches(ids: Integer[AnyArray, "n"], plan: WindowPlan, num_steps: int) -> Batch:
    windows = plan[:]
    inputs, targets = gather_windows(ids, windows.offsets, num_steps)
    return Batch(inputs, targets, None, windows.starts)


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
    if not 0 <= offset <= num_ids:
        raise ValueError(f"offset must lie in 0..{num_ids}, the text's length, got {offset}")


def check_long_enough(
    num_ids: int, offset: int, batch_size: int, num_steps: int, row_length: int
) -> None:
    """Raise, naming the number needed, if a text has too few tokens for one batch."""
    needed = offset + (batch_size - 1) * row_length + num_steps + 1  # every input has a target
    if num_ids < needed:
        raise ValueError(
            f"the text must have at least {needed} tokens for one batch of {batch_size} rows and"
            f" {num_steps} steps, got {num_ids}"
        )
