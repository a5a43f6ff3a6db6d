"""Fixed points, Lyapunov exponents and gradients through time, against what is known of them."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn import probes


def map_layer(function, size):
    """A layer whose step is a map of its own state, plus the inputs."""

    def step(params, inputs, carry):
        return jaxrnn.HiddenCarry(function(carry.hidden) + inputs)

    zeros = jaxrnn.zero_carry(jaxrnn.HiddenCarry, size)
    layer = jaxrnn.recurrent(jaxrnn.StepCell("map", size, gates=(), initial_carry=zeros, step=step))
    return layer, layer.init(jax.random.key(0), size)


MATRIX = np.array([[0.9, 0.3, 0.0], [-0.3, 0.9, 0.0], [0.0, 0.1, -0.5]], np.float32)


def linear(hidden):
    return jaxrnn.matmul(hidden, jnp.asarray(MATRIX))


def henon(hidden):
    x, y = hidden[:, :1], hidden[:, 1:]
    return jnp.concatenate([1 - 1.4 * x * x + y, 0.3 * x], axis=1)


def test_the_fixed_point_of_a_linear_map_and_its_spectrum():
    layer, params = map_layer(linear, 3)
    inputs = np.array([1.0, 2.0, 3.0], np.float32)
    starts = jaxrnn.HiddenCarry(np.eye(3, dtype=np.float32))
    found = probes.fixed_points(layer, params, inputs, starts)
    expected = np.linalg.solve(np.eye(3) - MATRIX.T, inputs)
    np.testing.assert_allclose(found.carries.hidden, expected[None], rtol=1e-4)
    np.testing.assert_allclose(found.jacobians[0], MATRIX.T, atol=1e-6)
    eigenvalues = np.sort_complex(np.linalg.eigvals(MATRIX))
    np.testing.assert_allclose(np.sort_complex(found.eigenvalues[0]), eigenvalues, atol=1e-5)
    assert (np.diff(abs(found.eigenvalues[0])) <= 0).all()


def test_attractors_and_the_saddle_between_them_are_found():
    layer, params = map_layer(lambda hidden: jnp.tanh(2 * hidden), 1)
    starts = jaxrnn.HiddenCarry(np.linspace(-1.2, 1.2, 9, dtype=np.float32)[:, None])
    found = probes.fixed_points(layer, params, np.zeros(1, np.float32), starts)
    points = np.asarray(found.carries.hidden)[:, 0]
    root = 0.9575040240772688  # tanh(2 x) = x
    np.testing.assert_allclose(np.sort(points), [-root, 0, root], atol=1e-4)
    slopes = found.eigenvalues[np.argsort(points), 0].real
    np.testing.assert_allclose(slopes, [2 * (1 - root**2), 2, 2 * (1 - root**2)], atol=1e-3)
    assert (found.speeds <= 1e-4).all()


def test_a_map_without_fixed_points_has_none():
    layer, params = map_layer(lambda hidden: hidden, 2)
    starts = layer.initial_carry(params, 2)
    found = probes.fixed_points(layer, params, np.ones(2, np.float32), starts)
    assert found.carries.hidden.shape == (0, 2)
    assert found.jacobians.shape == (0, 2, 2)
    assert found.eigenvalues.shape == (0, 2)


def test_a_stack_of_lstms_has_fixed_points_in_its_whole_carry():
    cell = jaxrnn.recurrent(jaxrnn.lstm(3))
    model = jaxrnn.language_model(5, jaxrnn.stack([cell, cell]), embedding_size=4)
    params = model.init(jax.random.key(0), 5)
    starts = model.initial_carry(params, 2)
    found = probes.fixed_points(model, params, 3, starts)
    assert found.eigenvalues.shape == (1, 12)
    _, after = model.apply(params, np.full((1, 1), 3), found.carries)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4), after, found.carries)


def test_the_exponents_of_the_henon_map(x64):
    """0.41922 and -1.62319 (Sprott, Chaos and time-series analysis, 2003); their sum is log 0.3.

    In float32 the orbit soon repeats itself, and has an exponent of its own.
    """
    layer, params = map_layer(henon, 2)
    inputs, start = np.zeros((400_000, 1, 2)), jaxrnn.HiddenCarry(np.zeros((1, 2)))
    exponents = probes.lyapunov_exponents(layer, params, inputs, start, skip=1000)
    np.testing.assert_allclose(exponents[0], [0.41922, -1.62319], atol=1e-3)
    np.testing.assert_allclose(exponents.sum(), np.log(0.3), atol=1e-4)


def test_the_exponents_of_a_linear_map_are_the_logarithms_of_its_moduli():
    layer, params = map_layer(linear, 3)
    inputs = np.random.default_rng(0).normal(size=(4000, 2, 3)).astype(np.float32)
    expected = np.sort(np.log(abs(np.linalg.eigvals(MATRIX))))[::-1]
    exponents = probes.lyapunov_exponents(layer, params, inputs, skip=100)
    np.testing.assert_allclose(exponents, np.stack([expected] * 2), atol=1e-3)
    (largest,) = probes.lyapunov_exponents(layer, params, inputs[:, :1], num_exponents=1)
    np.testing.assert_allclose(largest, expected[:1], atol=1e-3)


def test_the_largest_exponent_is_found_wherever_it_is():
    """Units of a minimal GRU read no others: their exponents are the means of log(1 - z)."""
    layer = jaxrnn.recurrent(jaxrnn.min_gru(6))
    params = layer.init(jax.random.key(0), 2)
    inputs = np.random.default_rng(0).normal(size=(3000, 1, 2)).astype(np.float32)
    (seen,) = probes.trace(layer, params, inputs).layers
    own = np.log1p(-np.asarray(seen.gates["update"].value, float)).mean(axis=0)[0]
    (found,) = probes.lyapunov_exponents(layer, params, inputs, num_exponents=1)
    # The direction that was drawn takes a few steps to become the largest one's: 1 / T each.
    np.testing.assert_allclose(found[0], own.max(), atol=3e-3)
    (found,) = probes.lyapunov_exponents(layer, params, inputs)
    np.testing.assert_allclose(found, np.sort(own)[::-1], atol=3e-3)


def test_directions_that_nothing_reads_end_at_once():
    layer = jaxrnn.recurrent(jaxrnn.lru(3))
    params = layer.init(jax.random.key(0), 2)
    inputs = np.ones((50, 1, 2), np.float32)
    (found,) = probes.lyapunov_exponents(layer, params, inputs)
    assert np.isfinite(found[:6]).all()  # the real and imaginary parts of the state
    assert np.isneginf(found[6:]).all()  # the output


def test_tiny_gradients_have_norms():
    tiny = jaxrnn.HiddenCarry(np.full((2, 1, 3), 1e-30, np.float32))
    np.testing.assert_allclose(
        probes.gradient_norms(tiny)["hidden"], np.full((2, 1), 3**0.5 * 1e-30), rtol=1e-6
    )


def test_the_gradient_through_time_is_the_product_of_the_jacobians(x64):
    layer = jaxrnn.recurrent(jaxrnn.rnn(4))
    params = layer.init(jax.random.key(0), 2)
    params = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), params)
    inputs = np.random.default_rng(0).normal(size=(6, 1, 2))
    flow = probes.gradient_flow(layer, params, inputs, lambda outputs: outputs[-1].sum())
    outputs, _ = layer.apply(params, inputs)
    expected, w_hh = np.zeros((6, 4)), np.asarray(params.w_hh)
    expected[4] = w_hh @ (1 - np.asarray(outputs)[5, 0] ** 2)
    for t in (3, 2, 1, 0):
        expected[t] = w_hh @ ((1 - np.asarray(outputs)[t + 1, 0] ** 2) * expected[t + 1])
    np.testing.assert_allclose(flow.hidden[:, 0], expected, atol=1e-12)


def test_the_gradients_of_a_deep_model_are_those_of_finite_differences(x64):
    cell = jaxrnn.recurrent(jaxrnn.lstm(3))
    model = jaxrnn.stack([cell, cell])
    params = model.init(jax.random.key(0), 2)
    params = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), params)
    inputs = np.random.default_rng(0).normal(size=(5, 1, 2))

    def loss(outputs):
        return jnp.square(outputs).sum()

    flow = probes.gradient_flow(model, params, inputs, loss)
    _, carry = model.apply(params, inputs[:2])
    nudge = functools.partial(jnp.add, 1e-6)
    for layer in (0, 1):
        for name in ("hidden", "memory"):
            found = np.asarray(getattr(flow[layer], name))[1, 0]
            changed = list(carry)
            changed[layer] = carry[layer]._replace(**{name: nudge(getattr(carry[layer], name))})
            losses = [loss(model.apply(params, inputs[2:], c)[0]) for c in (tuple(changed), carry)]
            np.testing.assert_allclose((losses[0] - losses[1]) / 1e-6, found.sum(), rtol=1e-4)
    norms = probes.gradient_norms(flow)
    np.testing.assert_allclose(
        norms["1.memory"], np.linalg.norm(np.asarray(flow[1].memory), axis=2), atol=1e-12
    )


class Counted(NamedTuple):
    hidden: Any
    count: Any


def counting_layer():
    """A layer whose carry has an integer."""

    def initial_carry(batch_size, dtype=jnp.float32):
        return Counted(jnp.zeros((batch_size, 2), dtype), jnp.zeros(batch_size, jnp.int32))

    def step(params, inputs, carry):
        return Counted(jnp.tanh(carry.hidden + inputs), carry.count + 1)

    cell = jaxrnn.StepCell("counting", 2, gates=(), initial_carry=initial_carry, step=step)
    layer = jaxrnn.recurrent(cell)
    return layer, layer.init(jax.random.key(0), 2)


def test_a_counter_has_no_gradient():
    layer, params = counting_layer()
    inputs = np.ones((4, 1, 2), np.float32)
    flow = probes.gradient_flow(layer, params, inputs, lambda outputs: outputs[-1].sum())
    assert list(probes.gradient_norms(flow)) == ["hidden"]


def test_a_counter_is_no_state_of_a_dynamical_system():
    layer, params = counting_layer()
    with pytest.raises(TypeError, match="must hold floats alone, got int32 in count"):
        probes.lyapunov_exponents(layer, params, np.ones((4, 1, 2), np.float32))


def test_ids_are_checked_at_every_step():
    model = jaxrnn.language_model(5, jaxrnn.recurrent(jaxrnn.gru(3)))
    params, ids = model.init(jax.random.key(0), 5), np.array([[0], [1], [9], [2]])
    for probe in (probes.lyapunov_exponents, lambda *of: probes.gradient_flow(*of, jnp.sum)):
        with pytest.raises(ValueError, match=r"inputs must lie in 0\.\.4, got 9"):
            probe(model, params, ids)


def test_exponents_need_more_than_half_precision():
    layer = jaxrnn.recurrent(jaxrnn.gru(3))
    params = jax.tree.map(lambda p: p.astype(jnp.bfloat16), layer.init(jax.random.key(0), 2))
    with pytest.raises(TypeError, match="the carry must be float32 or float64, got bfloat16"):
        probes.lyapunov_exponents(layer, params, jnp.ones((4, 1, 2), jnp.bfloat16))


BACKWARD = jaxrnn.recurrent(jaxrnn.gru(3), reverse=True)
INPUTS = np.ones((4, 1, 2), np.float32)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda p: probes.gradient_flow(BACKWARD, p, INPUTS, jnp.sum), "must be causal"),
        (lambda p: probes.lyapunov_exponents(BACKWARD, p, INPUTS), "must be causal"),
        (
            lambda p: probes.lyapunov_exponents(jaxrnn.linear(2), (), INPUTS),
            "must carry something",
        ),
        (
            lambda p: probes.lyapunov_exponents(
                jaxrnn.recurrent(jaxrnn.gru(3)), p, INPUTS, num_exponents=4
            ),
            "num_exponents must be at most 3, got 4",
        ),
        (
            lambda p: probes.lyapunov_exponents(jaxrnn.recurrent(jaxrnn.gru(3)), p, INPUTS, skip=4),
            r"skip must be in 0\.\.3",
        ),
    ],
)
def test_errors_name_the_argument(call, error):
    params = BACKWARD.init(jax.random.key(0), 2)
    with pytest.raises(ValueError, match=error):
        call(params)
