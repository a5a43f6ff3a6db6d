"""Several devices give the numbers of one with the same batches."""

import functools
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from parallel.runs import (
    CELLS,
    WINDOWS,
    V,
    assert_same_course,
    make_config,
    make_model,
    make_state,
    run,
)

import jaxrnn
from jaxrnn.training import TrainState, cross_entropy
from jaxrnn.training.gradient import make_gradient
from jaxrnn.training.parallel import make_placement

B, T, N = 16, 6, 4


@functools.cache
def on_one_device(cell, windows):
    return run(make_model(cell), make_config(windows))


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
@pytest.mark.parametrize("windows", WINDOWS)
@pytest.mark.parametrize("cell", CELLS)
def test_devices_give_the_numbers_of_one(cell, windows, parallel, survived):
    for devices in (4, 8):
        config = make_config(windows, devices=devices, parallel=parallel)
        course = run(make_model(cell), config)
        assert_same_course(course, on_one_device(cell, windows))
        state = course[-1]
        assert all(len(leaf.sharding.device_set) == devices for leaf in jax.tree.leaves(state))
        for leaf in jax.tree.leaves(state.carry):  # each device has its own rows, and no others
            assert leaf.shape[0] == B
            assert {shard.data.shape[0] for shard in leaf.addressable_shards} == {B // devices}
        survived("several devices: the numbers of one", 1)


def make_batch(mask=None):
    ids = np.random.default_rng(0).integers(0, V, (T + 1, B)).astype(np.int32)
    return jaxrnn.Batch(ids[:-1], ids[1:], mask, np.arange(B) % 3 == 0)


def in_pmap(step, state, batch):
    """A step on N devices, as a user of `jax.pmap` writes it."""

    def cut(axis):
        return lambda rows: jnp.stack(jnp.split(jnp.asarray(rows), N, axis))

    axes = TrainState(params=None, opt_state=None, carry=0, key=None, step=None)
    mapped = jax.pmap(
        step, "data", in_axes=(axes, 0), out_axes=(axes, None), devices=jax.devices()[:N]
    )
    state = state.replace(carry=jax.tree.map(cut(0), state.carry))
    state, metrics = mapped(state, jax.tree.map(cut(-1), batch))
    carry = jax.tree.map(lambda rows: rows.reshape(-1, *rows.shape[2:]), state.carry)
    return state.replace(carry=carry), metrics


def in_shard_map(step, state, batch, check_vma=True):
    """The same by `jax.shard_map`; unless `check_vma`, JAX does not tell shared arrays apart."""
    mesh = jax.make_mesh((N,), ("data",), axis_types=(AxisType.Auto,))
    states = TrainState(P(), P(), P("data"), P(), P())
    batches = jax.tree.map(lambda rows: P(*(None,) * (rows.ndim - 1), "data"), batch)
    mapped = jax.shard_map(
        step,
        mesh=mesh,
        in_specs=(states, batches),
        out_specs=(states, P()),
        check_vma=check_vma,
    )
    return jax.jit(mapped)(state, batch)


WAYS = {
    "pmap": in_pmap,
    "shard_map": in_shard_map,
    "shard_map, unchecked": functools.partial(in_shard_map, check_vma=False),
}


def one_step(way, *, mask=None, spoilt=None, accumulate=1, cell="lstm", learning_rate=1.0):
    """(before, after, metrics) of a step on N devices, or on one; no clipping, so that the change
    of the parameters is the gradient.
    """
    config = make_config(learning_rate=learning_rate, max_grad_norm=None)
    model, optimizer = make_model(cell), config.make_optimizer()
    before = make_state(model, config)
    carry = jax.tree.map(lambda x: jnp.full_like(x, 0.3), before.carry)
    if spoilt is not None:
        carry = jax.tree.map(lambda x: x.at[spoilt].set(jnp.nan), carry)
    before = before.replace(carry=carry)
    axis_name = None if way is None else "data"
    step = jaxrnn.make_train_step(model, optimizer, axis_name, accumulate)
    run_step = jax.jit(step) if way is None else functools.partial(WAYS[way], step)
    after, metrics = run_step(before, make_batch(mask))
    return before, after, metrics


def assert_close(ours, theirs, tolerance):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("way", WAYS)
def test_the_step_works_in_the_users_own_map(way, cell):
    (_, ours, told), (_, theirs, expected) = (one_step(w, cell=cell) for w in (way, None))
    assert_close(ours.params, theirs.params, 1e-6)
    assert_close(ours.carry, theirs.carry, 1e-6)
    assert_close(told, expected, 1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_devices_with_few_real_tokens_count_for_few(way):
    """The mean is over all real tokens, not the mean of the devices' means."""
    mask = np.random.default_rng(1).random((T, B)) < np.linspace(0.02, 1, B)
    (_, ours, told), (_, theirs, expected) = (one_step(w, mask=mask) for w in (way, None))
    assert int(told.tokens) == int(expected.tokens) == mask.sum()
    assert_close(ours.params, theirs.params, 1e-6)
    assert_close(told, expected, 1e-6)


def test_the_gradient_is_not_as_many_times_too_large_as_there_are_devices(survived):
    """Within a checked shard_map the derivative by shared parameters is summed over the devices
    already; the mean of that over the devices, which is right in pmap, leaves it N times too large.
    """
    config = make_config()
    model = make_model("lstm")
    state, batch = make_state(model, config), make_batch()

    def naive(state, batch):
        def loss(params):
            carry = model.initial_carry(params, batch.inputs.shape[1])
            logits, _ = model.apply(params, batch.inputs, carry)
            return cross_entropy(logits, batch.targets)

        grads = lax.pmean(jax.grad(loss)(state.params), "data")
        return state.replace(params=grads, carry=state.carry), 0.0

    def ours(state, batch):
        starting = batch._replace(starts=batch.starts | True)
        found = make_gradient(model, "data")(state.params, starting, state.carry, state.key)
        return state.replace(params=found.grads, carry=found.carry), 0.0

    def loss(params):
        logits, _ = model.apply(params, batch.inputs, model.initial_carry(params, B))
        return cross_entropy(logits, batch.targets)

    expected = jax.grad(loss)(state.params)
    for way in WAYS.values():
        assert_close(way(ours, state, batch)[0].params, expected, 1e-6)
    times = jax.tree.map(lambda g: N * g, expected)
    assert_close(in_shard_map(naive, state, batch)[0].params, times, 1e-6)  # the trap is there
    survived("several devices: gradient scale", len(WAYS))


@pytest.mark.parametrize("way", [*WAYS, None])
def test_what_is_not_finite_on_one_device_is_skipped_on_all(way, survived):
    row = 5  # one that goes on from its carry
    before, after, metrics = one_step(way, spoilt=row)
    assert bool(metrics.skipped)
    assert int(metrics.tokens) == 0
    for a, b in zip(jax.tree.leaves(after.params), jax.tree.leaves(before.params), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(jax.tree.leaves(after.carry), jax.tree.leaves(before.carry), strict=True):
        np.testing.assert_array_equal(a, b)
    if way:
        survived("several devices: not finite on one", 1)


@pytest.mark.parametrize("way", [*WAYS, None])
@pytest.mark.parametrize("accumulate", [2, 4])
def test_rows_in_groups_are_the_large_batch(way, accumulate):
    mask = np.random.default_rng(2).random((T, B)) < 0.8
    _, ours, told = one_step(way, mask=mask, accumulate=accumulate)
    _, theirs, expected = one_step(None, mask=mask)
    assert_close(ours.params, theirs.params, 1e-6)
    assert_close(ours.carry, theirs.carry, 1e-6)
    assert_close(told, expected, 1e-6)


@pytest.mark.parametrize("accumulate", [1, 4])
def test_by_shardings_the_devices_exchange_gradients_and_no_rows(accumulate):
    """However the compiler puts it, as `docs/scaling.md` counts it."""
    config = make_config(devices=N, accumulate=accumulate)
    model, placement = make_model("lstm"), make_placement(config)
    step = jaxrnn.make_train_step(model, config.make_optimizer(), None, accumulate)

    def program(state, tokens, starts, span):
        state, metrics = step(state, jaxrnn.Batch(tokens[0, :-1], tokens[0, 1:], None, starts[0]))
        return state, span, metrics

    state = placement.put_state(make_state(model, config))
    tokens = placement.put_rows(
        (1, T + 1), lambda rows: np.ones((1, T + 1, B), np.int32)[..., rows]
    )
    starts = placement.put_rows((1,), lambda rows: np.ones((1, B), bool)[..., rows])
    code = placement.compile(program).lower(state, tokens, starts, 0).compile().as_text()
    exchanges = re.findall(r" = (.*) (all-|collective-|reduce-scatter)([a-z]*)\(", code)
    assert {kind for *_, kind in exchanges} == {"reduce"}
    numbers = sum(
        math.prod(int(n) for n in shape.split(",") if n)
        for types, *_ in exchanges
        for shape in re.findall(r"\[([\d,]*)\]", types)
    )
    gradients = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    assert gradients < numbers < gradients + 16


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_a_training_in_groups_is_that_of_the_large_batch(parallel):
    config = make_config(devices=2, parallel=parallel, accumulate=4)
    assert_same_course(run(make_model("gru"), config), on_one_device("gru", "sequential"))


def test_dropout_on_several_devices_of_one_program_is_that_of_one():
    """By shardings; the devices of a pmap draw masks of their own."""
    model, config = make_model("gru", 0.3), make_config()
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


def test_a_batch_that_a_users_map_cannot_cut_is_named(as_users_run):
    with pytest.raises(ValueError, match="must be a multiple of accumulate = 3, got 16"):
        one_step(None, accumulate=3)


def test_one_device_of_many_is_enough():
    """What is not asked for is not used."""
    _, _, state = run(make_model(), make_config(), steps=1)
    devices = {device for leaf in jax.tree.leaves(state) for device in leaf.sharding.device_set}
    assert devices == {jax.devices()[0]}
