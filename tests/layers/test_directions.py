"""Layers that run backward, and the ways to merge both directions."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import in_matrix

import jaxrnn

T, B, D, H = 5, 3, 2, 4
LENGTHS = np.array([5, 0, 3], np.int32)
VALID = np.arange(T)[:, None] < LENGTHS
RESETS = np.array([[t == 2, t in (1, 4), t == 1] for t in range(T)])
INPUTS = np.random.default_rng(0).normal(size=(T, B, D)).astype(np.float32)
CELL = jaxrnn.lstm(H)
BACKWARD = jaxrnn.recurrent(CELL, reverse=True)
PARAMS = BACKWARD.init(jax.random.key(0), D)
MERGES = {
    "concat": lambda f, b: np.concatenate([f, b], axis=-1),
    "sum": lambda f, b: f + b,
    "mean": lambda f, b: (f + b) / 2,
    "product": lambda f, b: f * b,
}
OF_KERAS = {"concat": "concat", "sum": "sum", "mean": "ave", "product": "mul"}


def equal(came, expected, atol=0.0):
    assert jax.tree.structure(came) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


@pytest.mark.parametrize("when", [{}, {"lengths": LENGTHS, "resets": RESETS}], ids=["all", "some"])
@pytest.mark.parametrize("return_carries", [False, True])
def test_a_reversed_layer_is_a_reversed_unroll(when, return_carries):
    came = BACKWARD.apply(PARAMS, INPUTS, **when, return_carries=return_carries)
    options = {"reverse": True, "return_carries": return_carries}
    equal(came, jaxrnn.unroll(CELL, PARAMS, INPUTS, **options, **when))


def test_a_reversed_layer_is_the_backward_half_of_both_directions():
    both = jaxrnn.bidirectional(jaxrnn.recurrent(CELL))
    when = {"lengths": LENGTHS, "resets": RESETS}
    params = both.init(jax.random.key(1), D)
    outputs, carry = both.apply(params, INPUTS, **when)
    # other programs than the flipped run's, float32
    equal(BACKWARD.apply(params.backward, INPUTS, **when), (outputs[..., H:], carry.backward), 1e-6)
    turned = jaxrnn.bidirectional(BACKWARD)
    came, ends = turned.apply(params, INPUTS, **when)
    equal(came[..., :H], BACKWARD.apply(params.forward, INPUTS, **when)[0], 1e-6)
    forward, end = jaxrnn.recurrent(CELL).apply(params.backward, INPUTS, **when)
    equal((came[..., H:], ends.backward), (forward, end), 1e-6)


def test_a_reversed_layer_nests_and_is_not_causal():
    assert not BACKWARD.causal
    assert repr(BACKWARD) == "Recurrent(lstm(4), reverse=True)"
    assert jaxrnn.recurrent(CELL) != BACKWARD
    assert not jaxrnn.stack([jaxrnn.recurrent(CELL), BACKWARD]).causal
    later = INPUTS.copy()
    later[:2] = 7
    came = BACKWARD.apply(PARAMS, later)[0]
    np.testing.assert_array_equal(came[2:], BACKWARD.apply(PARAMS, INPUTS)[0][2:])
    with pytest.raises(ValueError, match="body must be causal: a reversed or bidirectional layer"):
        jaxrnn.language_model(9, BACKWARD)
    with pytest.raises(ValueError, match="as those of reversed and bidirectional layers do"):
        jaxrnn.step(BACKWARD, PARAMS, INPUTS[0], BACKWARD.initial_carry(PARAMS, B))


@pytest.fixture
def keras():
    os.environ["KERAS_BACKEND"] = "jax"
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield pytest.importorskip("keras")


def keras_params(layer):
    return jaxrnn.RecurrentParams(*(v.value for v in layer.trainable_variables), None)


def test_outputs_stay_in_their_places_where_keras_turns_them(keras):
    theirs = keras.layers.LSTM(H, return_sequences=True, return_state=True, go_backwards=True)
    turned, *states = theirs(INPUTS.swapaxes(0, 1), mask=VALID.T)
    came = BACKWARD.apply(keras_params(theirs), INPUTS, lengths=LENGTHS)
    outputs = np.where(VALID[..., None], np.swapaxes(turned, 0, 1)[::-1], 0)
    # float32, 5 steps
    equal(came, (outputs, jaxrnn.LSTMCarry(*states)), 1e-5)


# tests/interop/test_keras.py has the gradients of "concat".
@pytest.mark.parametrize("merge", ["product", *in_matrix("concat", "sum", "mean")])
def test_merges_are_those_of_keras_with_their_gradients(keras, merge):
    theirs = keras.layers.Bidirectional(
        keras.layers.LSTM(H, return_sequences=True), merge_mode=OF_KERAS[merge]
    )
    theirs.build((None, None, D))
    layer = jaxrnn.bidirectional(jaxrnn.recurrent(CELL), merge=merge)
    weights = [variable.value for variable in theirs.trainable_variables]
    others = [variable.value for variable in theirs.non_trainable_variables]

    def their_loss(weights):
        inputs = jnp.asarray(INPUTS.swapaxes(0, 1))
        outputs, _ = theirs.stateless_call(weights, others, inputs, mask=VALID.T)
        return jnp.sin(outputs).sum(), outputs.swapaxes(0, 1)

    def our_loss(weights):
        pair = (jaxrnn.RecurrentParams(*weights[k : k + 3], None) for k in (0, 3))
        params = jaxrnn.layers.Directions(*pair)
        outputs, _ = layer.apply(params, INPUTS, lengths=LENGTHS)
        assert outputs.shape[-1] == layer.output_size(D)
        return jnp.sin(outputs).sum(), outputs

    expected = jax.jit(jax.grad(their_loss, has_aux=True))(weights)
    # float32: outputs of 5 steps, gradients that are sums over all of them
    equal(jax.jit(jax.grad(our_loss, has_aux=True))(weights), expected, 1e-5)


def test_merges_take_the_outputs_of_both_directions():
    one = jaxrnn.recurrent(CELL)
    params = jaxrnn.bidirectional(one).init(jax.random.key(0), D)
    forward, backward = (
        layer.apply(own, INPUTS, lengths=LENGTHS)[0]
        for layer, own in zip((one, BACKWARD), params, strict=True)
    )
    for merge, expected in MERGES.items():
        outputs, _ = jaxrnn.bidirectional(one, merge=merge).apply(params, INPUTS, lengths=LENGTHS)
        np.testing.assert_allclose(outputs, expected(forward, backward), atol=1e-6)
        assert not outputs[~VALID].any()


def test_a_merge_keeps_the_dtype_and_belongs_to_the_layer():
    one = jaxrnn.recurrent(CELL, dtype=jnp.bfloat16)
    layers = [jaxrnn.bidirectional(one, merge=merge) for merge in MERGES]
    assert len(set(layers)) == len(layers)
    assert layers[0] == jaxrnn.bidirectional(one)
    assert repr(jaxrnn.bidirectional(BACKWARD, merge="mean")) == (
        "Bidirectional(Recurrent(lstm(4), reverse=True), merge='mean')"
    )
    params = layers[0].init(jax.random.key(0), D)
    inputs = jnp.asarray(INPUTS, jnp.bfloat16)
    assert {layer.apply(params, inputs)[0].dtype for layer in layers} == {jnp.dtype("bfloat16")}
    deep = jaxrnn.stack([layers[2], one])
    assert deep.init(jax.random.key(0), D)[1].w_ih.shape == (H, 4 * H)
    with pytest.raises(
        ValueError,
        match="merge must be one of 'concat', 'sum', 'mean', 'product', got 'ave'",
    ):
        jaxrnn.bidirectional(one, merge="ave")
