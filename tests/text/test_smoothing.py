"""n-gram models against their formulas, token by token, and against what probabilities must be."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrnn.text.ngrams import KneserNey, Laplace, transitions

V = 4
texts = st.lists(st.integers(0, V - 1), min_size=6, max_size=80).map(np.array)
others = st.lists(st.integers(0, V - 1), min_size=1, max_size=12).map(np.array)
few = settings(max_examples=60)
epsilons = st.lists(st.floats(0.01, 50.0), min_size=1, max_size=3)


def counted(ids, n):
    return Counter(tuple(ids[i : i + n].tolist()) for i in range(len(ids) - n + 1))


def slow_laplace(ids, epsilons, other):
    first = epsilons[0]
    for place, token in enumerate(other.tolist()):
        alone = (counted(ids, 1)[(token,)] + first / V) / (len(ids) + first)
        n = min(place + 1, len(epsilons))
        if n == 1:
            yield alone
            continue
        context = tuple(other[place - n + 1 : place].tolist())
        epsilon = epsilons[n - 1]
        above = counted(ids, n)[(*context, token)] + epsilon * alone
        yield above / (counted(ids[:-1], n - 1)[context] + epsilon)


@few
@given(texts, epsilons, others)
def test_laplace_is_the_chapters_formula(ids, epsilons, other):
    came = Laplace(ids, epsilons, V).probabilities(other)
    np.testing.assert_allclose(came, list(slow_laplace(ids, epsilons, other)), rtol=1e-12)


def slow_kneser_ney(ids, n, context, token):
    """Equations 15 to 17 of Chen and Goodman, for the n-grams of one order and below."""

    def counts_of(k):
        if k == n:
            return counted(ids, k)
        above = Counter(ngram[1:] for ngram in counted(ids, k + 1))
        return {ngram: max(1, above[ngram]) for ngram in counted(ids, k)}

    def probability(k, context):
        if k == 0:
            return 1 / V
        counts = counts_of(k)
        below = probability(k - 1, context[1:])
        following = {g[-1]: c for g, c in counts.items() if g[:-1] == context}
        if not following:
            return below
        n1, n2, n3, n4 = (sum(c == i for c in counts.values()) for i in (1, 2, 3, 4))
        discounts = [0, 0.5, 0.5, 0.5]
        if n1 * n2 * n3 * n4:
            y = n1 / (n1 + 2 * n2)
            discounts = [0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
            discounts = [max(0, d) for d in discounts]
        total = sum(following.values())
        left_over = sum(discounts[min(c, 3)] for c in following.values()) / total
        here = following.get(token, 0)
        return (here - discounts[min(here, 3)]) / total + left_over * below

    return probability(len(context) + 1, context)


@few
@given(texts, st.integers(1, 3), others)
def test_kneser_ney_is_the_papers_formula(ids, n, other):
    came = KneserNey(ids, n, V).probabilities(other)
    for place, token in enumerate(other.tolist()):
        if place >= n - 1:
            context = tuple(other[place - n + 1 : place].tolist())
            expected = slow_kneser_ney(ids, n, context, token)
            assert came[place] == pytest.approx(expected, rel=1e-10)


def all_after(context):
    """Each token of the vocabulary after a context: texts to be scored at their last place."""
    return [np.array([*context, token]) for token in range(V)]


@few
@given(texts, st.integers(1, 3), epsilons, st.data())
def test_probabilities_sum_to_one_after_any_context(ids, n, epsilons, data):
    for model in (KneserNey(ids, n, V), Laplace(ids, epsilons, V)):
        size = len(model.orders) - 1
        context = data.draw(st.lists(st.integers(0, V - 1), min_size=size, max_size=size))
        total = sum(model.probabilities(text)[-1] for text in all_after(context))
        assert total == pytest.approx(1.0, rel=1e-9)


def test_limits_of_epsilon():
    """None: the frequencies themselves; without end: what the order below says."""
    ids = np.array([0, 1, 0, 1, 1, 2, 0, 3, 1])
    text = np.array([0, 1, 1])
    np.testing.assert_allclose(
        Laplace(ids, [0.0, 0.0], V).probabilities(text), [3 / 9, 2 / 3, 1 / 3]
    )
    np.testing.assert_allclose(Laplace(ids, [1e12], V).probabilities(text), 1 / V, rtol=1e-10)
    np.testing.assert_allclose(
        Laplace(ids, [0.0, 1e12], V).probabilities(text), [3 / 9, 4 / 9, 4 / 9], rtol=1e-10
    )


def test_a_chain_after_two_steps_is_the_sum_over_all_paths():
    ids = np.random.default_rng(0).integers(0, V, 200)
    chain = transitions(Laplace(ids, [1.0, 2.0], V))
    np.testing.assert_allclose(chain.sum(axis=1), 1.0)
    for begin, end in itertools.product(range(V), repeat=2):
        by_paths = sum(chain[begin, between] * chain[between, end] for between in range(V))
        assert (chain @ chain)[begin, end] == pytest.approx(by_paths, rel=1e-12)
    with pytest.raises(ValueError, match="must have n = 2, got n = 1"):
        transitions(Laplace(ids, [1.0], V))


@few
@given(texts, others)
def test_the_reverse_factorisation_has_the_same_joint_probability(ids, other):
    """P(a, b, c) = P(a) P(b | a) P(c | b) = P(c) P(b | c) P(a | b), counted around a ring."""
    ring = np.append(ids, ids[0])
    singles, pairs = counted(ids, 1), counted(ring, 2)

    def joint(text, pair_count):
        probability = singles[(text[0],)] / len(ids)
        for before, after in itertools.pairwise(text):
            if probability:
                probability *= pair_count(before, after) / singles[(before,)]
        return probability

    text = other.tolist()
    forward = joint(text, lambda before, after: pairs[(before, after)])
    backward = joint(text[::-1], lambda before, after: pairs[(after, before)])
    assert forward == pytest.approx(backward, rel=1e-12, abs=1e-300)


def test_perplexity_is_of_all_tokens_but_the_first():
    ids = np.array([0, 1, 0, 1, 1, 2, 0, 3, 1])
    model = Laplace(ids, [1.0, 1.0], V)
    text, mask = np.array([0, 1, 3, 2]), np.array([True, True, False, True])
    nats = -np.log(model.probabilities(text))
    assert model.perplexity(text) == pytest.approx(np.exp(nats[1:].mean()))
    assert model.perplexity(text, mask) == pytest.approx(np.exp(nats[[1, 3]].mean()))
    assert Laplace(ids[:-2], [0.0], V).perplexity(np.array([0, 3])) == np.inf


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("at least n = 3 tokens, got 2", lambda: KneserNey(np.array([0, 1]), 3, V)),
        ("n must be at least 1", lambda: KneserNey(np.array([0, 1]), 0, V)),
        ("ids must lie in 0..3, got 4", lambda: KneserNey(np.array([0, 4]), 1, V)),
        ("epsilons must be at least 0", lambda: Laplace(np.array([0, 1]), [-1.0], V)),
        ("mask must have", lambda: KneserNey(np.array([0, 1]), 1, V).perplexity(
            np.array([0, 1]), np.array([True]))),
    ],
)  # fmt: skip
def test_what_is_no_text_is_named(message, call, as_users_run):
    with pytest.raises(ValueError, match=message):
        call()
