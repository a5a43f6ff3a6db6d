"""The two samplers: the book's worked examples, and what holds for every size."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrnn.text import (
    gather_windows,
    random_plan,
    random_windows,
    sequential_plan,
    sequential_windows,
)

few = settings(max_examples=80)
SAMPLERS = {"sequential": sequential_windows, "random": partial(random_windows, seed=0, epoch=0)}
PLANS = {"sequential": sequential_plan, "random": partial(random_plan, seed=0, epoch=0)}


@st.composite
def sizes(draw):
    """A text that is long enough: (num_ids, batch_size, num_steps, offset)."""
    batch_size, num_steps = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    offset, more = draw(st.integers(0, 10)), draw(st.integers(0, 150))
    return offset + batch_size * num_steps + 1 + more, batch_size, num_steps, offset


def check_batch(batch, plan, ids, num_steps):
    """A batch holds the windows of its plan, cut out one by one, and the tokens after them."""
    assert batch.inputs.shape == (plan.offsets.shape[0], num_steps, plan.offsets.shape[1])
    for batch_number, row in np.ndindex(plan.offsets.shape):
        window = slice(plan.offsets[batch_number, row], plan.offsets[batch_number, row] + num_steps)
        assert batch.inputs[batch_number, :, row].tolist() == ids[:-1][window].tolist()
        assert batch.targets[batch_number, :, row].tolist() == ids[1:][window].tolist()
    assert batch.inputs.dtype == batch.targets.dtype == ids.dtype
    assert batch.starts.tolist() == plan.starts.tolist()
    assert batch.mask is None


@pytest.mark.parametrize(
    ("num_ids", "num_steps", "offset", "row_length", "expected"),
    [
        (30, 6, 0, None, [[[0, 1, 2, 3, 4, 5], [15, 16, 17, 18, 19, 20]],
                          [[6, 7, 8, 9, 10, 11], [21, 22, 23, 24, 25, 26]]]),
        (35, 5, 1, 16, [[[1, 2, 3, 4, 5], [17, 18, 19, 20, 21]],
                        [[6, 7, 8, 9, 10], [22, 23, 24, 25, 26]],
                        [[11, 12, 13, 14, 15], [27, 28, 29, 30, 31]]]),
        (35, 5, 0, 17, [[[0, 1, 2, 3, 4], [17, 18, 19, 20, 21]],
                        [[5, 6, 7, 8, 9], [22, 23, 24, 25, 26]],
                        [[10, 11, 12, 13, 14], [27, 28, 29, 30, 31]]]),
        (35, 5, 5, 14, [[[5, 6, 7, 8, 9], [19, 20, 21, 22, 23]],
                        [[10, 11, 12, 13, 14], [24, 25, 26, 27, 28]]]),
    ],
    ids=["first-edition", "second-edition", "second-edition-offset-0", "second-edition-offset-5"],
)  # fmt: skip
def test_sequential_windows_of_the_book(num_ids, num_steps, offset, row_length, expected):
    """Written as the book prints them, `[batch][row][step]`; ours are time-major."""
    batch = sequential_windows(np.arange(num_ids), 2, num_steps, offset, row_length)
    np.testing.assert_array_equal(batch.inputs, np.swapaxes(expected, 1, 2))
    np.testing.assert_array_equal(batch.targets, np.swapaxes(expected, 1, 2) + 1)
    assert batch.starts.tolist() == [[True, True]] + [[False, False]] * (len(expected) - 1)


@pytest.mark.parametrize(
    ("num_ids", "num_steps", "offset", "places", "num_batches"),
    [
        (30, 6, 0, [0, 6, 12, 18], 2),
        (35, 5, 0, [0, 5, 10, 15, 20, 25], 3),
        (35, 5, 4, [4, 9, 14, 19, 24, 29], 3),
    ],
    ids=["first-edition", "second-edition", "second-edition-offset-4"],
)
def test_random_windows_of_the_book(num_ids, num_steps, offset, places, num_batches):
    for epoch in range(5):
        ids = np.arange(num_ids)
        batch = random_windows(ids, 2, num_steps, seed=3, epoch=epoch, offset=offset)
        assert sorted(batch.inputs[:, 0].ravel()) == places
        expected = batch.inputs[:, :1] + np.arange(num_steps)[:, None]
        np.testing.assert_array_equal(batch.inputs, expected)
        np.testing.assert_array_equal(batch.targets, expected + 1)
        assert batch.starts.shape == (num_batches, 2)
        assert batch.starts.all()


@few
@given(sizes(), st.data())
def test_sequential_windows_go_on_where_the_last_ended(size, data):
    num_ids, batch_size, num_steps, offset = size
    longest = (num_ids - offset - 1 - num_steps) // max(1, batch_size - 1)
    row_length = data.draw(st.none() | st.integers(num_steps, max(num_steps, longest)))
    plan = sequential_plan(num_ids, batch_size, num_steps, offset, row_length)[:]
    length = (num_ids - offset) // batch_size if row_length is None else row_length
    num_batches = min(length, num_ids - 1 - offset - (batch_size - 1) * length) // num_steps
    assert plan.offsets.shape == plan.starts.shape == (num_batches, batch_size)
    assert plan.offsets.dtype == np.int32
    np.testing.assert_array_equal(plan.offsets[0], offset + length * np.arange(batch_size))
    assert (np.diff(plan.offsets, axis=0) == num_steps).all()
    assert (np.diff(np.sort(plan.offsets, axis=None)) >= num_steps).all()
    assert plan.offsets.max() + num_steps < num_ids
    assert plan.starts[0].all()
    assert not plan.starts[1:].any()
    ids = np.random.default_rng(0).integers(0, 1000, num_ids)
    batch = sequential_windows(ids, batch_size, num_steps, offset, row_length)
    check_batch(batch, plan, ids, num_steps)


@few
@given(sizes(), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_random_windows_never_overlap(size, seed, epoch):
    num_ids, batch_size, num_steps, offset = size
    plan = random_plan(num_ids, batch_size, num_steps, seed, epoch, offset)[:]
    num_windows = (num_ids - 1 - offset) // num_steps
    assert plan.offsets.shape == plan.starts.shape == (num_windows // batch_size, batch_size)
    assert plan.offsets.dtype == np.int32
    assert plan.starts.all()
    numbers, rest = np.divmod(plan.offsets - offset, num_steps)
    assert not rest.any()
    assert len(np.unique(numbers)) == numbers.size  # so they are a part of a permutation
    assert numbers.min() >= 0
    assert plan.offsets.max() + num_steps < num_ids
    ids = np.random.default_rng(0).integers(0, 1000, num_ids)
    batch = random_windows(ids, batch_size, num_steps, seed, epoch, offset)
    check_batch(batch, plan, ids, num_steps)


def test_order_is_a_function_of_seed_and_epoch():
    """The same two numbers give the same order, also later; any other two give another."""
    plans = [
        random_plan(1001, 5, 10, s, e)[:].offsets for _ in range(2) for s, e in np.ndindex(4, 4)
    ]
    orders = [tuple(plan.ravel().tolist()) for plan in plans]
    assert orders[:16] == orders[16:]
    assert len(set(orders)) == 16
    assert {tuple(sorted(order)) for order in orders} == {tuple(range(0, 1000, 10))}


def test_orders_of_an_epoch_are_spread_evenly():
    """Every window leads an epoch about equally often: 12 windows, 600 epochs, 50 each."""
    first = [random_plan(25, 1, 2, 0, epoch)[:1].offsets[0, 0] // 2 for epoch in range(600)]
    counts = np.bincount(first, minlength=12)
    assert counts.shape == (12,)
    assert ((counts - 50) ** 2 / 50).sum() < 31.3  # chi-squared, 11 degrees of freedom, p = 0.001


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("size", "options"), [((35, 2, 5), {}), ((101, 3, 4), {"offset": 4})])
def test_jax_and_numpy_ids_give_the_same(sampler, size, options):
    ids = np.random.default_rng(0).integers(0, 50, size[0]).astype(np.int32)
    host = SAMPLERS[sampler](ids, *size[1:], **options)
    device = SAMPLERS[sampler](jnp.asarray(ids), *size[1:], **options)
    assert isinstance(host.inputs, np.ndarray)
    assert isinstance(device.inputs, jax.Array)
    assert device.inputs.dtype == jnp.int32
    for ours, theirs in zip(host, device, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", PLANS)
def test_gather_of_one_row_of_a_plan_is_that_batch(name):
    """As the trainer does it: the text and the plan on the device, the batch's number traced."""
    ids = np.random.default_rng(0).integers(0, 50, 101).astype(np.int32)
    plan, batch = PLANS[name](101, 3, 4, offset=2)[:], SAMPLERS[name](ids, 3, 4, offset=2)
    on_device = jax.jit(lambda k: gather_windows(jnp.asarray(ids), jnp.asarray(plan.offsets)[k], 4))
    for k in range(len(plan.offsets)):
        for gathered in (gather_windows(ids, plan.offsets[k], 4), on_device(k)):
            assert gathered[0].shape == (4, 3)
            np.testing.assert_array_equal(gathered[0], batch.inputs[k])
            np.testing.assert_array_equal(gathered[1], batch.targets[k])


@few
@given(sizes(), st.sampled_from(sorted(PLANS)), st.data())
def test_error_names_how_long_the_text_must_be(size, name, data):
    """That many tokens do suffice, and one fewer do not."""
    _, batch_size, num_steps, offset = size
    rows = {}
    if name == "sequential" and data.draw(st.booleans()):
        rows = {"row_length": data.draw(st.integers(num_steps, 3 * num_steps))}
    plan = partial(PLANS[name], batch_size=batch_size, num_steps=num_steps, offset=offset, **rows)
    short = data.draw(st.integers(offset, offset + batch_size * num_steps))
    with pytest.raises(ValueError, match=f"at least .* tokens .* got {short}") as caught:
        plan(short)
    needed = int(re.search(r"at least (\d+) tokens", str(caught.value))[1])
    assert len(plan(needed)) == 1
    with pytest.raises(ValueError, match=f"at least {needed} tokens .* got {needed - 1}"):
        plan(needed - 1)


def test_error_for_the_default_run():
    message = "at least 1121 tokens for one batch of 32 rows and 35 steps, got 1120"
    with pytest.raises(ValueError, match=message):
        random_windows(np.zeros(1120, np.int32), 32, 35, seed=0, epoch=0)


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"batch_size": -2}, ValueError, "batch_size must be at least 1, got -2"),
        ({"batch_size": 2.0}, TypeError, "batch_size must be an integer, got 2.0"),
        ({"num_steps": 0}, ValueError, "num_steps must be at least 1, got 0"),
        ({"num_steps": True}, TypeError, "num_steps must be an integer, got True"),
        ({"offset": -1}, ValueError, r"offset must lie in 0\.\.30, .* got -1"),
        ({"offset": 31}, ValueError, r"offset must lie in 0\.\.30, .* got 31"),
        ({"offset": 1.5}, TypeError, "offset must be an integer, got 1.5"),
        ({"offset": True}, TypeError, "offset must be an integer, got True"),
        ({"ids": np.arange(30.0)}, TypeError, "ids must be integers, got float64"),
        ({"ids": np.zeros((6, 5), int)}, ValueError, r"ids must be one text \[n\], .* \(6, 5\)"),
        ({"ids": np.zeros(0, int)}, ValueError, "at least 7 tokens .* got 0"),
    ],
)
def test_refuses_bad_sizes(sampler, options, error, message):
    arguments = {"ids": np.arange(30), "batch_size": 2, "num_steps": 3} | options
    with pytest.raises(error, match=message):
        SAMPLERS[sampler](**arguments)


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (partial(sequential_plan, row_length=2), ValueError, "row_length .* = 3, got 2"),
        (partial(sequential_plan, row_length=7.5), TypeError, "row_length must be an integer"),
        (partial(sequential_plan, row_length=28), ValueError, "at least 32 tokens .* got 30"),
        (partial(random_plan, seed=-1, epoch=0), ValueError, "seed must be between .* got -1"),
        (partial(random_plan, seed=2**32, epoch=0), ValueError, "seed must be between"),
        (partial(random_plan, seed=0, epoch=2**32), ValueError, "epoch must be between"),
        (partial(random_plan, seed=0, epoch=-1), ValueError, "epoch must be between"),
        (partial(random_plan, seed=0.0, epoch=0), TypeError, "seed must be an integer, got 0.0"),
        (partial(random_plan, seed=0, epoch=True), TypeError, "epoch must be an integer, got True"),
    ],
)
def test_plans_refuse_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call(30, 2, 3)


@pytest.mark.parametrize("to_array", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
@pytest.mark.parametrize(
    ("offsets", "num_steps", "message"),
    [
        ([0, 25], 0, "num_steps must be at least 1, got 0"),
        ([0, 25], 5, r"offsets .* got 25"),
        ([-1, 3], 5, r"offsets .* got -1"),
    ],
)
def test_gather_refuses_windows_outside_the_text(to_array, offsets, num_steps, message):
    """JAX's gather would clamp, and NumPy's would wrap, both in silence."""
    with pytest.raises(ValueError, match=message):
        gather_windows(to_array(np.arange(30, dtype=np.int32)), np.array(offsets), num_steps)
