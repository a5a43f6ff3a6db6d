"""Which sequences go into which batch, and how long the batch is: pure functions of (seed, epoch).

Batches of sequences of similar length waste few steps on padding, and batches of few different
lengths need few compiled programs.  Neither the lengths nor the order depend on how many epochs
there will be, so a fit can be continued.
"""

from typing import NamedTuple

import numpy as np

from jaxrnn.typing import HostArray, Int

MOST_SHAPES = 8
"""The most different lengths of batches: each compiles a program of its own."""

BATCHES_PER_PROGRAM = 30
"""The time to compile another program, in average batches of each epoch: measured on a CPU for ten
epochs, where a program takes as long as some hundreds of steps."""


class BatchPlan(NamedTuple):
    """The sequences of one batch."""

    rows: Int[HostArray, "n"]
    """The indices of the sequences: at most `batch_size`."""
    num_steps: int
    """T of the batch."""


def batch_lengths(
    lengths: Int[HostArray, "N"], num_steps: int, batch_size: int
) -> Int[HostArray, "k"]:
    """Return the lengths that batches may have, in ascending order; the last one holds everything.

    For their number no others waste fewer steps on padding.  There is one more as long as it saves
    `BATCHES_PER_PROGRAM` batches, up to `MOST_SHAPES`.

    Args:
        lengths: of all sequences.
        num_steps: T of the longest.
        batch_size: B.

    Examples:
        >>> import numpy as np
        >>> from jaxrnn.fitting.plans import batch_lengths
        >>> batch_lengths(np.array([3, 3, 3, 10, 9, 3] * 100), 10, batch_size=2).tolist()
        [3, 10]
    """
    candidates, counts = np.unique(np.maximum(lengths, 1), return_counts=True)
    if len(candidates) > 1024:  # rounded up, so that the choice below stays quick
        edges = np.unique(np.linspace(0, candidates[-1], 1025).round().astype(int)[1:])
        places = np.searchsorted(edges, candidates)
        counts = np.bincount(places, weights=counts, minlength=len(edges)).astype(int)
        candidates = edges
    total = np.concatenate([[0], np.cumsum(counts)])
    worth = BATCHES_PER_PROGRAM * batch_size * np.maximum(lengths, 1).mean()
    # groups[j, i]: the steps of the sequences with candidates i to j in batches of candidate j;
    # cost[j]: the fewest steps of those up to candidate j, with as many lengths as `choices`.
    none = np.iinfo(np.int64).max // 4
    sizes = (total[1:, None] - total[None, :-1]) * candidates[:, None]
    groups = np.where(np.tri(len(candidates), dtype=bool), sizes, none)
    cost, choices = groups[:, 0], [np.zeros(len(candidates), int)]
    while len(choices) < min(MOST_SHAPES, len(candidates)):
        steps = np.concatenate([[none], cost[:-1]])[None] + groups
        if cost[-1] - steps[-1].min() <= worth:
            break
        choices.append(steps.argmin(axis=1))
        cost = steps.min(axis=1)
    chosen, end = [], len(candidates)
    for choice in reversed(choices):
        chosen.append(candidates[end - 1])
        end = choice[end - 1]
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
