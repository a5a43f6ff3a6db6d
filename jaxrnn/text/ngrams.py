"""N-gram models of text: the baselines for recurrent models.

A model is fitted to one text and gives the probability of each token of another, given up to n - 1
tokens before it.  Everything is vectorised: a million words take seconds.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxrnn.checks import check_ids, check_number, check_positive_integer, check_shape
from jaxrnn.text.vocabulary import Vocabulary
from jaxrnn.typing import Bool, Float, HostArray, Int


def unigram_perplexity(
    vocabulary: Vocabulary, ids: Int[HostArray, "n"], mask: Bool[HostArray, "n"] | None = None
) -> float:
    """Return the perplexity of a text under the token frequencies of the training text.

    Args:
        vocabulary: that of the training text, with its counts.
        ids: the text to score.
        mask: True for the tokens to score; None means all.

    Returns:
        exp(mean of -log(frequency)); infinite if a token never occurred in training.

    Examples:
        >>> import jaxrnn
        >>> from jaxrnn.text.ngrams import unigram_perplexity
        >>> vocabulary = jaxrnn.Vocabulary.of("abab")
        >>> round(unigram_perplexity(vocabulary, vocabulary.encode("ab")), 3)
        2.0
    """
    check_ids("ids", ids, len(vocabulary))
    if mask is not None:
        check_shape("mask", mask.shape, ids.shape, "[n]")
    counts = np.array(vocabulary.counts, float)[ids if mask is None else ids[mask]]
    if counts.size == 0 or counts.min() == 0:
        return math.nan if counts.size == 0 else math.inf
    return math.exp(-np.log(counts / sum(vocabulary.counts)).mean())


class Order(NamedTuple):
    """The distinct n-grams of a text, for one n."""

    keys: Int[HostArray, "m"]
    """Index of the first n - 1 tokens in the order below, times V, plus the last token; sorted."""
    counts: Int[HostArray, "m"]
    """How often each occurs."""
    suffixes: Int[HostArray, "m"]
    """Index of the last n - 1 tokens in the order below."""


def _count(ids: np.ndarray, n: int, vocab_size: int) -> list[Order]:
    """Count the n-grams of orders 1 to n."""
    orders, below, contexts = [], np.zeros(len(ids), np.int64), np.zeros(len(ids) + 1, np.int64)
    for _ in range(n):
        keys, first, indices, counts = np.unique(
            contexts[:-1] * vocab_size + ids[len(ids) - len(contexts) + 1 :],
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )
        orders.append(Order(keys, counts, below[first]))
        below, contexts = indices[1:], indices
    return orders


def _look_up(orders: Sequence[Order], ids: np.ndarray, vocab_size: int) -> list[np.ndarray]:
    """Return, for each order, the index of the n-gram ending at each token, -1 if unseen."""
    looked_up, contexts = [], np.zeros(len(ids), np.int64)
    for order in orders:
        keys = np.where(contexts < 0, -1, contexts * vocab_size + ids)
        found = np.minimum(np.searchsorted(order.keys, keys), len(order.keys) - 1)
        indices = np.where(order.keys[found] == keys, found, -1)
        looked_up.append(indices)
        contexts = np.concatenate([[-1], indices[:-1]])
    return looked_up


class NgramModel:
    """Probabilities of tokens given the tokens before them, from the counts of a text."""

    def __init__(self, ids: Int[HostArray, "t"], n: int, vocab_size: int) -> None:
        """Count the n-grams of a text.

        Args:
            ids: the text, of at least n tokens.
            n: the length of the longest n-grams to count.
            vocab_size: V.

        Raises:
            TypeError: the ids are not integers.
            ValueError: n is below 1, the text too short, or an id out of range.
        """
        check_positive_integer("n", n)
        check_ids("ids", ids, vocab_size)
        if len(ids) < n:
            raise ValueError(f"ids must hold at least n = {n} tokens, got {len(ids)}")
        self.vocab_size = vocab_size
        self.num_tokens = len(ids)
        self.orders = _count(np.asarray(ids).astype(np.int64), n, vocab_size)  # JAX has 32 bits

    def probabilities(self, ids: Int[HostArray, "t"]) -> Float[HostArray, "t"]:
        """Return the probability of each token given up to n - 1 tokens before it."""
        raise NotImplementedError

    def perplexity(
        self, ids: Int[HostArray, "t"], mask: Bool[HostArray, "t"] | None = None
    ) -> float:
        """Return the perplexity of a text (or of its tokens in `mask`) without its first token."""
        probabilities = self.probabilities(ids)[1:]
        if mask is not None:
            check_shape("mask", mask.shape, ids.shape, "[t]")
            probabilities = probabilities[mask[1:]]
        with np.errstate(divide="ignore"):
            return float(np.exp(-np.log(probabilities).mean()))

    def _indices(self, ids: np.ndarray) -> list[np.ndarray]:
        check_ids("ids", ids, self.vocab_size)
        return _look_up(self.orders, np.asarray(ids).astype(np.int64), self.vocab_size)


class Laplace(NgramModel):
    """Additive smoothing, as in "Dive into Deep Learning".

    P(x)             = (n(x) + e1 / V) / (n + e1)
    P(x_n | context) = (n(context, x_n) + en P(x_n)) / (n(context, anything) + en)

    Examples:
        >>> import numpy as np
        >>> from jaxrnn.text.ngrams import Laplace
        >>> model = Laplace(np.array([0, 1, 0, 1]), epsilons=[0, 0], vocab_size=2)
        >>> model.probabilities(np.array([0, 1, 1])).tolist()
        [0.5, 1.0, 0.0]
    """

    def __init__(
        self,
        ids: Int[HostArray, "t"],
        epsilons: Sequence[float],
        vocab_size: int,
    ) -> None:
        """Count the text; there is one epsilon of at least 0 per order."""
        super().__init__(ids, len(epsilons), vocab_size)
        for epsilon in epsilons:
            check_number("epsilons", epsilon, low=0.0)
        self.epsilons = tuple(epsilons)

    def probabilities(self, ids: Int[HostArray, "t"]) -> Float[HostArray, "t"]:
        """Return the probabilities; NaN where epsilon is 0 and the context never occurred."""
        indices = self._indices(ids)
        counts = [_take(i, order.counts) for order, i in zip(self.orders, indices, strict=True)]
        first, *others = self.epsilons
        unigram = (counts[0] + first / self.vocab_size) / (self.num_tokens + first)
        given = unigram.copy()
        for n, epsilon in enumerate(others, 2):
            order, below = self.orders[n - 1], self.orders[n - 2]
            followed = np.bincount(order.keys // self.vocab_size, order.counts, len(below.keys))
            context = _take(indices[n - 2], followed)[n - 2 : -1]
            with np.errstate(invalid="ignore", divide="ignore"):
                given[n - 1 :] = (counts[n - 1] + epsilon * unigram)[n - 1 :] / (context + epsilon)
        return given


def _take(indices: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the value at each index, 0 where the index is negative."""
    return np.where(indices < 0, 0, values[indices])


class KneserNey(NgramModel):
    """Interpolated Kneser-Ney smoothing with three discounts per order.

    Lower orders count the contexts in which an n-gram occurs, not its occurrences.

    Reference:
        Chen and Goodman, An empirical study of smoothing techniques for language modeling, 1999,
        section 3 ("modified Kneser-Ney").

    Examples:
        >>> import numpy as np
        >>> from jaxrnn.text.ngrams import KneserNey
        >>> model = KneserNey(np.array([0, 1, 0, 1]), n=2, vocab_size=2)
        >>> bool((model.probabilities(np.array([0, 1, 1])) > 0).all())
        True
    """

    def probabilities(self, ids: Int[HostArray, "t"]) -> Float[HostArray, "t"]:
        """Return the probabilities, which are all above 0."""
        all_indices = self._indices(ids)
        below = np.full(len(ids), 1 / self.vocab_size)
        context_indices = np.zeros(len(ids), np.int64)
        for n, (order, indices) in enumerate(zip(self.orders, all_indices, strict=True), 1):
            counts = self._continuations(n)
            discounts = _discounts(counts)[np.minimum(counts, 3)]
            contexts = order.keys // self.vocab_size
            total = np.bincount(contexts, counts)
            left_over = np.bincount(contexts, discounts) / np.maximum(total, 1)
            discounted = _take(indices, counts - discounts)
            known = (context_indices >= 0) & (context_indices < len(total))
            at = np.where(known, context_indices, 0)
            known &= total[at] > 0
            interpolated = discounted / np.maximum(total[at], 1) + left_over[at] * below
            below = np.where(known, interpolated, below)
            context_indices = np.concatenate([[-1], indices[:-1]])
        return below

    def _continuations(self, n: int) -> np.ndarray:
        """Return the counts of the highest order; below it, the numbers of preceding tokens."""
        order = self.orders[n - 1]
        if n == len(self.orders):
            return order.counts
        above = np.bincount(self.orders[n].suffixes, minlength=len(order.keys))
        return np.maximum(above, 1)  # the text's first n-gram has nothing before it


def _discounts(counts: np.ndarray) -> np.ndarray:
    """Return the discounts for counts of 0 to 3 (or more): equation 17 of Chen and Goodman."""
    counts_of_counts = [int((counts == k).sum()) for k in range(1, 5)]
    if min(counts_of_counts) == 0:  # the text is too small to estimate three
        return np.array([0.0, 0.5, 0.5, 0.5])
    n1, n2, n3, n4 = counts_of_counts
    y = n1 / (n1 + 2 * n2)
    of_one, of_two, of_more = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
    return np.maximum(np.array([0.0, of_one, of_two, of_more]), 0.0)


def transitions(model: NgramModel) -> Float[HostArray, "V V"]:
    """Return the matrix of a Markov chain: row x has the probability of each token after x.

    Its square has the probabilities after two steps: summing over the token in between, once per
    pair, is dynamic programming.

    Raises:
        ValueError: the model is not a bigram model.

    Examples:
        >>> import numpy as np
        >>> from jaxrnn.text.ngrams import Laplace, transitions
        >>> transitions(Laplace(np.array([0, 1, 0, 1, 0]), [0, 0], vocab_size=2)).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    if len(model.orders) != 2:
        raise ValueError(f"model must have n = 2, got n = {len(model.orders)}")
    size = model.vocab_size
    pairs = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), axis=-1)
    return model.probabilities(pairs.reshape(-1))[1::2].reshape(size, size)
