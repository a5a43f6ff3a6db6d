"""The path of batches from the text to the devices, one chunk at a time.

    EpochPlans.plan(epoch)      the positions of an epoch's windows: offsets [N, B]
        |  chunks               those of some batches: offsets [K, B]
        v
    placement.put_rows          which rows of B are on which device, and so in this process
        |  _read_tokens         cuts these rows out of the text: ids [K, T + 1, rows], checked
        v
    Chunk.tokens [K, T + 1, B]  on the devices, made on a thread while the previous chunk trains
        |  trainer.run_steps    one batch after another, in one compiled call
        v
    Batch(inputs [T, B], targets [T, B], starts [B])    the input of a training step

Windows of random lengths are cut out at the longest length, and `lengths` say how much of them
counts: one program serves all.

The text stays where it is: in memory, or in a file that may be larger than memory.
"""

import functools
import mmap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np

from jaxrnn.checks import check_ids
from jaxrnn.text.epoch_plans import EpochPlans
from jaxrnn.text.windows import Windows, cut_windows
from jaxrnn.training.parallel import Placement
from jaxrnn.typing import HostArray, Integer

TOKENS_PER_CHUNK = 1 << 20
"""The approximate number of tokens in a chunk, 4 MB: the most that a compiled call can take."""

Item = TypeVar("Item")


class Chunk(NamedTuple):
    """Consecutive batches of an epoch, on the devices."""

    epoch: int
    """The epoch, counted from 0."""
    first: int
    """The index of the first batch in the epoch."""
    last: int
    """The index after the last batch."""
    num_batches: int
    """The number of batches in the epoch."""
    tokens: Any
    """Inputs, and targets one step later: [K, T + 1, B], valid in the first `last - first` of K."""
    starts: Any
    """Rows that begin at the initial carry: [K, B]."""
    lengths: Any
    """The inputs that count in each row: [K, B]; None means all."""

    @property
    def arrays(self) -> tuple[Any, Any, Any]:
        """The arrays that the compiled program reads: (tokens, starts, lengths)."""
        return self.tokens, self.starts, self.lengths


class Text(NamedTuple):
    """The text to train on."""

    ids: Integer[HostArray, "n"]
    """The token ids."""
    vocab_size: int
    """V; the ids must be in `0..V - 1`."""


def chunks(
    text: Text, plans: EpochPlans, placement: Placement, start: tuple[int, int], num_epochs: int
) -> Iterator[Chunk]:
    """Yield the batches of all epochs, from `start` = (epoch, batch) on."""
    first_epoch, first_batch = start
    window = plans.longest + 1  # inputs, and targets one step later
    length = TOKENS_PER_CHUNK // (plans.batch_size * plans.longest)
    length = max(1, min(plans.batches_per_epoch(), length))
    for epoch in range(first_epoch, num_epochs):
        plan = plans.plan(epoch)
        for first in range(first_batch if epoch == first_epoch else 0, len(plan), length):
            windows = plan[first : first + length]
            read_tokens = functools.partial(_read_tokens, text, windows, (length, window))
            read_starts = functools.partial(_read_starts, windows, length)
            last = first + len(windows.offsets)
            tokens = placement.put_rows((length, window), read_tokens)
            starts = placement.put_rows((length,), read_starts)
            lengths, shape = None, (length, plans.batch_size)
            if windows.lengths is not None:
                read_lengths = functools.partial(_read_lengths, windows.lengths, shape)
                lengths = placement.put_rows((length,), read_lengths)
            yield Chunk(epoch, first, last, len(plan), tokens, starts, lengths)


def _read_tokens(text: Text, windows: Windows, shape: tuple[int, int], rows: slice) -> HostArray:
    length, window = shape
    tokens = np.asarray(cut_windows(_remap(text.ids), windows.offsets[:, rows], window))
    check_ids("ids", tokens, text.vocab_size)
    return _pad(tokens.astype(np.int32), length)


def _read_starts(windows: Windows, length: int, rows: slice) -> HostArray:
    return _pad(windows.starts[:, rows], length)


def _read_lengths(lengths: HostArray, shape: tuple[int, int], rows: slice) -> HostArray:
    length, num_rows = shape
    return _pad(np.repeat(lengths[:, None], num_rows, axis=1)[:, rows], length)


def prefetch_one(items: Iterator[Item]) -> Iterator[Item]:
    """Prefetch one item ahead on a thread."""
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="feed") as executor:
        item = executor.submit(next, items, end)
        while (current := item.result()) is not end:
            item = executor.submit(next, items, end)
            yield current  # type: ignore[misc]


def _remap(ids: HostArray) -> HostArray:
    """Map a mapped file again, so that pages already read can be released."""
    if not isinstance(ids, np.memmap) or ids.mode == "c":  # "c": changed only in memory
        return ids
    if not isinstance(ids.base, mmap.mmap):  # a slice, which does not know its own offset
        return ids
    return np.memmap(ids.filename, ids.dtype, "r", ids.offset, ids.shape)


def _pad(batches: HostArray, length: int) -> HostArray:
    """Pad to a fixed shape, so that one program serves all chunks."""
    missing = [(0, length - len(batches))] + [(0, 0)] * (batches.ndim - 1)
    return np.pad(batches, missing)
