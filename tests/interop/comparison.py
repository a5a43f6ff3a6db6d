"""Comparisons that the tests of ports share: the other library is the oracle of ours."""

import contextlib
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np

QUICK = {"xla_backend_optimization_level": 0}  # a third less to wait for


@contextlib.contextmanager
def lenient():
    """Other libraries promote dtypes and ranks."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def drawn(seed):
    """An initialiser that compiles nothing, for kernels and biases; each call draws anew."""
    rng = np.random.default_rng(seed)
    return lambda key, shape, dtype: jnp.asarray(rng.uniform(-0.7, 0.7, shape), dtype)


def like(shapes, seed):
    """Random arrays, no two of them equal, no zero among them."""
    draw = drawn(seed)
    return jax.tree.map(lambda leaf: draw(None, leaf.shape, leaf.dtype), shapes)


def exactly(text):
    return f"^{re.escape(text)}$"


def assert_close(ours, theirs, atol):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    assert jax.tree.leaves(ours)
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=atol, rtol=0), ours, theirs)


def assert_same_outputs(ours, theirs, *args):
    """Compare the values of two functions of the same inputs, which return (outputs, carry)."""
    with lenient():
        both = jax.jit(lambda *args: (ours(*args), theirs(*args)), compiler_options=QUICK)
        came, expected = both(*args)
    assert_close(came, expected, 1e-13)  # float64: rounding of up to 6 steps' sums in another order


def assert_same_outputs_and_gradients(ours, theirs, *args):
    """Compare two functions of the same weights and inputs, which return (outputs, carry)."""

    def loss(run, *args):
        outputs, carry = run(*args)
        of_carry = sum(jnp.cos(leaf).sum() for leaf in jax.tree.leaves(carry))
        return jnp.sin(outputs).sum() + of_carry, (outputs, carry)

    def differentiate(run):
        with_aux = functools.partial(loss, run)
        return jax.grad(with_aux, argnums=tuple(range(len(args))), has_aux=True)(*args)

    with lenient():
        both = jax.jit(
            lambda *args: (differentiate(ours), differentiate(theirs)), compiler_options=QUICK
        )
        (grads, came), (expected_grads, expected) = both(*args)
    # float64: rounding of up to 6 steps' sums in another order
    assert_close(came, expected, 1e-13)
    assert_close(grads, expected_grads, 1e-12)
    assert all(jnp.abs(grad).max() > 1e-3 for grad in jax.tree.leaves(grads))
