"""N-gram counts and Zipf's law.

An n-gram is n tokens in a row.  All functions are vectorised: a million words take seconds.

Reference: Dive into Deep Learning, chapter "Language models and the dataset".
"""

from typing import NamedTuple

import numpy as np

from jaxrnn.checks import check_ids, check_positive_integer
from jaxrnn.typing import HostArray, Int, Real


class NgramCounts(NamedTuple):
    """The distinct n-grams of a text, the most frequent first, ties sorted by their ids."""

    ngrams: Int[HostArray, "m n"]
    """The token ids of each n-gram."""
    counts: Int[HostArray, "m"]
    """How often each occurs."""


def count_ngrams(ids: Int[HostArray, "t"], n: int) -> NgramCounts:
    """Return the distinct n-grams of a text and how often each occurs.

    Args:
        ids: the text.
        n: the length of the n-grams, at least 1.

    Raises:
        TypeError: the ids are not integers.
        ValueError: n is below 1, or the text is shorter than n.

    Examples:
        >>> import numpy as np
        >>> from jaxrnn.text.statistics import count_ngrams
        >>> pairs = count_ngrams(np.array([0, 1, 0, 1, 1]), 2)
        >>> pairs.ngrams.tolist(), pairs.counts.tolist()
        ([[0, 1], [1, 0], [1, 1]], [2, 1, 1])
    """
    check_positive_integer("n", n)
    check_ids("ids", ids, np.iinfo(np.int32).max)
    if len(ids) < n:
        raise ValueError(f"ids must hold at least n = {n} tokens, got {len(ids)}")
    ends = np.arange(n - 1, len(ids))
    groups = group_ngrams(ids, n)
    _, first, counts = np.unique(groups, return_index=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")  # the groups are sorted by their ids
    windows = ids[ends[first[order], None] + np.arange(1 - n, 1)]
    return NgramCounts(windows, counts[order])


def group_ngrams(ids: Int[HostArray, "t"], n: int) -> Int[HostArray, "_"]:
    """Number the n-gram at each position: equal n-grams share a number, in sorted order.

    Examples:
        >>> import numpy as np
        >>> from jaxrnn.text.statistics import group_ngrams
        >>> group_ngrams(np.array([0, 1, 0, 1, 1]), 2).tolist()
        [0, 1, 0, 2]
    """
    groups = np.unique(ids, return_inverse=True)[1].astype(np.int64)
    tokens = groups
    for _ in range(n - 1):
        pairs = groups[:-1] * (tokens.max() + 1) + tokens[-len(groups) + 1 :]
        groups = np.unique(pairs, return_inverse=True)[1].astype(np.int64)
    return groups


class ZipfFit(NamedTuple):
    """The law count = constant * rank ** -exponent, a straight line on logarithmic axes."""

    exponent: float
    """The negated slope of that line."""
    constant: float
    """The law's count at rank 1."""

    def at(self, ranks: np.ndarray) -> np.ndarray:
        """Return the counts that the law predicts."""
        return self.constant * ranks**-self.exponent


def fit_zipf(
    counts: Real[HostArray, "m"], first_rank: int = 10, last_rank: int | None = None
) -> ZipfFit:
    """Fit Zipf's law to the counts of a text's tokens or n-grams.

    The straight line is fitted by least squares at ranks that are evenly spaced on the logarithmic
    axis.  Otherwise the many n-grams that occur once would dominate the fit.

    Args:
        counts: at least 1 each, in any order.
        first_rank: the first rank to fit; the few most frequent words do not follow the law.
        last_rank: the last rank to fit; None takes the last with a count above 1.

    Raises:
        ValueError: fewer than two ranks are left.

    Examples:
        >>> import numpy as np
        >>> from jaxrnn.text.statistics import fit_zipf
        >>> fit = fit_zipf(1000 / np.arange(1, 101))
        >>> round(fit.exponent, 3), round(fit.constant)
        (1.0, 1000)

    Reference:
        G. K. Zipf, Human behavior and the principle of least effort, 1949.
    """
    check_positive_integer("first_rank", first_rank)
    falling = np.sort(counts)[::-1].astype(float)
    last = int((falling > 1).sum()) if last_rank is None else min(last_rank, len(falling))
    if last <= first_rank:
        raise ValueError(
            f"counts must reach beyond first_rank = {first_rank} to fit a law, got {last} ranks"
        )
    ranks = np.unique(np.geomspace(first_rank, last, 200).round()).astype(int)
    slope, height = np.polyfit(np.log(ranks), np.log(falling[ranks - 1]), 1)
    return ZipfFit(float(-slope), float(np.exp(height)))
