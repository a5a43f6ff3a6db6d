"""Counting models of text: the baselines that recurrent models stand beside.

Each is fitted to a text and gives the probability of each token of another one, given up to n - 1
tokens before it.  All is vectorised: a million words take seconds.
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
    """The perplexity of a text under the frequencies of its tokens in the vocabulary's text.

    Args:
        vocabulary: of the training text, with its counts.
        ids: the text.
        mask: True where a token counts; None means everywhere.

    Returns:
        exp(mean of -log(frequency)); infinite where a token never occurred in training.
    """
    check_ids("ids", ids, len(vocabulary))
    if mask is not None:
        check_shape("mask", mask.shape, ids.shape, "[n]")
    counts = np.array(vocabulary.counts, float)[ids if mask is None else ids[mask]]
    if counts.size == 0 or counts.min() == 0:
        return math.nan if counts.size == 0 else math.inf
    return math.exp(-np.log(counts / sum(vocabulary.counts)).mean())


class Order(NamedTuple):
    """The distinct n-grams of a text, n being fixed."""

    keys: Int[HostArray, "m"]
    """Place of its first n - 1 tokens in the order below, times V, plus its last token; rising."""
    counts: Int[HostArray, "m"]
    """How often each occurs."""
    suffixes: Int[HostArray, "m"]
    """Place of its last n - 1 tokens in the order below."""


def _count(ids: np.ndarray, n: int, vocab_size: int) -> list[Order]:
    """The orders from 1 to n."""
    orders, below, places = [], np.zeros(len(ids), np.int64), np.zeros(len(ids) + 1, np.int64)
    for _ in range(n):
        keys, first, places_here, counts = np.unique(
            places[:-1] * vocab_size + ids[len(ids) - len(places) + 1 :],
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )
        orders.append(Order(keys, counts, below[first]))
        below, places = places_here[1:], places_here
    return orders


def _look_up(orders: Sequence[Order], ids: np.ndarray, vocab_size: int) -> list[np.ndarray]:
    """For each order, the place of the n-gram that ends at each token; -1 if it never occurred."""
    looked_up, places = [], np.zeros(len(ids), np.int64)
    for order in orders:
        keys = np.where(places < 0, -1, places * vocab_size + ids)
        found = np.minimum(np.searchsorted(order.keys, keys), len(order.keys) - 1)
        here = np.where(order.keys[found] == keys, found, -1)
        looked_up.append(here)
        places = np.concatenate([[-1], here[:-1]])
    return looked_up


class NgramModel:
    """Probabilities of tokens given those before them, from the counts of a text."""

    def __init__(self, ids: Int[HostArray, "t"], n: int, vocab_size: int) -> None:
        """Count the n-grams of a text.

        Args:
            ids: the text, of at least n tokens.
            n: the longest n-grams that are counted.
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
        self.orders = _count(ids.astype(np.int64), n, vocab_size)

    def probabilities(self, ids: Int[HostArray, "t"]) -> Float[HostArray, "t"]:
        """Of each token of a text, given those of the n - 1 before it that are there."""
        raise NotImplementedError

    def perplexity(
        self, ids: Int[HostArray, "t"], mask: Bool[HostArray, "t"] | None = None
    ) -> float:
        """Of all tokens of a text but the first, as `jaxrnn.score`; of those that `mask` names."""
        probabilities = self.probabilities(ids)[1:]
        if mask is not None:
            check_shape("mask", mask.shape, ids.shape, "[t]")
            probabilities = probabilities[mask[1:]]
        with np.errstate(divide="ignore"):
            return float(np.exp(-np.log(probabilities).mean()))

    def _looked_up(self, ids: np.ndarray) -> list[np.ndarray]:
        check_ids("ids", ids, self.vocab_size)
        return _look_up(self.orders, ids.astype(np.int64), self.vocab_size)


class Laplace(NgramModel):
    """Additive smoothing, as "Dive into Deep Learning" has it.

    P(x)             = (n(x) + e1 / V) / (n + e1)
    P(x_n | context) = (n(context, x_n) + en P(x_n)) / (n(context, anything) + en)
    """

    def __init__(
        self,
        ids: Int[HostArray, "t"],
        epsilons: Sequence[float],
        vocab_size: int,
    ) -> None:
        """Count the text; one epsilon for each order, of at least 0."""
        super().__init__(ids, len(epsilons), vocab_size)
        for epsilon in epsilons:
            check_number("epsilons", epsilon, low=0.0)
        self.epsilons = tuple(epsilons)

    def probabilities(self, ids: Int[HostArray, "t"]) -> Float[HostArray, "t"]:
        """NaN where epsilon is 0 and the context never occurred."""
        places = self._looked_up(ids)
        counts = [_at(p, order.counts) for order, p in zip(self.orders, places, strict=True)]
        first, *others = self.epsilons
        alone = (counts[0] + first / self.vocab_size) / (self.num_tokens + first)
        given = alone.copy()
        for n, epsilon in enumerate(others, 2):
            order, below = self.orders[n - 1], self.orders[n - 2]
            followed = np.bincount(order.keys // self.vocab_size, order.counts, len(below.keys))
            context = _at(places[n - 2], followed)[n - 2 : -1]
            with np.errstate(invalid="ignore", divide="ignore"):
                given[n - 1 :] = (counts[n - 1] + epsilon * alone)[n - 1 :] / (context + epsilon)
        return given


def _at(places: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The value at each place, 0 where there is none."""
    return np.where(places < 0, 0, values[places])


class KneserNey(NgramModel):
    """Interpolated Kneser-Ney smoothing with three discounts for each order.

    The order below counts in how many contexts an n-gram occurs, not how often.

    Reference: Chen and Goodman, An empirical study of smoothing techniques for language modeling,
        1999, section 3 ("modified Kneser-Ney").
    """

    def probabilities(self, ids: Int[HostArray, "t"]) -> Float[HostArray, "t"]:
        """All are above 0."""
        looked_up = self._looked_up(ids)
        below = np.full(len(ids), 1 / self.vocab_size)
        context_places = np.zeros(len(ids), np.int64)
        for n, (order, places) in enumerate(zip(self.orders, looked_up, strict=True), 1):
            counts = self._continuations(n)
            discounts = _discounts(counts)[np.minimum(counts, 3)]
            contexts = order.keys // self.vocab_size
            total = np.bincount(contexts, counts)
            left_over = np.bincount(contexts, discounts) / np.maximum(total, 1)
            here = _at(places, counts - discounts)
            known = (context_places >= 0) & (context_places < len(total))
            at = np.where(known, context_places, 0)
            known &= total[at] > 0
            interpolated = here / np.maximum(total[at], 1) + left_over[at] * below
            below = np.where(known, interpolated, below)
            context_places = np.concatenate([[-1], places[:-1]])
        return below

    def _continuations(self, n: int) -> np.ndarray:
        """Counts of the highest order; below it, the distinct tokens before each n-gram."""
        order = self.orders[n - 1]
        if n == len(self.orders):
            return order.counts
        above = np.bincount(self.orders[n].suffixes, minlength=len(order.keys))
        return np.maximum(above, 1)  # the text's first n-gram has nothing before it


def _discounts(counts: np.ndarray) -> np.ndarray:
    """By the count, up to three: equation 17 of Chen and Goodman."""
    of_counts = [int((counts == k).sum()) for k in range(1, 5)]
    if min(of_counts) == 0:  # too small a text for three
        return np.array([0.0, 0.5, 0.5, 0.5])
    n1, n2, n3, n4 = of_counts
    y = n1 / (n1 + 2 * n2)
    of_one, of_two, of_more = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
    return np.maximum(np.array([0.0, of_one, of_two, of_more]), 0.0)


def transitions(model: NgramModel) -> Float[HostArray, "V V"]:
    """The matrix of a Markov chain: row x has the probabilities of each token after x.

    The probabilities after two steps are its square: summing over the token between, once for each
    pair, is dynamic programming.

    Raises:
        ValueError: the model is not one of pairs.
    """
    if len(model.orders) != 2:
        raise ValueError(f"model must be of n = 2, got n = {len(model.orders)}")
    size = model.vocab_size
    pairs = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), axis=-1)
    return model.probabilities(pairs.reshape(-1))[1::2].reshape(size, size)
