"""Every cell with arguments, what runs it, and the loop in NumPy that it is compared to."""

from typing import Any, NamedTuple

import cell_oracles
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from marks import in_matrix

import jaxrnn
from benchmarks.cell_features import CELLS, reason

T, B, D, H = 5, 3, 2, 4
LENGTHS = np.array([5, 0, 3])
# Among them: before the first step and the last, right behind a sequence's end, in the padding.
RESETS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 1]], bool)
PADDING = np.arange(T)[:, None, None] >= LENGTHS[None, :, None]
WHEN = {"whole": {}, "both": {"lengths": LENGTHS, "resets": RESETS}}

# One of each kind: an own derivative, own parameters, heads, a StepCell; linear ones with a real
# state, a complex one, and a readout.
FEW = ["lstm", "layer_norm_gru", "slstm_of_two_heads", "gru_reset_before", "min_gru", "s5", "sru"]
# Those of them whose second derivatives, which take seconds to compile, are in CI.
TWICE = [name for name in FEW if name != "slstm_of_two_heads"]
TESTED = set()


def cells_with(*features, of=CELLS, few=CELLS):
    """Parametrise a test over the cells that have all these features, in CI over a few of them."""
    TESTED.update(features)
    # Whether there is native code takes seconds to tell.
    known = [feature for feature in features if "native" not in feature]
    names = [name for name in of if not any(reason(each, name) for each in known)]
    others = in_matrix(*(name for name in names if name not in few))
    return pytest.mark.parametrize("name", [*(n for n in names if n in few), *others])


class Arguments(NamedTuple):
    """The arguments of `unroll`, none of which are zero."""

    params: Any
    inputs: Any
    carry: Any
    reset_carry: Any


def positive(name, carry):
    """Make positive what is: a sum of weights, or a state that has a logarithm."""
    field = "hidden" if name.startswith("positive") else "normalizer"
    if field not in carry._fields:
        return carry
    return carry._replace(**{field: abs(getattr(carry, field)) + 0.1})


def draw(random, shapes, dtype, scale=1.0):
    return jax.tree.map(
        lambda like: jnp.asarray(scale * random.normal(size=like.shape), dtype), shapes
    )


def make_params(cell, random, dtype, **options):
    """Random matrices and biases; the cell's own parameters are near those that it starts with."""
    key = jax.random.key(0)
    shapes = jax.eval_shape(lambda: jaxrnn.recurrent(cell, **options).init(key, D))
    own = jax.tree.map(
        lambda p: jnp.asarray(np.asarray(p, dtype) + 0.3 * random.normal(size=p.shape), dtype),
        cell.init_params(jax.random.split(key, 5)[-1]),
    )
    return draw(random, shapes._replace(cell=()), dtype, 0.5)._replace(cell=own)


def make_arguments(name, dtype=np.float64):
    # With the seed 0 a candidate of a cell lies at a kink, where differences are no derivatives.
    random, cell = np.random.default_rng(1), CELLS[name](H)
    params = make_params(cell, random, dtype)
    start = cell.initial_carry(B, dtype)
    carries = (positive(name, draw(random, start, dtype)) for _ in range(2))
    return Arguments(params, draw(random, np.empty((T, B, D)), dtype), *carries)


def spoil(arguments):
    """With NaN in the padding, which a loop in NumPy never reads."""
    return arguments._replace(inputs=jnp.where(PADDING, jnp.nan, arguments.inputs))


def assert_close(came, expected, tolerance):
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(
            np.asarray(a, np.float64), b, rtol=tolerance, atol=tolerance, equal_nan=False
        )


def run(cell, when, arguments, **options):
    params, inputs, carry, reset_carry = arguments
    restart = reset_carry if "resets" in when else None
    return jaxrnn.unroll(
        cell, params, inputs, carry, reset_carry=restart, **WHEN["whole"], **when, **options
    )


def oracle(name, when, arguments, **options):
    params, inputs, carry, reset_carry = arguments
    outputs, last = reference.unroll(
        name, params, inputs, carry._asdict(), reset_carry=reset_carry._asdict(), **when, **options
    )
    return outputs, type(carry)(**last)


def central_difference(at, h):
    """The derivative at 0 of a function that gives a tree, to the fourth order of h."""
    return jax.tree.map(
        lambda a, b, c, d: (8 * (b - c) - (a - d)) / (12 * h), at(2 * h), at(h), at(-h), at(-2 * h)
    )


def move(arguments, step, direction):
    """Take a step along a direction, in NumPy, which compiles nothing."""
    return jax.tree.map(lambda x, d: np.asarray(x) + step * np.asarray(d), arguments, direction)


def derivative_along(name, function, arguments, direction):
    """The derivative of a function in NumPy of a tree of arrays, to a dozen digits."""

    def at(step):
        return function(move(arguments, step, direction))

    if name not in cell_oracles.COMPLEX:  # the complex step: no difference, no cancellation
        return jax.tree.map(lambda x: np.imag(x) / 1e-30, at(1e-30j))
    return central_difference(at, 2e-4)  # 1e-15 of values up to 10, over h


def inner(one, other):
    return sum(np.vdot(a, b) for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True))


def derivatives_of(function, twice):
    """((values, gradients), (tangents, Hessian-vector products)), in one compiled program.

    Unless `twice`, there is None in place of the second pair.
    """

    @jax.jit
    def derivatives(arguments, weights, direction):
        def gradients(arguments):
            values, pull_back = jax.vjp(function, arguments)
            return values, pull_back(weights)[0]

        if not twice:
            return gradients(arguments), None
        return jax.jvp(gradients, (arguments,), (direction,))

    return derivatives
