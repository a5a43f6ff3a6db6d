"""The batches of an epoch, against brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrnn.fitting import plans
from jaxrnn.fitting.plans import batch_lengths, epoch_plan

some_lengths = st.lists(st.integers(0, 12), min_size=1, max_size=30).map(np.array)


def steps_with(lengths, choices):
    return sum(min(c for c in choices if c >= n) for n in lengths)


@settings(max_examples=60)
@given(some_lengths, st.sampled_from([0, 1, 3]))
def test_lengths_are_those_that_waste_least_and_each_is_worth_it(lengths, per_program):
    top, mean = max(1, int(lengths.max())), np.maximum(lengths, 1).mean()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "BATCHES_PER_PROGRAM", per_program)
        chosen = batch_lengths(lengths, top, 1).tolist()
    assert chosen == sorted(set(chosen))
    assert chosen[-1] == top
    possible = sorted({max(1, int(n)) for n in lengths} - {top})

    def least(number):
        groups = itertools.combinations(possible, number - 1)
        return min(steps_with(lengths, [*group, top]) for group in groups)

    assert steps_with(lengths, chosen) == least(len(chosen))
    if len(chosen) > 1:
        assert least(len(chosen) - 1) - least(len(chosen)) > per_program * mean
    if len(chosen) < min(plans.MOST_SHAPES, len(possible) + 1):
        assert least(len(chosen)) - least(len(chosen) + 1) <= per_program * mean


@settings(max_examples=60)
@given(some_lengths, st.integers(1, 9), st.integers(0, 3) | st.none())
def test_a_plan_has_every_sequence_once_in_batches_that_hold_it(lengths, batch_size, seed):
    choices = batch_lengths(lengths, max(1, int(lengths.max())), batch_size)
    plan = epoch_plan(lengths, choices, batch_size, None if seed is None else (seed, 0))
    rows = np.concatenate([part.rows for part in plan])
    assert sorted(rows.tolist()) == list(range(len(lengths)))
    assert all(lengths[part.rows].max() <= part.num_steps for part in plan)
    assert {part.num_steps for part in plan} <= set(choices.tolist())
    sizes = [len(part.rows) for part in plan]
    assert len(sizes) == -(-len(lengths) // batch_size)
    assert sum(size < batch_size for size in sizes) <= 1


def test_orders_depend_on_seed_and_epoch_alone():
    lengths = np.full(40, 7)
    choices = batch_lengths(lengths, 7, 8)

    def order(*seed):
        return np.concatenate([part.rows for part in epoch_plan(lengths, choices, 8, seed)])

    assert order(1, 0).tolist() == order(1, 0).tolist()
    assert order(1, 0).tolist() != order(1, 1).tolist()
    assert order(1, 0).tolist() != order(2, 0).tolist()


def test_the_short_batch_is_not_always_of_the_longest():
    lengths = np.arange(1, 26)
    choices = np.arange(5, 30, 5)
    short = {
        part.num_steps
        for epoch in range(40)
        for part in epoch_plan(lengths, choices, 8, (0, epoch))
        if len(part.rows) == 1
    }
    assert len(short) > 2


@pytest.mark.parametrize("tail", [1.0, 2.0])
def test_many_different_lengths_are_planned_quickly(tail):
    lengths = (np.random.default_rng(0).lognormal(4, tail, 100_000)).astype(int) + 1
    choices = batch_lengths(lengths, int(lengths.max()), 32)
    assert choices[-1] == lengths.max()
    assert len(choices) <= plans.MOST_SHAPES
