"""Several devices give the numbers of one with the same batches."""

import functools
import math
import re

import jax
import numpy as np
import pytest
from marks import in_matrix
from parallel.runs import (
    CELLS,
    REGULARIZED,
    assert_same_course,
    make_config,
    make_model,
    make_state,
    run,
)

import jaxrnn
from jaxrnn.training import average_of
from jaxrnn.training.parallel import make_placement

B, T, N = 16, 6, 4


@functools.cache
def on_one_device(cell, windows):
    return run(make_model(cell), make_config(windows))


@pytest.mark.parametrize(
    ("windows", "parallel"),
    [
        ("sequential", "jit"),
        ("random", "pmap"),
        *in_matrix(("sequential", "pmap"), ("random", "jit")),
    ],
)
@pytest.mark.parametrize("cell", [*in_matrix(*CELLS[:-1]), CELLS[-1]])
def test_devices_give_the_numbers_of_one(cell, windows, parallel, how_many, survived):
    for devices in how_many((4,), (4, 8)):
        config = make_config(windows, devices=devices, parallel=parallel)
        course = run(make_model(cell), config)
        assert_same_course(course, on_one_device(cell, windows))
        state = course[-1]
        assert all(len(leaf.sharding.device_set) == devices for leaf in jax.tree.leaves(state))
        for leaf in jax.tree.leaves(state.carry):  # each device has its own rows, and no others
            assert leaf.shape[0] == B
            assert {shard.data.shape[0] for shard in leaf.addressable_shards} == {B // devices}
        survived("several devices: the numbers of one", 1)


@pytest.mark.parametrize("accumulate", [1, 4])
def test_by_shardings_the_devices_exchange_gradients_and_no_rows(accumulate):
    """However the compiler puts it, as `docs/scaling.md` counts it."""
    config = make_config(devices=N, accumulate=accumulate)
    model, placement = make_model("lstm"), make_placement(config)
    step = jaxrnn.make_train_step(model, config.make_optimizer(), accumulate=accumulate)

    def program(state, batches, span):
        tokens, starts = batches
        state, metrics = step(state, jaxrnn.Batch(tokens[0, :-1], tokens[0, 1:], None, starts[0]))
        return state, span, metrics

    state = placement.put_state(make_state(model, config))
    tokens = placement.put_rows(
        (1, T + 1), lambda rows: np.ones((1, T + 1, B), np.int32)[..., rows]
    )
    starts = placement.put_rows((1,), lambda rows: np.ones((1, B), bool)[..., rows])
    code = placement.compile(program, state, (tokens, starts), 0).as_text()
    exchanges = re.findall(r" = (.*) (all-|collective-|reduce-scatter)([a-z]*)\(", code)
    assert {kind for *_, kind in exchanges} == {"reduce"}
    numbers = sum(
        math.prod(int(n) for n in shape.split(",") if n)
        for types, *_ in exchanges
        for shape in re.findall(r"\[([\d,]*)\]", types)
    )
    gradients = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    assert gradients < numbers < gradients + 16


@pytest.mark.matrix
@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_a_training_in_groups_is_that_of_the_large_batch(parallel):
    config = make_config(devices=2, parallel=parallel, accumulate=4)
    assert_same_course(run(make_model("gru"), config), on_one_device("gru", "sequential"))


@functools.cache
def regularized(**more):
    """The course, with the average in the place of the state."""
    *course, state = run(make_model("lstm"), make_config(**REGULARIZED, **more))
    return *course, jax.tree.map(np.asarray, average_of(state.opt_state))


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_random_lengths_penalties_and_averages_on_several_devices_are_those_of_one(parallel):
    """One device: `tests/training/test_published_recipe.py`."""
    ours, alone = regularized(devices=4, accumulate=2, parallel=parallel), regularized()
    assert_same_course(ours, alone)
    for a, b in zip(jax.tree.leaves(ours[2]), jax.tree.leaves(alone[2]), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


def test_dropout_on_several_devices_of_one_program_is_that_of_one():
    """Shardings change no mask; the devices of a pmap draw masks of their own."""
    model, config = make_model("rnn", 0.3), make_config()
    alone = run(model, config)
    assert_same_course(run(model, make_config(devices=4)), alone)
    apart = run(model, make_config(devices=4, parallel="pmap"))
    assert np.abs(apart[0] - alone[0]).max() > 1e-3
    masks = {np.asarray(shard.data).tobytes() for leaf in jax.tree.leaves(apart[-1].carry)
             for shard in leaf.addressable_shards}  # fmt: skip
    assert len(masks) == 4


@pytest.mark.parametrize(
    ("message", "more"),
    [
        (r"batch_size must be a multiple of devices x accumulate = 3 x 1 = 3, got 16",
         {"devices": 3}),
        (r"devices x accumulate = 4 x 8 = 32, got 16", {"devices": 4, "accumulate": 8}),
        (r"devices must be at least 1, got 0", {"devices": 0}),
        (r"accumulate must be at least 1, got 0", {"accumulate": 0}),
        (r"parallel must be one of 'jit', 'pmap', got 'both'", {"parallel": "both"}),
    ],
)  # fmt: skip
def test_a_bad_number_of_devices_is_named(message, more, as_users_run, survived):
    with pytest.raises(ValueError, match=message):
        make_config(**more)
    survived("bad input", 1)


def test_more_devices_than_there_are_are_named_with_the_way_to_simulate_them(survived):
    message = "at most 8, the cpu devices that are present, got 16: JAX_NUM_CPU_DEVICES=16 sim"
    with pytest.raises(ValueError, match=message):
        run(make_model(), make_config(devices=16))
    survived("bad input", 1)


def test_one_device_of_many_is_enough():
    """A run on one device leaves the others alone."""
    _, _, state = run(make_model(), make_config(), steps=1)
    devices = {device for leaf in jax.tree.leaves(state) for device in leaf.sharding.device_set}
    assert devices == {jax.devices()[0]}
