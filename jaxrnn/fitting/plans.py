"""Which sequences go into which batch, and how long the batch is: pure functions of (seed, epoch).

Batches of sequences of similar length waste few steps on padding, and batches of few different
lengths need few compiled programs.
"""

from typing import NamedTuple

import numpy as np

from jaxrnn.typing import HostArray, Int

MOST_SHAPES = 8
"""The most different lengths of batches: each compiles a program of its own."""

PADDING = 0.1
"""The share of padding in the steps of an epoch that is not worth another program."""


class BatchPlan(NamedTuple):
    """The sequences of one batch."""

    rows: Int[HostArray, "n"]
    """The indices of the sequences: at most `batch_size`."""
    num_steps: int
    """T of the batch."""


def batch_lengths(lengths: Int[HostArray, "N"], num_steps: int) -> Int[HostArray, "k"]:
    """Return the lengths that batches may have, in ascending order; the last one holds everything.

    They are the fewest whose padding is at most `PADDING` of all steps, up to `MOST_SHAPES`, and
    the best of their number.

    Args:
        lengths: of all sequences.
        num_steps: T of the longest.

    Example:
        >>> import numpy as np
        >>> from jaxrnn.fitting.plans import batch_lengths
        >>> batch_lengths(np.array([3, 3, 3, 10, 9, 3]), 10).tolist()
        [3, 10]
    """
    candidates, counts = np.unique(np.maximum(lengths, 1), return_counts=True)
    if len(candidates) > 1024:  # rounded up, so that the choice below stays quick
        edges = np.unique(np.linspace(0, candidates[-1], 1025).round().astype(int)[1:])
        places = np.searchsorted(edges, candidates)
        counts = np.bincount(places, weights=counts, minlength=len(edges)).astype(int)
        candidates = edges
    candidates[-1] = max(candidates[-1], min(num_steps, int(lengths.max(initial=1))))
    total = np.concatenate([[0], np.cumsum(counts)])
    valid = int(np.maximum(lengths, 1).sum())
    # cost[j]: the least number of steps for the sequences up to candidate j, with so many lengths;
    # cost of a group (i, j] is its number of sequences times candidate j.
    groups = np.where(
        np.tri(len(candidates), dtype=bool),
        (total[1:, None] - total[None, :-1]) * candidates[:, None],
        np.iinfo(np.int64).max // 4,
    )
    cost, choices = groups[:, 0], [np.zeros(len(candidates), int)]
    while len(choices) < min(MOST_SHAPES, len(candidates)) and cost[-1] * (1 - PADDING) > valid:
        before = np.concatenate([[np.iinfo(np.int64).max // 4], cost[:-1]])
        steps = before[None] + groups
        choices.append(steps.argmin(axis=1))
        cost = steps.min(axis=1)
    chosen, end = [], len(candidates)
    for choice in reversed(choices):
        chosen.append(candidates[end - 1])
        end = choice[end - 1]
        if end == 0:
            break
    return np.array(chosen[::-1], np.int32)


def epoch_plan(
    lengths: Int[HostArray, "N"],
    choices: Int[HostArray, "k"],
    batch_size: int,
    seed: tuple[int, ...] | None,
) -> list[BatchPlan]:
    """Return the batches of an epoch: all sequences, once each.

    Args:
        lengths: of all sequences.
        choices: the lengths of batches, from `batch_lengths`.
        batch_size: B; one batch may have fewer sequences.
        seed: numbers that the order is a function of; None keeps the order of the sequences, except
            that those of similar length come together.
    """
    number, places = len(lengths), np.searchsorted(choices, lengths)
    draw = None if seed is None else np.random.default_rng(seed)
    order = np.arange(number) if draw is None else draw.permutation(number)
    order = order[np.argsort(places[order], kind="stable")]
    num_batches = -(-number // batch_size)
    sizes = np.full(num_batches, batch_size)
    # The short batch is any of them, so that it is not always of the longest sequences.
    sizes[-1 if draw is None else draw.integers(num_batches)] -= num_batches * batch_size - number
    parts = np.split(order, np.cumsum(sizes)[:-1])
    plans = [BatchPlan(rows, int(choices[places[rows].max()])) for rows in parts]
    return plans if draw is None else [plans[k] for k in draw.permutation(num_batches)]
