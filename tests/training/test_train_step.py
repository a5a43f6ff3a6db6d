"""One training step against the book's recipe, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from marks import in_matrix

import jaxrnn
from jaxrnn import losses

V, T, B = 9, 5, 3


@pytest.fixture(params=[*in_matrix("rnn", "gru"), "lstm"])
def model(request):
    return jaxrnn.build_language_model(
        jaxrnn.ModelConfig(cell=request.param, hidden_size=6, init="uniform"), V
    )


def make_state(model, optimizer, seed=0):
    return jaxrnn.init_state(model, optimizer, V, B, jax.random.key(seed))


def make_batch(starts, seed=0, mask=None):
    ids = np.random.default_rng(seed).integers(0, V, (T + 1, B)).astype(np.int32)
    return jaxrnn.Batch(ids[:-1], ids[1:], mask, np.array(starts))


def test_a_step_is_the_books_recipe(model):
    """Loss, gradient, clipping and SGD written out."""
    optimizer = jaxrnn.make_optimizer("sgd", 2.0, 0.05)
    state, batch = make_state(model, optimizer), make_batch([True] * B)

    def loss(params):
        carry = model.initial_carry(params, B)
        logits, _ = model.apply(params, batch.inputs, carry)
        return optax.losses.softmax_cross_entropy_with_integer_labels(logits, batch.targets).mean()

    value, grads = jax.jit(jax.value_and_grad(loss))(state.params)
    norm = np.sqrt(sum(np.square(g).sum() for g in jax.tree.leaves(grads)))
    expected = jax.tree.map(lambda p, g: p - 2.0 * g * min(1, 0.05 / norm), state.params, grads)
    new, metrics = jax.jit(jaxrnn.make_train_step(model, optimizer))(state, batch)
    for a, b in zip(jax.tree.leaves(new.params), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    assert float(metrics.loss_sum) / int(metrics.weight) == pytest.approx(float(value), rel=1e-6)
    assert float(metrics.grad_norm) == pytest.approx(norm, rel=1e-5)
    assert new.step == 1


def test_clipping_keeps_the_direction_and_bounds_the_norm():
    grads = {"a": jnp.array([3.0, 4.0]), "b": jnp.array([[12.0]])}  # norm 13
    for limit in (0.5, 13.0, 20.0):
        optimizer = jaxrnn.make_optimizer("sgd", 1.0, limit)
        updates, _ = optimizer.update(grads, optimizer.init(grads))
        scale = min(1.0, limit / 13.0)
        for name, grad in grads.items():
            np.testing.assert_allclose(updates[name], -scale * grad, rtol=1e-6)
        assert optax.tree.norm(updates) <= limit * (1 + 1e-6)


def test_the_carry_goes_on_only_in_rows_that_do_not_start(model):
    optimizer = jaxrnn.make_optimizer("sgd", 1.0, None)
    step = jax.jit(jaxrnn.make_train_step(model, optimizer))
    state, _ = step(make_state(model, optimizer), make_batch([True] * B, seed=1))
    second = make_batch([True, False, True], seed=2)
    after, _ = step(state, second)

    def carry_from(start):
        return model.apply(state.params, second.inputs, start)[1]

    anew, onward = carry_from(model.initial_carry(state.params, B)), carry_from(state.carry)
    for came, fresh, old in zip(*map(jax.tree.leaves, (after.carry, anew, onward)), strict=True):
        np.testing.assert_allclose(came[jnp.array([0, 2])], fresh[jnp.array([0, 2])], atol=1e-7)
        np.testing.assert_allclose(came[1], old[1], atol=1e-7)
        assert not np.allclose(came[1], fresh[1])


def test_no_gradient_reaches_back_through_the_carry(model):
    """Truncated back-propagation: the update depends on the carry's value alone."""
    optimizer = jaxrnn.make_optimizer("sgd", 1.0, None)
    step = jax.jit(jaxrnn.make_train_step(model, optimizer))
    state, _ = step(make_state(model, optimizer), make_batch([True] * B, seed=1))
    batch = make_batch([False] * B, seed=2)

    def loss(params):
        logits, _ = model.apply(params, batch.inputs, state.carry)
        return optax.losses.softmax_cross_entropy_with_integer_labels(logits, batch.targets).mean()

    expected = jax.tree.map(lambda p, g: p - g, state.params, jax.jit(jax.grad(loss))(state.params))
    for a, b in zip(
        jax.tree.leaves(step(state, batch)[0].params), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_masked_tokens_do_not_count(model):
    optimizer = jaxrnn.make_optimizer("sgd", 0.01, None)
    step = jax.jit(jaxrnn.make_train_step(model, optimizer))
    mask = np.ones((T, B), bool)
    mask[:, 0] = False
    batch = make_batch([True] * B, mask=mask)
    other = batch._replace(targets=batch.targets.copy())
    other.targets[:, 0] = 0
    (state, metrics), (same, _) = (step(make_state(model, optimizer), b) for b in (batch, other))
    assert metrics.weight == T * (B - 1)
    for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(same.params), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["adam", *in_matrix("sgd", "adamw", "rmsprop", "lion")])
def test_any_optimizer_of_optax_trains(model, name):
    optimizer = jaxrnn.make_optimizer(name, 0.01, 1.0)
    step, state = jax.jit(jaxrnn.make_train_step(model, optimizer)), make_state(model, optimizer)
    losses = []
    for _ in range(20):
        with jax.numpy_dtype_promotion("standard"):  # optax's own counters are not strict
            state, metrics = step(state, make_batch([True] * B))
        losses.append(float(metrics.loss_sum) / int(metrics.weight))
    assert losses[-1] < losses[0]


def test_every_leaf_of_the_state_is_strongly_typed(model):
    """Weak types are lost in a checkpoint: the restored state would compile anew."""
    optimizer = jaxrnn.make_optimizer("adam", 0.01, 1.0)
    state = make_state(model, optimizer)
    with jax.numpy_dtype_promotion("standard"):  # optax's own counters are not strict
        new, _ = jax.jit(jaxrnn.make_train_step(model, optimizer))(state, make_batch([True] * B))
    for leaf in jax.tree.leaves((state, new)):
        assert not leaf.aval.weak_type


def test_a_mask_does_not_hide_padding_from_a_model_that_is_not_causal(as_users_run):
    reader = jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.gru(4)))
    tagger = jaxrnn.language_model(V, reader, allow_future=True)
    optimizer = jaxrnn.make_optimizer("sgd", 0.1, None)
    step = jax.jit(jaxrnn.make_train_step(tagger, optimizer))
    state, mask = make_state(tagger, optimizer), np.arange(T)[:, None] < np.array([T, 3, 1])
    with pytest.raises(ValueError, match=r"mask needs batch\.lengths for a model that"):
        step(state, make_batch([True] * B, mask=mask))
    _, metrics = step(state, make_batch([True] * B))
    assert metrics.weight == T * B


def test_targets_of_whole_sequences_are_divided_into_groups_whatever_their_sizes():
    """As many numbers as steps and rows: `[B, F]` looks like `[T, B]`."""
    model, optimizer = jaxrnn.regressor(jaxrnn.recurrent(jaxrnn.gru(3)), 4), optax.sgd(0.1)
    state = jaxrnn.init_state(model, optimizer, 2, batch_size=4, key=jax.random.key(0))
    inputs, targets = (jax.random.normal(jax.random.key(n), (4, 4, 6)) for n in (1, 2))
    batch = jaxrnn.Batch(inputs[..., :2], targets[0, :, :4])
    alone, groups = (
        jaxrnn.make_train_step(model, optimizer, losses.squared_error, accumulate=n)(state, batch)
        for n in (1, 2)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), alone[0].params, groups[0].params
    )


def test_groups_of_rows_that_carry_nothing_need_no_carry_of_their_number():
    model = jaxrnn.classifier(jaxrnn.recurrent(jaxrnn.gru(4)), 3)
    optimizer = optax.sgd(0.1)
    state = jaxrnn.init_state(model, optimizer, 2, batch_size=1, key=jax.random.key(0))
    inputs = jax.random.normal(jax.random.key(1), (5, 8, 2))
    batch = jaxrnn.Batch(inputs, jnp.arange(8) % 3)
    (alone, _), (groups, _) = (
        jaxrnn.make_train_step(model, optimizer, accumulate=n)(state, batch) for n in (1, 4)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), alone.params, groups.params
    )
    jax.tree.map(np.testing.assert_array_equal, groups.carry, state.carry)
