"""Dynamic evaluation, against loops over segments, in NumPy for a model without a carry."""

import functools
import itertools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from generation.slow_loop import VOCABULARY, V, log_softmax
from marks import in_matrix

import jaxrnn
from jaxrnn.scoring import dynamic_score, mean_squared_gradients

RULES = {
    "sgd": {"learning_rate": 0.3},
    "sgd with decay": {"learning_rate": 0.3, "decay": 0.2},
    "rms": {"learning_rate": 0.05, "epsilon": 1e-3},
    # So much decay that the bound of 1 is met by parameters with large gradients.
    "rms with decay": {"learning_rate": 0.05, "decay": 0.5, "epsilon": 1e-3},
}
TEXT = np.random.default_rng(0).integers(0, V, 23).astype(np.int32)


@dataclass(frozen=True, repr=False)
class Unigram(jaxrnn.Layer):
    """A model that gives each token the same probability wherever it stands."""

    vocab_size: int = V
    singular_after: int = -1
    """A token after which the logits are NaN."""

    def output_size(self, input_size):
        return self.vocab_size

    def run(self, params, inputs, carry, context):
        scale = jnp.where(inputs == self.singular_after, jnp.nan, jnp.ones((), params.dtype))
        return scale[..., None] * params[None, None], carry


def with_mean_squares(rule, params, seed=0):
    """The arguments of a rule, with random mean squares of all sizes for RMS."""
    if "epsilon" not in rule:
        return rule
    generator = np.random.default_rng(seed)

    def squares_like(param):
        return jnp.asarray(generator.uniform(0, 1, param.shape) ** 4, param.dtype)

    return rule | {"mean_squares": jax.tree.map(squares_like, params)}


def moved(params, grads, given, learning_rate, decay=0.0, mean_squares=None, epsilon=None):
    """One step of either rule, in NumPy, with the paper's bound on r / mean(r)."""
    if mean_squares is None:
        divisors, factors = (jax.tree.map(np.ones_like, params) for _ in range(2))
    else:
        roots = jax.tree.map(np.sqrt, mean_squares)
        mean = np.concatenate([np.ravel(root) for root in jax.tree.leaves(roots)]).mean()
        bound = 1 / decay if decay else np.inf
        divisors = jax.tree.map(lambda root: root + epsilon, roots)
        factors = jax.tree.map(lambda root: np.minimum(root / mean, bound), roots)

    def step(p, g, p0, divisor, factor):
        return p - learning_rate * g / divisor + decay * factor * (p0 - p)

    return jax.tree.map(step, params, grads, given, divisors, factors)


@functools.partial(jax.jit, static_argnums=0)
def read_segment(model, params, carry, inputs, targets, weights):
    """The logits, the carry behind, and the gradient of the weighted sum of cross-entropies."""

    def loss(params):
        logits, after = model.apply(params, inputs[:, None], carry)
        chosen = jnp.take_along_axis(logits[:, 0], targets[:, None], axis=-1)[:, 0]
        nats = jax.nn.logsumexp(logits[:, 0], axis=-1) - chosen
        return (weights * nats).sum(), (logits[:, 0], after)

    gradient, (logits, after) = jax.grad(loss, has_aux=True)(params)
    return logits, after, gradient


def slow_dynamic_score(model, params, ids, mask, num_steps, rule):
    """The log-probability of each token after the first, segment by segment."""
    carry, of_tokens = model.initial_carry(params, 1), []
    given = params = jax.tree.map(np.asarray, params)
    for start in range(0, len(ids) - 1, num_steps):
        end = min(start + num_steps, len(ids) - 1)
        inputs, targets, kept = ids[start:end], ids[start + 1 : end + 1], mask[start + 1 : end + 1]
        weights = kept / max(kept.sum(), 1)
        logits, carry, grads = read_segment(model, params, carry, inputs, targets, weights)
        nats = log_softmax(np.asarray(logits))
        of_tokens += list(np.where(kept, nats[np.arange(end - start), targets], 0))
        params = moved(params, jax.tree.map(np.asarray, grads), given, **rule)
    return np.array(of_tokens)


def in_float64(params):
    """Parameters with which all but the last few digits tell a wrong rule from rounding."""
    return jax.tree.map(lambda param: param.astype(jnp.float64), params)


EVERY_PAIR = itertools.product(RULES, (5, 11, 30))
PAIRS = [*((name, 5) for name in RULES), ("rms with decay", 11), ("sgd", 30)]
PAIRS += in_matrix(*(pair for pair in EVERY_PAIR if pair not in PAIRS))


@pytest.mark.parametrize(("name", "num_steps"), PAIRS)
def test_segments_are_scored_before_the_model_learns_from_them(
    name, num_steps, model_and_params, x64
):
    """22 targets: a last segment of two, two whole segments, and less than one."""
    model, params = model_and_params
    params = in_float64(params)
    arguments = with_mean_squares(RULES[name], params)
    mask = np.ones(len(TEXT), bool)
    expected = slow_dynamic_score(model, params, TEXT, mask, num_steps, arguments)
    came = dynamic_score(model, params, TEXT, num_steps=num_steps, **arguments)
    # float64 sums of a dozen terms; parameters move by up to 0.05 / 1e-3 times a gradient
    np.testing.assert_allclose(came.token_log_probabilities, expected, rtol=1e-9, atol=1e-9)
    assert came.log_probability == pytest.approx(expected.sum(), rel=1e-9)
    assert came.perplexity == pytest.approx(np.exp(-expected.mean()), rel=1e-9)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_masked_tokens_are_read_but_neither_scored_nor_learnt_from(rule, model_and_params, x64):
    """Single ones, a whole segment of them, and the last token."""
    model, params = model_and_params
    params = in_float64(params)
    arguments = with_mean_squares(rule, params)
    mask = np.ones(len(TEXT), bool)
    mask[[3, 4, 17, 22]] = mask[6:11] = False
    expected = slow_dynamic_score(model, params, TEXT, mask, 5, arguments)
    came = dynamic_score(model, params, TEXT, mask, num_steps=5, **arguments)
    np.testing.assert_allclose(came.token_log_probabilities, expected, rtol=1e-9, atol=1e-9)
    assert not came.token_log_probabilities[~mask[1:]].any()
    assert came.perplexity == pytest.approx(np.exp(-expected.sum() / mask[1:].sum()), rel=1e-9)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_model_without_a_carry_learns_as_the_closed_form_says(rule, x64):
    """The gradient of the cross-entropy of a segment is softmax(logits) - frequencies."""
    given = np.linspace(-1, 1, V)
    arguments = with_mean_squares(rule, given)
    params, expected = given, []
    for start in range(0, len(TEXT) - 1, 4):
        targets = TEXT[1:][start : start + 4]
        expected += list(log_softmax(params)[targets])
        gradient = np.exp(log_softmax(params)) - np.bincount(targets, minlength=V) / len(targets)
        params = moved(params, gradient, given, **arguments)
    came = dynamic_score(Unigram(), jnp.asarray(given), TEXT, num_steps=4, **arguments)
    # float64 logits of size 30: a log-probability near 0 is their difference
    np.testing.assert_allclose(came.token_log_probabilities, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("length", [6, 13, *in_matrix(2, 5, 11)])
def test_without_a_learning_rate_it_is_the_score(length, model_and_params):
    model, params = model_and_params
    mask = np.arange(length) != 3
    came = dynamic_score(
        model, params, TEXT[:length], mask, learning_rate=0, decay=0.1, num_steps=5
    )
    for value, expected in zip(came, jaxrnn.score(model, params, TEXT[:length], mask), strict=True):
        # float32 logits of size 3, computed five steps at a time instead of all at once
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("place", [1, 7, 10, 22])
def test_a_token_changes_no_score_before_its_own(rule, place, model_and_params):
    """Nothing changes to the last bit: within a segment, at its ends, at the end of the text."""
    model, params = model_and_params
    arguments = with_mean_squares(rule, params)
    changed = TEXT.copy()
    changed[place] = (changed[place] + 1) % V
    first, second = (
        dynamic_score(model, params, ids, num_steps=5, **arguments).token_log_probabilities
        for ids in (TEXT, changed)
    )
    np.testing.assert_array_equal(first[: place - 1], second[: place - 1])
    assert first[place - 1] != second[place - 1]


@pytest.mark.parametrize("seed", range(3))
def test_what_repeats_becomes_easier(seed):
    """An untrained model guesses; one that learns knows the text's period in the end."""
    model = jaxrnn.language_model(V, jaxrnn.recurrent(jaxrnn.gru(8)))
    params = model.init(jax.random.key(seed), V)
    ids = np.tile(VOCABULARY.encode("abcab d"), 30)
    squares = mean_squared_gradients(model, params, ids, batch_size=3, num_steps=7)
    static = jaxrnn.score(model, params, ids).perplexity
    assert static > 0.7 * V
    for arguments in (
        {"learning_rate": 2.0},
        {"learning_rate": 0.01, "mean_squares": squares, "decay": 1e-4},
    ):
        came = dynamic_score(model, params, ids, num_steps=7, **arguments)
        assert came.perplexity < 0.8 * static
        in_the_end = np.exp(-came.token_log_probabilities[-7:].mean())
        assert in_the_end < 0.5 * static


def test_a_decay_of_one_keeps_the_last_step_alone(x64):
    """p0 - learning_rate * g, from p0 = 0, and with the gradient where the parameters were."""
    ids = np.array([0, *[1] * 4, *[2] * 4, *[3] * 4])
    came = dynamic_score(Unigram(), jnp.zeros(V), ids, learning_rate=1.0, decay=1.0, num_steps=4)
    after_first = np.eye(V)[1] - 1 / V
    after_second = np.eye(V)[2] - np.exp(log_softmax(after_first))
    expected = -np.log(V), log_softmax(after_first)[2], log_softmax(after_second)[3]
    np.testing.assert_allclose(came.token_log_probabilities, np.repeat(expected, 4), rtol=1e-12)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_segment_without_a_finite_gradient_teaches_nothing(rule, x64):
    given = np.linspace(-1, 1, V)
    arguments = with_mean_squares(rule, given)
    model = Unigram(singular_after=V - 1)
    ids = np.array([0, 1, 2, 1, 0, V - 1, 2, 1, 0, 0, 1, 0, 0])
    params, expected = given, []
    for start in (0, 4, 8):
        targets = ids[1:][start : start + 4]
        expected += list(log_softmax(params)[targets])
        if start != 4:
            gradient = np.exp(log_softmax(params)) - np.bincount(targets, minlength=V) / 4
            params = moved(params, gradient, given, **arguments)
    expected[5] = np.nan
    came = dynamic_score(model, jnp.asarray(given), ids, num_steps=4, **arguments)
    np.testing.assert_allclose(came.token_log_probabilities, expected, rtol=1e-12)


def test_an_impossible_token_is_infinitely_surprising_and_changes_nothing(peaked):
    """Parameters that are -inf cannot move, so that the model does not."""
    model, params, _ = peaked
    bias = params.output.bias.at[2].set(-jnp.inf)
    params = params._replace(output=params.output._replace(bias=bias))
    ids = np.array([1, 1, 1, 2, 1, 1], np.int32)
    came = dynamic_score(model, params, ids, learning_rate=0.1, decay=0.1, num_steps=2)
    for value, expected in zip(came, jaxrnn.score(model, params, ids), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-6)  # sums of two or five float32


def test_the_given_parameters_stay_as_they_are(model_and_params):
    model, params = model_and_params
    before = jax.tree.map(np.array, params)
    dynamic_score(model, params, TEXT, learning_rate=0.1, num_steps=5)
    jax.tree.map(np.testing.assert_array_equal, params, before)


@pytest.mark.parametrize("length", [3, 10])
def test_it_runs_without_compilation(length):
    params, arguments = jnp.zeros(V), {"learning_rate": 0.5, "num_steps": 4}
    expected = dynamic_score(Unigram(), params, TEXT[:length], **arguments)
    with jax.disable_jit():
        came = dynamic_score(Unigram(), params, TEXT[:length], **arguments)
    for value, compiled in zip(came, expected, strict=True):
        np.testing.assert_allclose(value, compiled, rtol=1e-6)  # float32 sums of up to nine terms


def test_mean_squares_are_of_the_gradients_of_single_rows(model_and_params, x64):
    """The text is three rows of 15 tokens, each in three segments of 5; the 46th is a target."""
    model, params = model_and_params
    params = in_float64(params)
    ids = np.random.default_rng(1).integers(0, V, 46).astype(np.int32)
    squares = []
    for row in range(3):
        carry = model.initial_carry(params, 1)
        for start in range(15 * row, 15 * row + 15, 5):
            inputs, targets = ids[start : start + 5], ids[start + 1 : start + 6]
            _, carry, grads = read_segment(model, params, carry, inputs, targets, np.full(5, 0.2))
            squares.append(jax.tree.map(np.square, grads))
    expected = jax.tree.map(lambda *of_segments: sum(of_segments) / 9, *squares)
    came = mean_squared_gradients(model, params, ids, batch_size=3, num_steps=5)
    assert jax.tree.structure(came) == jax.tree.structure(params)
    for value, leaf in zip(jax.tree.leaves(came), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(value, leaf, rtol=1e-9, atol=1e-14)  # float64 sums


def test_mean_squares_of_parameters_in_half_precision_are_summed_in_float32():
    """In bfloat16 a sum of a thousand squares stops growing at some 256 times the first."""
    ids = np.random.default_rng(0).integers(0, V, 4001)
    came = mean_squared_gradients(Unigram(), jnp.zeros(V, jnp.bfloat16), ids, num_steps=4)
    expected = mean_squared_gradients(Unigram(), jnp.zeros(V), ids, num_steps=4)
    assert came.dtype == jnp.bfloat16
    np.testing.assert_allclose(came.astype(jnp.float32), expected, rtol=0.02)  # two roundings


@pytest.mark.parametrize("batch_size", [2, 3, 12])
def test_the_batch_size_does_not_change_mean_squares(batch_size):
    """But for the carries at the rows' beginnings, of which this model has none."""
    ids, params = np.random.default_rng(2).integers(0, V, 49), jnp.linspace(-1, 1, V)
    came, expected = (
        mean_squared_gradients(Unigram(), params, ids, batch_size=size, num_steps=4)
        for size in (batch_size, 1)
    )
    np.testing.assert_allclose(came, expected, rtol=1e-5)  # float32 sums of twelve squares


def test_mean_squares_grow_with_the_noise_of_short_segments():
    """Tokens are independent, and the model knows their frequencies: a variance over T."""
    ids = np.random.default_rng(3).integers(0, V, 8001)
    for num_steps in (1, 5, 20):
        came = mean_squared_gradients(Unigram(), jnp.zeros(V), ids, num_steps=num_steps)
        expected = (1 / V) * (1 - 1 / V) / num_steps
        # 400 squares, whose deviation is about sqrt(2) times their mean: four standard errors
        np.testing.assert_allclose(came, expected, rtol=0.3)


ZEROS = jnp.zeros(V)
SEES_THE_FUTURE = jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.gru(2)))


@pytest.mark.parametrize(
    ("error", "message", "changes"),
    [
        (TypeError, "model must be of type Layer", {"model": 3}),
        (ValueError, "model must be causal", {"model": SEES_THE_FUTURE}),
        (ValueError, "ids must be one text", {"ids": np.zeros((3, 2), int)}),
        (ValueError, "ids must hold at least 2 tokens, got 1", {"ids": np.array([0])}),
        (ValueError, f"ids must lie in 0..{V - 1}, got {V}", {"ids": np.array([0, V])}),
        (TypeError, "ids must be integers", {"ids": np.array([0.0, 1.0])}),
        (ValueError, "mask must have shape", {"mask": np.array([True])}),
        (ValueError, "learning_rate must be .* got -1", {"learning_rate": -1}),
        (ValueError, "learning_rate must be .* got inf", {"learning_rate": np.inf}),
        (TypeError, "learning_rate must be a number", {"learning_rate": "fast"}),
        (ValueError, "decay must be between 0 and 1, got 1.5", {"decay": 1.5}),
        (ValueError, "num_steps must be at least 1, got 0", {"num_steps": 0}),
        (ValueError, "epsilon must be above 0, got 0", {"epsilon": 0.0}),
        (TypeError, "mean_squares must be a ", {"mean_squares": {"bias": ZEROS}}),
        (ValueError, "mean_squares must have shape", {"mean_squares": jnp.ones(V + 1)}),
        (ValueError, "mean_squares must not be 0 everywhere", {"mean_squares": ZEROS}),
        (ValueError, "must be finite .* got nan", {"mean_squares": ZEROS.at[1].set(jnp.nan)}),
        (ValueError, "must be finite .* got -1", {"mean_squares": ZEROS.at[1].set(-1)}),
    ],
)
def test_wrong_arguments_are_named(error, message, changes, as_users_run):
    arguments = {"model": Unigram(), "params": ZEROS, "ids": TEXT, "learning_rate": 0.1}
    with pytest.raises(error, match=message):
        dynamic_score(**(arguments | changes))


@pytest.mark.parametrize(
    ("error", "message", "changes"),
    [
        (ValueError, "model must be causal", {"model": SEES_THE_FUTURE}),
        (ValueError, "must have at least 321 tokens", {"ids": TEXT}),
        (ValueError, f"ids must lie in 0..{V - 1}, got {V}", {"ids": np.full(400, V)}),
        (ValueError, "batch_size must be at least 1, got 0", {"batch_size": 0}),
        (ValueError, "num_steps must be at least 1, got 0", {"num_steps": 0}),
    ],
)
def test_wrong_arguments_of_mean_squares_are_named(error, message, changes, as_users_run):
    arguments = {"model": Unigram(), "params": ZEROS, "ids": np.zeros(400, int)}
    with pytest.raises(error, match=message):
        mean_squared_gradients(**(arguments | changes))
