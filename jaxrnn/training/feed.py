"""The batches of a training on their way from the text to the devices, a chunk at a time.

The text stays where it is, in memory or in a file that is larger than memory; a chunk is cut out of
it and copied to the devices while the last one trains.
"""

import functools
import mmap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np

from jaxrnn.checks import check_ids
from jaxrnn.text.windows import Windows, cut_windows
from jaxrnn.training.config import TrainConfig, most_batches, plan_epoch
from jaxrnn.training.parallel import Placement
from jaxrnn.typing import HostArray, Integer

TOKENS_PER_CHUNK = 1 << 20
"""About how many, 4 MB: the most that a compiled call can take."""

Item = TypeVar("Item")


class Chunk(NamedTuple):
    """Batches of an epoch that follow one another, on the devices."""

    epoch: int
    first: int
    """The first of them, counted in the epoch."""
    last: int
    """The one after them."""
    num_batches: int
    """Batches of the epoch."""
    tokens: Any
    """[K, T + 1, B]: inputs, and targets one later; only the first `last - first` of K count."""
    starts: Any
    """[K, B]."""


def chunks(
    config: TrainConfig,
    ids: Integer[HostArray, "n"],
    vocab_size: int,
    epoch: int,
    batch: int,
    placement: Placement,
) -> Iterator[Chunk]:
    """The batches of all epochs, from a place on."""
    most = most_batches(config, len(ids))
    length = max(1, min(most, TOKENS_PER_CHUNK // (config.batch_size * config.num_steps)))
    for number in range(epoch, config.epochs):
        plan = plan_epoch(config, len(ids), number)
        for first in range(batch if number == epoch else 0, len(plan), length):
            windows = plan[first : first + length]
            read_tokens = functools.partial(_read_tokens, config, ids, vocab_size, windows, length)
            read_starts = functools.partial(_read_starts, windows, length)
            last = first + len(windows.offsets)
            tokens = placement.put_rows((length, config.num_steps + 1), read_tokens)
            starts = placement.put_rows((length,), read_starts)
            yield Chunk(number, first, last, len(plan), tokens, starts)


def _read_tokens(
    config: TrainConfig,
    ids: HostArray,
    vocab_size: int,
    windows: Windows,
    length: int,
    rows: slice,
) -> HostArray:
    offsets = windows.offsets[:, rows]
    tokens = np.asarray(cut_windows(_mapped_anew(ids), offsets, config.num_steps + 1))
    check_ids("ids", tokens, vocab_size)
    return _pad(tokens.astype(np.int32), length)


def _read_starts(windows: Windows, length: int, rows: slice) -> HostArray:
    return _pad(windows.starts[:, rows], length)


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same, each made on a thread while the one before it is in use."""
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="feed") as executor:
        item = executor.submit(next, items, end)
        while (now := item.result()) is not end:
            item = executor.submit(next, items, end)
            yield now  # type: ignore[misc]


def _mapped_anew(ids: HostArray) -> HostArray:
    """Of a file mapped into memory, what was read stays resident for as long as the mapping."""
    if not isinstance(ids, np.memmap) or ids.mode == "c":  # the latter may differ from its file
        return ids
    if not isinstance(ids.base, mmap.mmap):  # a part, which does not know where it begins
        return ids
    return np.memmap(ids.filename, ids.dtype, "r", ids.offset, ids.shape)


def _pad(batches: HostArray, length: int) -> HostArray:
    """To always the same shape, so that one program serves all chunks."""
    missing = [(0, length - len(batches))] + [(0, 0)] * (batches.ndim - 1)
    return np.pad(batches, missing)
