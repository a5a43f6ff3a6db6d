"""The elementwise linear recurrence against a loop in NumPy, and its derivatives of two orders."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import in_matrix

from jaxrnn.recurrence.linear_recurrence import linear_recurrence

T, B, H = 6, 2, 3
RESETS = np.array([[1, 0], [0, 0], [0, 1], [0, 0], [1, 1], [0, 1]], bool)[..., None]


def loop(a, b, start, resets=None):
    a, h, hidden = np.broadcast_to(a, b.shape), np.asarray(start), []
    for t in range(len(b)):
        h = a[t] * (h if resets is None else np.where(resets[t], 0, h)) + b[t]
        hidden.append(h)
    return np.array(hidden), h


def tangent_loop(arguments, directions, resets=None):
    """Compute the tangents step by step, by the product rule."""
    (a, b, start), (d_a, d_b, d_start) = arguments, directions
    hidden, _ = loop(a, b, start, resets)
    before = np.concatenate([np.asarray(start)[None], hidden[:-1]])
    if resets is not None:
        before = np.where(resets, 0, before)
    return loop(a, d_a * before + d_b, d_start, resets)


def normal(seed, shape, is_complex):
    random = np.random.default_rng(seed)
    real = random.normal(size=shape)
    return jnp.asarray(real + 1j * random.normal(size=shape) if is_complex else real)


def make_arguments(is_complex, constant, seed=0):
    factors = (1, 1, H) if constant else (T, B, H)
    shapes = factors, (T, B, H), (B, H)
    return tuple(normal(seed + k, shape, is_complex) for k, shape in enumerate(shapes))


def inner(one, other):
    """The pairing of JAX's cotangents with tangents, which conjugates neither."""
    return sum((a * b).sum() for a, b in zip(one, other, strict=True))


def assert_close(came, expected, tolerance=1e-12):
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=False)


def problems(test):
    """Parametrise a test over implementations, and real and complex numbers, factors and resets."""
    ways = [None, "associative_scan", *in_matrix("scan", "autodiff", "native")]
    for name, values in {
        "implementation": ways,
        "is_complex": [False, True],
        "constant": [False, True],
        "resets": [RESETS, *in_matrix(None)],
    }.items():
        test = pytest.mark.parametrize(name, values, ids=str if name != "resets" else None)(test)
    return test


@problems
def test_values_and_derivatives(implementation, is_complex, constant, resets, x64):
    arguments = make_arguments(is_complex, constant)
    directions = make_arguments(is_complex, constant, seed=10)
    expected = loop(*arguments, resets)
    weights = tuple(normal(20 + k, x.shape, is_complex) for k, x in enumerate(expected))
    run = functools.partial(linear_recurrence, resets=resets, implementation=implementation)

    @jax.jit
    def derivatives(arguments):
        """Values, cotangents, and the derivatives of both along the directions."""

        def gradients(*arguments):
            values, pull_back = jax.vjp(run, *arguments)
            return values, pull_back(weights)

        return jax.jvp(gradients, arguments, directions)

    (values, cotangents), (tangents, products) = derivatives(arguments)
    assert_close(values, expected)
    assert_close(tangents, tangent_loop(arguments, directions, resets))
    for k in range(3):  # the adjoint, of each array by itself
        one = tuple(d if k == j else np.zeros_like(d) for j, d in enumerate(directions))
        change = inner(weights, tangent_loop(arguments, one, resets))
        assert_close((cotangents[k] * directions[k]).sum(), change, 1e-11)

    def cotangents_at(step):
        moved = tuple(x + step * d for x, d in zip(arguments, directions, strict=True))
        return derivatives(moved)[0][1]

    h = 1e-3  # a polynomial of degree six: h^4 times the fifth derivative over 30
    differences = jax.tree.map(
        lambda a, b, c, d: (8 * (b - c) - (a - d)) / (12 * h),
        *map(cotangents_at, (2 * h, h, -h, -2 * h)),
    )
    assert_close(products, differences, 1e-7)


@pytest.mark.parametrize("axes", [(0, 0, 0, 0), (None, 0, None, None), (0, None, None, None)])
@pytest.mark.parametrize("axis", [0, *in_matrix(1)])
@problems
def test_vmap(axes, axis, implementation, is_complex, constant, resets, x64):
    arguments = (*make_arguments(is_complex, constant), resets)
    axes = axes if resets is not None else (*axes[:3], None)
    others = (*make_arguments(is_complex, constant, seed=10), None if resets is None else ~resets)
    stacked = [
        x if where is None else jnp.stack([x, y], axis)
        for x, y, where in zip(arguments, others, axes, strict=True)
    ]
    run = functools.partial(linear_recurrence, implementation=implementation)
    mapped = jax.vmap(run, in_axes=tuple(None if where is None else axis for where in axes))
    came = jax.jit(mapped)(*stacked)
    for k, chosen in enumerate((arguments, others)):
        own = [
            x if where is None else y for x, y, where in zip(arguments, chosen, axes, strict=True)
        ]
        assert_close(jax.tree.map(lambda x, k=k: x[k], came), loop(*own))


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("implementation", [None, "associative_scan", *in_matrix("autodiff")])
def test_nothing_passes_a_reset(implementation, is_complex, x64):
    """NaN before a reset reaches nothing behind it, nor do gradients what comes before it."""
    a, b, start = make_arguments(is_complex, constant=False)
    resets = np.zeros((T, B, 1), bool)
    resets[3] = True
    run = functools.partial(linear_recurrence, resets=resets, implementation=implementation)
    spoilt = b.at[2].set(jnp.nan), start.at[0].set(jnp.inf)

    @jax.jit
    def behind(b, start):
        values, pull_back = jax.vjp(lambda b, start: run(a, b, start)[0][3:], b, start)
        return values, pull_back(jnp.ones_like(values))

    values, (d_b, d_start) = behind(*spoilt)
    clean = behind(b, start)
    assert_close((values, d_b, d_start), (clean[0], *clean[1]), 0)
    assert not d_start.any()
    assert not d_b[:3].any()
    assert d_b[3:].all()


def test_one_step_and_one_row(x64):
    a, b = (x[:1, :1] for x in make_arguments(False, constant=False)[:2])
    start = jnp.ones((1, H))
    for implementation in (None, "associative_scan", "autodiff"):
        came = linear_recurrence(a, b, start, implementation=implementation)
        assert_close(came, (a + b, (a + b)[0]))
