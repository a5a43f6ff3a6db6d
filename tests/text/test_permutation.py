"""The order of the windows: a permutation of any size, in any part, as good as a shuffle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marks import in_matrix

from jaxrnn.text.permutation import LARGEST_TABLE, permute, random_order

seeds = st.integers(0, 2**32 - 1)


def computed(size, seed, epoch, places):
    """As those orders are that are too large for a table."""
    return permute(size, np.random.SeedSequence((seed, epoch)), np.asarray(places))


@settings(max_examples=100)
@given(st.integers(1, 3000), seeds, seeds)
def test_every_number_comes_once(size, seed, epoch):
    for order in (random_order(size, seed, epoch), lambda p: computed(size, seed, epoch, p)):
        assert sorted(order(np.arange(size))) == list(range(size))


@settings(max_examples=50)
@given(st.integers(LARGEST_TABLE + 1, 2**62), seeds, seeds, st.data())
def test_any_part_is_that_of_the_whole(size, seed, epoch, data):
    places = np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=20)))
    order = random_order(size, seed, epoch)
    together = order(places)
    assert together.tolist() == [order(np.array([place]))[0] for place in places]
    assert order(places[:, None]).shape == (len(places), 1)
    assert 0 <= together.min() <= together.max() < size
    assert len(set(together.tolist())) == len(set(places.tolist()))


def test_an_order_is_a_function_of_seed_and_epoch():
    size, places = LARGEST_TABLE + 1, np.arange(10)
    orders = [tuple(random_order(size, *at)(places)) for at in [(0, 0), (0, 1), (1, 0), (0, 0)]]
    assert orders[0] == orders[3]
    assert len(set(orders)) == 3


@pytest.mark.parametrize("size", [*in_matrix(100), 10_000])
def test_each_place_holds_each_number_about_equally_often(size):
    """The first and the last place over many epochs, in ten classes, by chi-squared with nine
    degrees of freedom: more than 33.7 comes once in 10,000.
    """
    held = np.array([computed(size, 5, epoch, [0, size - 1]) for epoch in range(2000)])
    for numbers in held.T:
        counts = np.bincount(numbers * 10 // size, minlength=10)
        assert ((counts - 200) ** 2 / 200).sum() < 33.7


def test_a_large_order_has_no_trend():
    """Neither with the place, nor from one to the next, nor from epoch to epoch: correlations of
    100,000 pairs have a deviation of 0.0032.
    """
    size = LARGEST_TABLE + 1
    places = np.arange(100_000)
    order, other = (computed(size, 0, epoch, places) for epoch in (0, 1))
    for a, b in ((order, places), (order[:-1], order[1:]), (order, other)):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.016
    spread = np.bincount(order * 10 // size, minlength=10)
    np.testing.assert_allclose(spread, 10_000, rtol=0.05)  # five deviations
