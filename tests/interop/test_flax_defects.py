"""Faults of `flax.nnx.RNN` that `jaxrnn` does not have.

Each test shows the defect in Flax, too, so that what our documentation says of it is checked; that
half runs on the version that was examined only.
"""

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxrnn
from jaxrnn.interop.flax import carry_from_flax, carry_to_flax, from_flax

# Other tests hold what ours does here, and what Flax does changes with its version only.
pytestmark = pytest.mark.matrix

EXAMINED = "0.12.8"
B, T, D, H = 3, 5, 2, 4
LENGTHS = jnp.array([5, 0, 2])
VALID = (jnp.arange(T)[None] < LENGTHS[:, None])[:, :, None]


def of_flax(claim):
    """Check what Flax does, where it is the Flax that was examined."""
    if flax.__version__ == EXAMINED:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            claim()


def make(name, **options):
    draw = nnx.initializers.normal(0.5)  # compiles faster than orthogonal matrices
    inits = {"kernel_init": draw, "recurrent_kernel_init": draw, "bias_init": draw}
    return getattr(nnx, name)(D, H, rngs=nnx.Rngs(0), **inits, **options)


@pytest.fixture(name="cell")
def a_cell():
    return make("GRUCell")


@pytest.fixture(name="inputs")
def some_inputs():
    return jnp.asarray(np.random.default_rng(0).normal(size=(B, T, D)), jnp.float32)


def run(cell, inputs, start, lengths=LENGTHS):
    """Ours, with Flax's weights, axes and carry: (carry [B, H], outputs [B, T, H])."""
    layer, params = from_flax(cell)
    outputs, carry = layer.apply(
        params, jnp.swapaxes(inputs, 0, 1), carry_from_flax(layer, start), lengths=lengths
    )
    return carry_to_flax(carry), jnp.swapaxes(outputs, 0, 1)


def test_an_empty_sequence_returns_the_carry_that_it_started_from(cell, inputs):
    start = jnp.full((B, H), 0.5)
    carry, outputs = run(cell, inputs, start)
    np.testing.assert_array_equal(carry[1], start[1])
    np.testing.assert_array_equal(carry[2], outputs[2, 1])

    def claim():
        carry, outputs = nnx.RNN(cell)(
            inputs, initial_carry=start, seq_lengths=LENGTHS, return_carry=True
        )
        np.testing.assert_array_equal(carry[1], outputs[1, -1])  # of the last step of padding
        assert (carry[1] != start[1]).all()

    of_flax(claim)


def test_outputs_in_padding_are_zero(cell, inputs):
    start = jnp.zeros((B, H))
    _, outputs = run(cell, inputs, start)
    np.testing.assert_array_equal(outputs == 0, np.broadcast_to(~VALID, outputs.shape))

    def claim():
        outputs = nnx.RNN(cell)(inputs, seq_lengths=LENGTHS)
        assert (outputs != 0).all()

    of_flax(claim)


def test_nan_in_padding_reaches_no_gradient(cell, inputs):
    padded = jnp.where(VALID, inputs, jnp.full_like(inputs, jnp.nan))
    graph, weights = nnx.split(cell)

    def both_grads(call):
        """The gradients of the outputs that count, with NaN in the padding and without."""

        def loss(weights, inputs):
            outputs = call(nnx.merge(graph, weights), inputs)
            return jnp.where(VALID, outputs, jnp.zeros_like(outputs)).sum()

        grad = jax.jit(jax.grad(loss))
        return zip(*(jax.tree.leaves(grad(weights, x)) for x in (padded, inputs)), strict=True)

    for came, expected in both_grads(lambda cell, x: run(cell, x, jnp.zeros((B, H)))[1]):
        np.testing.assert_array_equal(came, expected)
        assert (expected != 0).any()

    def claim():
        for came, expected in both_grads(lambda cell, x: nnx.RNN(cell)(x, seq_lengths=LENGTHS)):
            assert jnp.isnan(came).all()
            assert not jnp.isnan(expected).any()

    of_flax(claim)


def test_lengths_go_with_two_axes_of_batches(cell, inputs):
    inputs = jnp.stack([inputs, 2 * inputs])  # [2, B, T, D]
    lengths = jnp.stack([LENGTHS, LENGTHS[::-1]])
    start = jnp.zeros((2, B, H))
    carry, _ = jax.jit(jax.vmap(lambda *args: run(cell, *args)))(inputs, start, lengths)
    for k in range(2):
        expected, _ = run(cell, inputs[k], start[k], lengths[k])
        np.testing.assert_allclose(carry[k], expected, atol=1e-6)
    assert carry.shape == (2, B, H)

    def shape_of_carry(inputs, lengths):
        def carry():
            over_time = nnx.RNN(make("GRUCell"), return_carry=True)
            return over_time(inputs, seq_lengths=lengths)[0]

        return jax.eval_shape(carry).shape

    def claim():
        assert shape_of_carry(inputs, None) == (2, B, H)  # two axes are allowed
        with pytest.raises(ValueError, match="Incompatible shapes for broadcasting"):
            shape_of_carry(inputs, lengths)
        # where both are of one size there is no error, but an axis too many
        assert shape_of_carry(inputs[:, :2], lengths[:, :2]) == (2, 2, 2, H)

    of_flax(claim)


@pytest.mark.parametrize("name", ["SimpleCell", "GRUCell", "LSTMCell"])
def test_bfloat16_gives_outputs_of_bfloat16(name, inputs):
    layer, params = from_flax(make(name))
    cell = layer.cell
    start = cell.initial_carry(B, jnp.float32)
    outputs, carry = jaxrnn.unroll(
        cell, params, jnp.swapaxes(inputs, 0, 1), start, dtype=jnp.bfloat16
    )
    assert outputs.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves((carry, params))} == {jnp.dtype(jnp.float32)}
    exact, _ = jaxrnn.unroll(cell, params, jnp.swapaxes(inputs, 0, 1), start)
    # bfloat16 has 8 bits of mantissa
    np.testing.assert_allclose(outputs.astype(jnp.float32), exact, atol=0.02)

    def outputs_of_flax():
        over_time = nnx.RNN(make(name, dtype=jnp.bfloat16))
        return over_time(inputs.astype(jnp.bfloat16))

    def claim():
        if name == "SimpleCell":  # whose carry begins in float32 and goes on in bfloat16
            with pytest.raises(TypeError, match="carry input and carry output must have equal ty"):
                jax.eval_shape(outputs_of_flax)
        else:
            assert jax.eval_shape(outputs_of_flax).dtype == jnp.float32

    of_flax(claim)
