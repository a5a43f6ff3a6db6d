"""Windows of random lengths: how they lie in the text, and how long they are."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrnn.text.epoch_plans import EpochPlans
from jaxrnn.text.random_lengths import draw_lengths, random_lengths_plan


@st.composite
def sizes(draw):
    """A text that is long enough: (num_ids, batch_size, num_steps, offset)."""
    batch_size, num_steps = draw(st.integers(1, 40)), draw(st.integers(1, 12))
    offset, more = draw(st.integers(0, 10)), draw(st.integers(0, 400))
    return offset + batch_size * (num_steps + 10) + 1 + more, batch_size, num_steps, offset


def check_windows(windows, num_ids, batch_size, num_steps, offset, row_length):
    """The windows of a row join, those of all rows together hold no token twice."""
    lengths, longest = windows.lengths, num_steps + 10
    assert lengths.min() >= min(5, num_steps)
    assert lengths.max() <= longest
    rows = offset + row_length * np.arange(batch_size)
    np.testing.assert_array_equal(windows.offsets[0], rows)
    # A window begins where the one before it ends.
    np.testing.assert_array_equal(np.diff(windows.offsets, axis=0).T, [lengths[:-1]] * batch_size)
    assert lengths.sum() <= row_length  # or the first tokens of the next row would come twice
    assert row_length - lengths.sum() <= longest  # less than another window is left out
    assert windows.offsets.max() + longest + 1 <= num_ids  # even cut out at the longest length
    assert windows.starts.tolist() == [[k == 0] * batch_size for k in range(len(lengths))]


@settings(max_examples=100)
@given(sizes(), st.integers(0, 2**32 - 1))
def test_windows_join_without_gap_or_overlap_and_end_within_the_text(size, seed):
    num_ids, batch_size, num_steps, offset = size
    row_length = (num_ids - offset) // batch_size
    plan = random_lengths_plan(num_ids, batch_size, num_steps, np.random.default_rng(seed), offset)
    check_windows(plan[:], *size, row_length)
    parts = [plan[k : k + 3] for k in range(0, len(plan), 3)]  # as chunks are read
    for whole, *pieces in zip(plan[:], *parts, strict=True):
        np.testing.assert_array_equal(np.concatenate(pieces), whole)


@settings(max_examples=50)
@given(sizes(), st.integers(0, 2**32 - 1), st.integers(0, 1000))
def test_the_windows_of_an_epoch_follow_from_seed_and_epoch_alone(size, seed, epoch):
    num_ids, batch_size, num_steps, _ = size
    num_ids += num_steps  # room for every offset
    plans = EpochPlans(num_ids, True, True, batch_size, num_steps, seed, True)
    windows = plans.plan(epoch)[:]
    offset = int(windows.offsets[0, 0])
    assert offset <= num_steps
    row_length = (num_ids - offset - 1) // batch_size
    check_windows(windows, num_ids, batch_size, num_steps, offset, row_length)
    plans.plan(epoch + 1)  # changes nothing
    for ours, again in zip(windows, plans.plan(epoch)[:], strict=True):
        np.testing.assert_array_equal(ours, again)


def test_each_epoch_and_each_seed_draws_other_lengths():
    drawn = {
        tuple(EpochPlans(3000, True, False, 2, 40, seed, True).plan(epoch)[:].lengths)
        for seed in range(4)
        for epoch in range(5)
    }
    assert len(drawn) == 20


def test_lengths_are_distributed_as_published():
    """The published code: `max(5, int(normal(70 or, once in twenty, 35, 5)))`; ours end at 80."""
    number = 200_000
    lengths = draw_lengths(70, number, np.random.default_rng(0))

    def below(length):
        """The probability that what is drawn, before it is cut to an integer, is below this."""
        of_70, of_35 = (0.5 * (1 + math.erf((length - m) / 5 / 2**0.5)) for m in (70, 35))
        return 0.95 * of_70 + 0.05 * of_35

    expected = number * np.diff([0.0, *(below(length) for length in range(6, 81)), 1.0])
    counts = np.bincount(lengths, minlength=81)[5:]
    # Six standard deviations of a count, and as many single windows where next to none are due.
    assert np.all(np.abs(counts - expected) <= 6 * np.sqrt(expected) + 6)
    # 5% were drawn around half; 50 to 55 is five standard deviations and more from both.
    assert abs((lengths < 52).mean() - 0.05) < 6 * math.sqrt(0.05 * 0.95 / number)


@pytest.mark.parametrize(("random_offset", "needed"), [(False, 4 * 15 + 1), (True, 4 * 15 + 6)])
def test_a_text_too_short_is_refused_with_the_number_that_it_needs(random_offset, needed):
    arguments = (True, random_offset, 4, 5, 0, True)
    message = f"at least {needed} tokens for one batch of 4 rows and 15 steps, got {needed - 1}"
    with pytest.raises(ValueError, match=message):
        EpochPlans(needed - 1, *arguments)
    plans = EpochPlans(needed, *arguments)
    assert min(len(plans.plan(epoch)) for epoch in range(50)) >= 1
    with pytest.raises(ValueError, match="at least 66 tokens for one batch"):
        random_lengths_plan(65, 4, 5, np.random.default_rng(0), offset=5)
