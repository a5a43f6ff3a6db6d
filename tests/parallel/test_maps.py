"""The training step within a user's own `jax.pmap` and `jax.shard_map`: gradients of all rows."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from marks import in_matrix
from parallel.runs import CELLS, V, make_config, make_model, make_state

import jaxrnn
from jaxrnn.training import TrainState
from jaxrnn.training.gradient import make_gradient

B, T, N = 16, 6, 4


def mean_nats(logits, targets):
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, targets).mean()


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


@functools.cache
def alone(model, optimizer, accumulate):
    return jax.jit(jaxrnn.make_train_step(model, optimizer, accumulate=accumulate))


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
    if way is None:
        run_step = alone(model, optimizer, accumulate)
    else:
        step = jaxrnn.make_train_step(model, optimizer, axis_name="data", accumulate=accumulate)
        run_step = functools.partial(WAYS[way], step)
    after, metrics = run_step(before, make_batch(mask))
    return before, after, metrics


def assert_close(ours, theirs, tolerance):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


@pytest.mark.parametrize(
    ("way", "cell"),
    [
        ("pmap", CELLS[-1]),
        *in_matrix(
            *(pair for pair in itertools.product(WAYS, CELLS) if pair != ("pmap", CELLS[-1]))
        ),
    ],
)
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
    assert int(told.weight) == int(expected.weight) == mask.sum()
    assert_close(ours.params, theirs.params, 1e-6)
    assert_close(ours.carry, theirs.carry, 1e-6)
    assert_close(told, expected, 1e-6)


def test_the_gradient_is_not_as_many_times_too_large_as_there_are_devices(survived):
    """A checked shard_map sums the derivative by shared parameters over the devices itself.

    The mean of that over the devices, which is right in pmap, leaves it N times too large.
    """
    config = make_config()
    model = make_model("lstm")
    state, batch = make_state(model, config), make_batch()

    def naive(state, batch):
        def loss(params):
            carry = model.initial_carry(params, batch.inputs.shape[1])
            logits, _ = model.apply(params, batch.inputs, carry)
            return optax.losses.softmax_cross_entropy_with_integer_labels(
                logits, batch.targets
            ).mean()

        grads = lax.pmean(jax.grad(loss)(state.params), "data")
        return state.replace(params=grads, carry=state.carry), 0.0

    def ours(state, batch):
        starting = batch._replace(starts=batch.starts | True)
        found = make_gradient(model, axis_name="data")(
            state.params, starting, state.carry, state.key
        )
        return state.replace(params=found.grads, carry=found.carry), 0.0

    def loss(params):
        logits, _ = model.apply(params, batch.inputs, model.initial_carry(params, B))
        return mean_nats(logits, batch.targets)

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
    assert int(metrics.weight) == 0
    for a, b in zip(jax.tree.leaves(after.params), jax.tree.leaves(before.params), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(jax.tree.leaves(after.carry), jax.tree.leaves(before.carry), strict=True):
        np.testing.assert_array_equal(a, b)
    if way:
        survived("several devices: not finite on one", 1)


@pytest.mark.parametrize("way", [*WAYS, None])
@pytest.mark.parametrize("accumulate", [*in_matrix(2), 4])
def test_rows_in_groups_are_the_large_batch(way, accumulate):
    mask = np.random.default_rng(2).random((T, B)) < 0.8
    _, ours, told = one_step(way, mask=mask, accumulate=accumulate)
    _, theirs, expected = one_step(None, mask=mask)
    assert_close(ours.params, theirs.params, 1e-6)
    assert_close(ours.carry, theirs.carry, 1e-6)
    assert_close(told, expected, 1e-6)


def test_a_batch_that_a_users_map_cannot_cut_is_named(as_users_run):
    with pytest.raises(ValueError, match="must be a multiple of accumulate = 3, got 16"):
        one_step(None, accumulate=3)
