"""Losses against PyTorch's, against NumPy, and against the valid targets alone."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn import losses
from jaxrnn.training.batch_loss import mean as batch_mean

T, B, C = 5, 4, 3
LENGTHS = np.array([5, 2, 0, 3])
MASK = np.random.default_rng(0).random((T, B)) < 0.7
ROWS = np.array([True, False, True, True])
VALID = (np.arange(T)[:, None] < LENGTHS) & MASK


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def labels(*shape):
    return np.random.default_rng(1).integers(0, C, shape)


def mean(loss, outputs, targets, **fields):
    total, weight = loss(jnp.asarray(outputs), jaxrnn.Batch(None, targets, **fields))
    return float(total) / float(weight)


def torch_mean(module, outputs, targets):
    torch = pytest.importorskip("torch")
    targets = torch.tensor(targets)
    return float(module(torch)(torch.tensor(outputs), targets))


SMOOTH = functools.partial(losses.cross_entropy, label_smoothing=0.1)
WEIGHTS = [0.5, 2.0, 1.0]
WEIGHTED = functools.partial(losses.cross_entropy, class_weights=WEIGHTS)
BOTH = functools.partial(losses.cross_entropy, class_weights=WEIGHTS, label_smoothing=0.2)
OF_CLASSES = {
    "plain": (losses.cross_entropy, lambda t: t.nn.CrossEntropyLoss()),
    "smooth": (SMOOTH, lambda t: t.nn.CrossEntropyLoss(label_smoothing=0.1)),
    "weighted": (WEIGHTED, lambda t: t.nn.CrossEntropyLoss(weight=t.tensor(WEIGHTS))),
    "both": (
        BOTH,
        lambda t: t.nn.CrossEntropyLoss(weight=t.tensor(WEIGHTS), label_smoothing=0.2),
    ),
}
OF_NUMBERS = {
    "squared": (losses.squared_error, lambda t: t.nn.MSELoss()),
    "absolute": (losses.absolute_error, lambda t: t.nn.L1Loss()),
    "binary": (losses.binary_cross_entropy, lambda t: t.nn.BCEWithLogitsLoss()),
}


@pytest.mark.parametrize("name", [*OF_CLASSES, *OF_NUMBERS])
def test_means_are_those_of_pytorch_over_the_targets_that_count(name):
    if name in OF_CLASSES:
        loss, module = OF_CLASSES[name]
        targets = labels(T, B)
    else:
        loss, module = OF_NUMBERS[name]
        targets = np.random.default_rng(1).random((T, B, C)).astype(np.float32)
    outputs = draw(T, B, C)
    per_step = mean(loss, outputs, targets, lengths=LENGTHS, mask=MASK)
    assert per_step == pytest.approx(torch_mean(module, outputs[VALID], targets[VALID]), rel=1e-5)
    per_sequence = mean(loss, outputs[0], targets[0], mask=ROWS)
    expected = torch_mean(module, outputs[0][ROWS], targets[0][ROWS])
    assert per_sequence == pytest.approx(expected, rel=1e-5)


def test_quantiles_are_where_the_pinball_loss_is_least():
    """For targets 0, 1, ..., 100 the quantile of level q is 100 q."""
    batch = jaxrnn.Batch(None, jnp.arange(101.0))
    for level in (0.1, 0.5, 0.9):
        loss = losses.quantile((level,))
        totals = [float(loss(jnp.full((101, 1), 1.0 * guess), batch)[0]) for guess in range(101)]
        assert np.argmin(totals) == round(100 * level)


def test_quantiles_of_several_features_come_feature_by_feature():
    outputs, targets = draw(T, B, 2 * 3), draw(T, B, 2, seed=1)
    whole = mean(losses.quantile((0.1, 0.5, 0.9)), outputs, targets)
    parts = [
        mean(losses.quantile((q,)), outputs[..., 3 * f + k, None], targets[..., f])
        for f in (0, 1)
        for k, q in enumerate((0.1, 0.5, 0.9))
    ]
    assert whole == pytest.approx(np.mean(parts), rel=1e-5)


@pytest.mark.parametrize(
    "loss", [losses.cross_entropy, BOTH, losses.squared_error, losses.quantile((0.5,))]
)
def test_what_does_not_count_has_no_influence(loss):
    """NaN and -5 in the padding reach neither the sum nor a gradient."""
    outputs, spoilt = draw(T, B, C), draw(T, B, C)
    spoilt[~VALID] = np.nan
    if loss in (losses.cross_entropy, BOTH):
        targets = labels(T, B)
        strange = np.where(VALID, targets, -5)
    else:
        targets = draw(T, B, C, seed=1)
        strange = np.where(VALID[..., None], targets, np.nan)

    def total(outputs, targets):
        batch = jaxrnn.Batch(None, targets, MASK, lengths=LENGTHS)
        return loss(outputs, batch)[0]

    value, grad = jax.value_and_grad(total)(jnp.asarray(spoilt), strange)
    expected, expected_grad = jax.value_and_grad(total)(jnp.asarray(outputs), targets)
    assert float(value) == float(expected)
    np.testing.assert_array_equal(grad, expected_grad)
    assert not grad[~VALID].any()


def test_the_last_step_is_that_of_each_sequence():
    outputs, targets = draw(T, B, C), labels(B)
    batch = jaxrnn.Batch(None, targets, ROWS, lengths=LENGTHS)
    total, weight = losses.at_last_step(losses.cross_entropy)(jnp.asarray(outputs), batch)
    last = [np.zeros(C, np.float32) if n == 0 else outputs[n - 1, b] for b, n in enumerate(LENGTHS)]
    wanted = losses.cross_entropy(jnp.stack(last), jaxrnn.Batch(None, targets, ROWS))
    assert (float(total), int(weight)) == (pytest.approx(float(wanted[0]), rel=1e-6), 3)
    all_steps = losses.at_last_step(losses.cross_entropy)(
        jnp.asarray(outputs), jaxrnn.Batch(None, targets)
    )
    wanted = losses.cross_entropy(jnp.asarray(outputs[-1]), jaxrnn.Batch(None, targets))
    assert float(all_steps[0]) == pytest.approx(float(wanted[0]), rel=1e-6)


def test_accuracy_counts_right_answers():
    outputs, targets = draw(T, B, C), labels(T, B)
    right, number = losses.accuracy(
        jnp.asarray(outputs), jaxrnn.Batch(None, targets, MASK, lengths=LENGTHS)
    )
    assert int(number) == VALID.sum()
    assert int(right) == ((outputs.argmax(-1) == targets) & VALID).sum()


def test_reference_cases_of_perplexity():
    """1 for a perfect model, infinite for probability 0, V for a uniform one."""
    targets = labels(T, B)
    right = np.where(np.eye(C)[targets] > 0, 0.0, -np.inf).astype(np.float32)
    wrong = np.where(np.eye(C)[targets] > 0, -np.inf, 0.0).astype(np.float32)
    assert losses.perplexity(mean(losses.cross_entropy, right, targets)) == 1
    assert losses.perplexity(mean(losses.cross_entropy, wrong, targets)) == math.inf
    uniform = losses.perplexity(mean(losses.cross_entropy, np.zeros_like(right), targets))
    assert uniform == pytest.approx(C, rel=1e-6)
    assert losses.perplexity(1e4) == math.inf


@pytest.mark.parametrize("options", [{}, {"class_weights": [1.0, 1.0, 1.0]}])
def test_a_class_that_is_excluded_costs_nothing_where_it_is_not_the_target(options):
    batch = jaxrnn.Batch(jnp.ones((1, 1, 1)), jnp.array([0]))
    logits = jnp.array([[0.0, 0.0, -jnp.inf]])
    nats, _ = losses.cross_entropy(logits, batch, **options)
    np.testing.assert_allclose(nats, np.log(2), rtol=1e-6)


def test_sums_of_half_precision_are_computed_in_float32():
    batch = jaxrnn.Batch(jnp.ones((1023, 1, 1)), None)
    ones = jnp.ones((1023, 1), jnp.bfloat16)
    assert [float(number) for number in losses.sum_valid(ones, batch, ones)] == [1023, 1023]
    np.testing.assert_allclose(batch_mean(jnp.float16(3e4), 65536), 3e4 / 65536, rtol=1e-3)


@pytest.mark.parametrize("dtype", [bool, jnp.int8, jnp.uint8, jnp.int32])
@pytest.mark.parametrize("lengths", [None, np.array([299, 1])])
def test_booleans_and_integers_are_counted(dtype, lengths):
    """A metric of one's own may be `outputs.argmax(-1) == targets`."""
    batch = jaxrnn.Batch(jnp.ones((300, 2, 1)), None, lengths=lengths)
    ones = jnp.ones((300, 2), dtype)
    number = 600 if lengths is None else 300
    for weights in (None, ones):
        assert [float(x) for x in losses.sum_valid(ones, batch, weights)] == [number, number]


def test_bits_are_nats_over_log_two():
    assert losses.bits_per_character(math.log(8)) == pytest.approx(3)


def test_a_class_out_of_range_is_an_error_or_nan(as_users_run):
    outputs = jnp.zeros((T, B, C))

    def nats(targets):
        return losses.cross_entropy(outputs, jaxrnn.Batch(None, targets))[0]

    for wrong in (-1, -100, C):
        targets = labels(T, B)
        targets[0, 0] = wrong
        with pytest.raises(ValueError, match=rf"targets must lie in 0\.\.2, got {wrong}"):
            nats(targets)
        assert np.isnan(jax.jit(nats)(targets))


STEPS = jnp.zeros((T, B, C))
WRONG = {
    "float classes": (losses.cross_entropy, STEPS, np.zeros((T, B)), {}, TypeError, "integers"),
    "classes of other shape": (
        losses.cross_entropy, STEPS, labels(B), {}, ValueError, r"targets.*\(5, 4\).*\(4,\)"),
    "a mask of numbers": (
        losses.cross_entropy, STEPS, labels(T, B), {"mask": np.ones((T, B))}, TypeError,
        "mask must be bool"),
    "a mask of other shape": (
        losses.cross_entropy, STEPS, labels(T, B), {"mask": np.ones((T, 2), bool)}, ValueError,
        r"mask must have shape \(5, 4\)"),
    "too few class weights": (
        functools.partial(losses.cross_entropy, class_weights=[1.0]), STEPS, labels(T, B), {},
        ValueError, r"class_weights must be \[3\], got \[1\]"),
    "smoothing of 2": (
        functools.partial(losses.cross_entropy, label_smoothing=2.0), STEPS, labels(T, B), {},
        ValueError, "label_smoothing must be between 0 and 1"),
    "numbers of other shape": (
        losses.squared_error, STEPS, np.zeros((T, B)), {}, ValueError,
        r"targets must have the shape \(5, 4, 3\).*\(5, 4\)"),
    "no numbers": (
        losses.squared_error, STEPS, np.full((T, B, C), "a"), {}, TypeError,
        "targets must be numbers"),
    "outputs without features": (
        losses.squared_error, STEPS[0, 0], np.zeros(C), {}, ValueError, "outputs must be"),
    "columns that are no quantiles": (
        losses.quantile((0.1, 0.9)), STEPS, np.zeros((T, B)), {}, ValueError, "multiple of 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_named(name, as_users_run):
    loss, outputs, targets, fields, kind, message = WRONG[name]
    with pytest.raises(kind, match=message):
        loss(outputs, jaxrnn.Batch(None, targets, **fields))


@pytest.mark.parametrize("levels", [(), (1.5,), ("a",), np.array([0.5, 2.0])])
def test_levels_must_be_probabilities(levels, as_users_run):
    with pytest.raises((TypeError, ValueError), match="levels"):
        losses.quantile(levels)
