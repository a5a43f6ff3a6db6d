"""The penalty on activations: against NumPy, the published code, and its gradient in training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn.losses import ActivationPenalty, cross_entropy
from jaxrnn.recurrence.boundaries import Context

T, B, F, V = 6, 4, 3, 7
LENGTHS = np.array([6, 2, 0, 5])
MASK = np.random.default_rng(0).random((T, B)) < 0.7
RESETS = np.random.default_rng(1).random((T, B)) < 0.4
FIELDS = {
    "all steps": {},
    "lengths": {"lengths": LENGTHS},
    "a mask": {"mask": MASK},
    "resets": {"resets": RESETS},
    "all of these": {"lengths": LENGTHS, "mask": MASK, "resets": RESETS},
}


def draw(seed):
    return np.random.default_rng(seed).normal(size=(T, B, F)).astype(np.float32)


def slow(penalty, outputs, dropped, lengths=None, mask=None, resets=None):
    """One target after the other."""
    total = 0.0
    for t, b in np.ndindex(T, B):
        if (lengths is not None and t >= lengths[b]) or (mask is not None and not mask[t, b]):
            continue
        total += penalty.activation * np.mean(dropped[t, b].astype(np.float64) ** 2)
        if t > 0 and (resets is None or not resets[t, b]):
            change = outputs[t, b].astype(np.float64) - outputs[t - 1, b]
            total += penalty.temporal * np.mean(change**2)
    return total


@pytest.mark.parametrize("weights", [(2.0, 1.0), (0.5, 0.0), (0.0, 3.0)])
@pytest.mark.parametrize("fields", FIELDS)
def test_a_penalty_is_that_of_each_target_that_counts(fields, weights):
    penalty, outputs, dropped = ActivationPenalty(*weights), draw(2), draw(3)
    batch = jaxrnn.Batch(np.zeros((T, B), int), np.zeros((T, B), int), **FIELDS[fields])
    came = penalty(jnp.asarray(outputs), jnp.asarray(dropped), batch)
    # A sum of 24 numbers of 3 terms each, at 6e-8 a rounding.
    assert float(came) == pytest.approx(slow(penalty, outputs, dropped, **FIELDS[fields]), rel=1e-5)


def test_a_penalty_in_half_precision_is_summed_in_float32():
    half = jnp.asarray(draw(2), jnp.bfloat16)
    batch = jaxrnn.Batch(np.zeros((T, B), int), np.zeros((T, B), int))
    came = ActivationPenalty(2.0, 1.0)(half, half, batch)
    assert came.dtype == jnp.float32
    exact = np.asarray(half.astype(jnp.float32))
    assert float(came) == pytest.approx(slow(ActivationPenalty(2.0, 1.0), exact, exact), rel=1e-5)


def test_the_mean_penalty_is_the_published_one_but_for_a_step():
    """AWD-LSTM's code takes the mean over the T - 1 changes, ours over the T targets."""
    torch = pytest.importorskip("torch")
    outputs, dropped = torch.tensor(draw(2)), torch.tensor(draw(3))
    alpha, beta = 2.0, 1.0
    published = alpha * dropped.pow(2).mean()
    published += beta * (outputs[1:] - outputs[:-1]).pow(2).mean() * (T - 1) / T
    batch = jaxrnn.Batch(np.zeros((T, B), int), np.zeros((T, B), int))
    total = ActivationPenalty(alpha, beta)(jnp.asarray(draw(2)), jnp.asarray(draw(3)), batch)
    assert float(total) / (T * B) == pytest.approx(float(published), rel=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_does_not_count_has_no_influence(value):
    """Neither on the sum nor on a gradient, as of other losses."""
    valid = (np.arange(T)[:, None] < LENGTHS) & np.array([True, True, True, False])
    batch = jaxrnn.Batch(np.zeros((T, B), int), np.zeros((T, B), int), valid, lengths=LENGTHS)
    activations = tuple(map(jnp.asarray, (draw(2), draw(3))))
    spoilt = jax.tree.map(lambda a: jnp.where(valid[..., None], a, value), activations)

    def total(activations):
        return ActivationPenalty(2.0, 1.0)(*activations, batch)

    for came, expected in zip(
        jax.tree.leaves(jax.value_and_grad(total)(spoilt)),
        jax.tree.leaves(jax.value_and_grad(total)(activations)),
        strict=True,
    ):
        np.testing.assert_array_equal(came, expected)


MODEL = jaxrnn.build_language_model(
    jaxrnn.ModelConfig(
        cell="gru", hidden_size=5, embedding_size=4, init="uniform", output_dropout=0.5,
        weight_drop=0.3,
    ),
    V,
)  # fmt: skip


def test_training_adds_the_mean_penalty_to_the_loss_that_it_minimises_and_not_to_the_metrics():
    optimizer = jaxrnn.make_optimizer("sgd", 1.0, None)
    state = jaxrnn.init_state(MODEL, optimizer, V, B, jax.random.key(0))
    ids = np.random.default_rng(0).integers(0, V, (T + 1, B)).astype(np.int32)
    batch = jaxrnn.Batch(ids[:-1], ids[1:], MASK, np.ones(B, bool), LENGTHS, RESETS)
    penalty = ActivationPenalty(2.0, 1.0)
    _, key = jax.random.split(state.key)  # of the dropout of this step
    valid = MASK & (np.arange(T)[:, None] < LENGTHS)

    def mean(params, weight):
        context = Context(lengths=LENGTHS, resets=RESETS, key=key)
        carry = MODEL.initial_carry(params, B)
        activations, _ = MODEL.run_body(params, batch.inputs, carry, context)
        total, _ = cross_entropy(MODEL.run_output(params, activations, context), batch)
        outputs, dropped = activations
        changes = jnp.square(outputs[1:] - outputs[:-1]).mean(-1)[valid[1:] & ~RESETS[1:]]
        added = 2 * jnp.square(dropped).mean(-1)[valid].sum() + changes.sum()
        return (total + weight * added) / valid.sum().astype(np.float32)

    gradient = jax.jit(jax.value_and_grad(mean))
    (alone, _), (_, expected) = gradient(state.params, 0.0), gradient(state.params, 1.0)
    step = jaxrnn.make_train_step(MODEL, optimizer, penalty=penalty)
    new, metrics = jax.jit(step)(state, batch)
    grads = jax.tree.map(lambda old, new: old - new, state.params, new.params)
    for came, wanted in zip(jax.tree.leaves(grads), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(came, wanted, rtol=1e-4, atol=1e-6)  # differences of 0.1 - 0.5
    assert int(metrics.weight) == valid.sum()
    assert float(metrics.loss_sum) / valid.sum() == pytest.approx(float(alone), rel=1e-5)


def test_a_model_without_activations_to_penalise_is_refused(as_users_run):
    layer = jaxrnn.stack([jaxrnn.recurrent(jaxrnn.gru(4)), jaxrnn.linear(V)])
    optimizer = jaxrnn.make_optimizer("sgd", 1.0, None)
    with pytest.raises(TypeError, match="penalty needs a model made by language_model, got Stack"):
        jaxrnn.make_train_step(layer, optimizer, penalty=ActivationPenalty(1.0))
    config = jaxrnn.TrainConfig(activation_penalty=1.0)
    state = jaxrnn.init_state(layer, optimizer, V, config.batch_size, jax.random.key(0))
    with pytest.raises(TypeError, match="penalty needs a model made by language_model"):
        next(jaxrnn.train(layer, optimizer, config, np.zeros(2000, np.int32), state))


def test_a_configuration_without_weights_has_no_penalty():
    assert jaxrnn.TrainConfig().make_penalty() is None
    config = jaxrnn.TrainConfig(activation_penalty=2.0, temporal_penalty=1.0)
    assert config.make_penalty() == ActivationPenalty(2.0, 1.0)
    assert jaxrnn.TrainConfig(temporal_penalty=1.0).make_penalty() == ActivationPenalty(0.0, 1.0)


@pytest.mark.parametrize(
    ("error", "message", "weights"),
    [
        (ValueError, "activation must be between 0 and .*, got -1", (-1.0, 0.0)),
        (ValueError, "temporal must be between 0 and .*, got nan", (0.0, float("nan"))),
        (ValueError, "temporal must be between 0 and .*, got inf", (0.0, float("inf"))),
        (TypeError, "activation must be a number", ("strong", 0.0)),
    ],
)
def test_a_bad_weight_is_named(error, message, weights, as_users_run):
    with pytest.raises(error, match=message):
        ActivationPenalty(*weights)
