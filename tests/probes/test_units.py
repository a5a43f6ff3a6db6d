"""What units know: correlations, linear probes, features of a text, saturation, pictures."""

import io
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn import probes
from jaxrnn.probes.gates import Gate
from jaxrnn.probes.trace import LayerTrace


def test_correlations_are_pearsons():
    random = np.random.default_rng(0)
    states, targets = random.normal(size=(50, 6)), random.normal(size=50)
    expected = [np.corrcoef(unit, targets)[0, 1] for unit in states.T]
    np.testing.assert_allclose(probes.correlations(states, targets), expected, atol=1e-12)


def test_a_unit_that_never_changes_correlates_with_nothing():
    assert probes.correlations(np.full((4, 2), 0.1), np.arange(4.0)).tolist() == [0, 0]
    assert probes.correlations(np.arange(6.0).reshape(3, 2), np.full(3, 0.1)).tolist() == [0, 0]


def test_a_unit_that_changes_only_where_it_is_judged_has_no_weight():
    states = np.random.default_rng(0).normal(size=(100, 2))
    states[:80, 1] = 0.1
    probe = probes.linear_probe(states, states[:, 0])
    assert probe.weights[1] == 0
    assert probe.r2 > 0.99


def test_targets_that_are_equal_where_they_are_judged_have_no_share():
    states = np.random.default_rng(0).normal(size=(20, 2))
    targets = states[:, 0].copy()
    targets[-6:] = 0.1  # whose mean is not quite 0.1
    assert np.isnan(probes.linear_probe(states, targets, held_out=0.3).r2)


def test_a_linear_probe_is_ridge_regression_judged_at_later_steps():
    random = np.random.default_rng(1)
    states = random.normal(size=(200, 5)) * [1, 2, 3, 4, 5] + 7
    targets = states @ [1.0, 0, -2, 0, 0.5] + random.normal(size=200)
    probe = probes.linear_probe(states, targets, ridge=3.0)
    learnt = slice(0, 160)
    scale, mean = states[learnt].std(axis=0), states[learnt].mean(axis=0)
    units = (states[learnt] - mean) / scale
    centred = targets[learnt] - targets[learnt].mean()
    weights = np.linalg.inv(units.T @ units + 3 * np.eye(5)) @ units.T @ centred / scale
    np.testing.assert_allclose(probe.weights, weights, atol=1e-10)
    predicted = states[160:] @ probe.weights + probe.bias
    left = np.square(targets[160:] - predicted).sum()
    around_mean = np.square(targets[160:] - targets[160:].mean()).sum()
    assert probe.r2 == pytest.approx(1 - left / around_mean, abs=1e-10)


def test_without_a_penalty_units_may_depend_on_each_other():
    states = np.random.default_rng(0).normal(size=(40, 2))
    states = np.concatenate([states, states], axis=1)
    probe = probes.linear_probe(states, states[:, 0], ridge=0.0)
    assert probe.r2 == pytest.approx(1)


@pytest.mark.parametrize(
    ("states", "targets", "more", "error"),
    [
        (np.ones(3), np.ones(3), {}, r"states must be \[T, H\]"),
        (np.ones((3, 2)), np.ones(4), {}, r"targets must have shape \[T\]"),
        (np.full((3, 2), np.nan), np.ones(3), {}, "states must be finite"),
        (np.ones((3, 2)), np.ones(3), {"held_out": 0.0}, "held_out must leave steps"),
        (np.ones((3, 2)), np.ones(3), {"held_out": 1.5}, "held_out must be between 0 and 1"),
        (np.ones((3, 2)), np.ones(3), {"ridge": -1.0}, "ridge must be at least 0"),
    ],
)
def test_errors_name_the_argument(states, targets, more, error, as_users_run):
    with pytest.raises(ValueError, match=error):
        probes.linear_probe(states, targets, **more)


@pytest.mark.parametrize(
    ("text", "feature", "expected"),
    [
        ('a "b" c\n', "inside quotes", "00110000"),
        ("“a” b", "inside quotes", "11000"),
        ('"a\n\nb" c', "inside quotes", "11100111"),  # a paragraph ends it; the next one opens
        ("f(a[1])x", "inside brackets", "01111100"),
        ("ab c\nd", "place in word", "120101"),
        ("aB1, ", "capital", "01000"),
        ("aB1, ", "digit", "00100"),
        ("aB1, ", "punctuation", "00010"),
        ("aB1, ", "white space", "00001"),
    ],
)
def test_features_of_a_text(text, feature, expected):
    found = probes.text_features(text)[feature].astype(int)
    assert found.tolist() == [int(digit) for digit in expected]


def test_the_place_in_a_line_is_a_share_of_the_longest():
    found = probes.text_features("ab\nabcd\n")["place in line"]
    np.testing.assert_allclose(found, [0.25, 0.5, 0, 0.25, 0.5, 0.75, 1, 0])


def test_features_that_never_change_are_left_out():
    assert set(probes.text_features("abc")) == {"place in line", "place in word"}
    assert probes.text_features("") == {}


def test_features_of_words_are_those_after_the_word():
    found = probes.text_features(["He", "said:", '"No', 'one."', "left"])
    assert found["inside quotes"].tolist() == [0, 0, 1, 0, 0]


def trace_of(valid=None, **gates):
    shape = next(iter(gates.values())).shape
    return LayerTrace(
        "layer 1",
        jaxrnn.lstm(shape[-1]),
        jaxrnn.HiddenCarry(jnp.zeros(shape)),
        {name: Gate(value, value, "sigmoid") for name, value in gates.items()},
        valid,
    )


def test_saturation_counts_valid_steps_near_either_end():
    values = jnp.array([0.05, 0.5, 0.95, 0.99])[:, None, None]
    values = jnp.concatenate([values, jnp.full_like(values, 0.01)], axis=1)
    valid = np.arange(4)[:, None] < np.array([4, 1])
    found = probes.saturation(trace_of(valid, forget=values))
    assert found["forget"].low.tolist() == [2 / 5]
    assert found["forget"].high.tolist() == [2 / 5]
    wider = probes.saturation(trace_of(forget=values[:, :1]), margin=0.5)
    assert wider["forget"].high.tolist() == [0.5]


def test_only_functions_with_two_ends_saturate():
    layer = jaxrnn.recurrent(jaxrnn.slstm(4))
    params = layer.init(jax.random.key(0), 2)
    (seen,) = probes.trace(layer, params, np.ones((3, 1, 2), np.float32)).layers
    assert set(probes.saturation(seen)) == {"candidate", "output"}


@pytest.fixture
def drawn():
    """Draw a figure, without any warning."""
    pytest.importorskip("matplotlib")

    def draw(figure):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            figure.savefig(io.BytesIO())
        return figure

    return draw


def test_pictures_of_any_text_can_be_drawn(drawn):
    tokens = ["a", "\n", "$x$", "\\frac", "天", "🙂", "\x1b", "$"]
    values = np.linspace(-1, 1, len(tokens))
    drawn(probes.plot_text(tokens, values, title="$5 \\bad"))
    drawn(probes.plot_activity(np.outer(values, values), tokens, title="$5 \\bad"))


def test_pictures_of_nothing_in_particular_can_be_drawn(drawn):
    drawn(probes.plot_text([], np.zeros(0)))
    drawn(probes.plot_activity(np.zeros((3, 2))))
    drawn(probes.plot_gradient_norms({}))
    drawn(probes.plot_spectrum(np.zeros((0, 3), complex)))


def test_a_picture_of_a_batch_is_refused(as_users_run):
    with pytest.raises(ValueError, match=r"values must be \[T, H\], such as carries.memory"):
        probes.plot_activity(np.zeros((3, 1, 2)))


def test_a_picture_needs_a_number_for_each_token():
    with pytest.raises(ValueError, match=r"values must have shape \[T\]"):
        probes.plot_text("abc", np.zeros(2))
    with pytest.raises(ValueError, match="gates must hold at least one"):
        probes.plot_saturation({})
