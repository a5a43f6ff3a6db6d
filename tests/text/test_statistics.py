"""n-gram counts and Zipf's law against a loop and a closed form."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrnn.text.statistics import count_ngrams, fit_zipf, group_ngrams

texts = st.lists(st.integers(0, 4), min_size=4, max_size=60).map(np.array)


@settings(max_examples=80)
@given(texts, st.integers(1, 4))
def test_counts_equal_those_of_a_loop(ids, n):
    expected = Counter(tuple(ids[i : i + n].tolist()) for i in range(len(ids) - n + 1))
    came = count_ngrams(ids, n)
    rows = [tuple(row) for row in came.ngrams.tolist()]
    assert dict(zip(rows, came.counts.tolist(), strict=True)) == expected
    assert rows == sorted(rows, key=lambda row: (-expected[row], row))


@settings(max_examples=40)
@given(texts, st.integers(1, 4))
def test_groups_tell_ngrams_apart_in_their_order(ids, n):
    rows = [tuple(ids[i : i + n].tolist()) for i in range(len(ids) - n + 1)]
    ranks = {row: rank for rank, row in enumerate(sorted(set(rows)))}
    assert group_ngrams(ids, n).tolist() == [ranks[row] for row in rows]


@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.7])
def test_an_exact_law_is_found(exponent):
    counts = 1e9 * np.arange(1, 2001) ** -exponent
    fit = fit_zipf(np.random.default_rng(0).permutation(counts))
    assert fit.exponent == pytest.approx(exponent, rel=1e-9)
    np.testing.assert_allclose(fit.at(np.array([1, 7, 900])), counts[[0, 6, 899]], rtol=1e-8)


def test_what_cannot_be_counted_is_named(as_users_run):
    with pytest.raises(ValueError, match="at least n = 3 tokens, got 2"):
        count_ngrams(np.array([1, 2]), 3)
    with pytest.raises(ValueError, match="n must be at least 1"):
        count_ngrams(np.array([1, 2]), 0)
    with pytest.raises(TypeError, match="ids must be integers"):
        count_ngrams(np.array([1.0, 2.0]), 1)
    with pytest.raises(ValueError, match="beyond first_rank = 10 to fit a law, got 2"):
        fit_zipf(np.array([5, 3, 1, 1]))
