"""Dropout: where it acts, how its masks are shared, and that it vanishes without a key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import in_matrix

import jaxrnn

T, B, D, H = 8, 6, 50, 40
KEY = jax.random.key(7)
ONES = jnp.ones((T, B, D))


def masks(layer, inputs=ONES, key=KEY):
    return np.asarray(layer.apply((), inputs, (), key=key)[0])


@pytest.mark.parametrize("variational", [False, True])
def test_units_are_dropped_at_the_rate_and_the_rest_scaled_up(variational):
    outputs = masks(jaxrnn.dropout(0.25, variational=variational))
    assert set(np.unique(outputs)) == {0.0, np.float32(1 / 0.75)}
    draws = outputs[0].size if variational else outputs.size
    five_sigma = 5 * np.sqrt(0.25 * 0.75 / draws)
    assert abs((outputs == 0).mean() - 0.25) < five_sigma


def test_variational_masks_are_equal_at_all_steps_and_others_are_not():
    shared, own = (masks(jaxrnn.dropout(0.5, variational=v)) for v in (True, False))
    assert (shared == shared[:1]).all()
    assert not (own == own[:1]).all(axis=(1, 2))[1:].any()
    assert not (shared[0] == shared[0][:1]).all(axis=1)[1:].any(), "rows share a mask"


def test_without_a_key_nothing_is_dropped_and_the_edges_are_exact():
    assert (masks(jaxrnn.dropout(0.5), key=None) == 1).all()
    assert (masks(jaxrnn.dropout(0.0)) == 1).all()
    assert (masks(jaxrnn.dropout(1.0)) == 0).all()


def test_keys_decide_and_layers_of_a_stack_draw_their_own():
    layer = jaxrnn.dropout(0.5)
    assert (masks(layer) == masks(layer)).all()
    assert (masks(layer) != masks(layer, key=jax.random.key(8))).any()
    twice = jaxrnn.stack([layer, layer])
    kept = np.asarray(twice.apply(((), ()), ONES, ((), ()), key=KEY)[0]) != 0
    assert abs(kept.mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / kept.size)


def test_gradients_pass_where_the_outputs_do():
    def loss(inputs):
        return jaxrnn.dropout(0.5).apply((), inputs, (), key=KEY)[0].sum()

    np.testing.assert_array_equal(jax.grad(loss)(ONES), masks(jaxrnn.dropout(0.5)))


def test_rows_of_an_embedding_are_dropped_for_the_whole_batch():
    layer = jaxrnn.embedding(4, dropout=0.5)
    table = layer.init(jax.random.key(0), 30)
    ids = jax.random.randint(jax.random.key(1), (T, B), 0, 30, jnp.int32)
    vectors = np.asarray(layer.apply(table, ids, (), key=KEY)[0])
    expected = np.asarray(table)[ids]
    dropped = (vectors == 0).all(axis=-1)
    assert 0 < dropped.mean() < 1
    for token in np.unique(ids):
        assert len(set(dropped[np.asarray(ids) == token])) == 1
    np.testing.assert_allclose(vectors[~dropped], 2 * expected[~dropped])
    np.testing.assert_array_equal(layer.apply(table, ids, ())[0], expected)


@pytest.mark.parametrize(
    "cell", [jaxrnn.lstm(H), *in_matrix(jaxrnn.rnn(H), jaxrnn.gru(H))], ids=repr
)
def test_recurrent_dropout_masks_what_the_gates_read_of_the_hidden(cell):
    """Against a loop by hand with the mask that the layer must have drawn, one for all steps."""
    layer = jaxrnn.recurrent(cell, recurrent_dropout=0.5)
    params = layer.init(jax.random.key(0), D)
    carry = layer.initial_carry(params, B)
    outputs, _ = layer.apply(params, ONES, carry, key=KEY)
    kept = jax.random.bernoulli(KEY, 0.5, (B, H))
    for t in range(T):
        hidden_gates = jnp.where(kept, 2 * carry.hidden, 0.0) @ params.w_hh
        if params.b_hh is not None:
            hidden_gates += params.b_hh[None]
        input_gates = ONES[t] @ params.w_ih + params.b_ih[None]
        gates = (tuple(jnp.split(g, len(cell.gates), -1)) for g in (input_gates, hidden_gates))
        carry = cell.update((), *gates, carry)
        np.testing.assert_allclose(outputs[t], carry.hidden, atol=1e-5)  # float32, 8 steps
    plain, _ = jaxrnn.recurrent(cell).apply(params, ONES, layer.initial_carry(params, B))
    evaluated, _ = layer.apply(params, ONES, layer.initial_carry(params, B))
    np.testing.assert_array_equal(evaluated, plain)


def test_recurrent_dropout_has_the_derivative_of_autodiff():
    def grad(implementation):
        layer = jaxrnn.recurrent(
            jaxrnn.lstm(H), recurrent_dropout=0.5, implementation=implementation
        )
        params = layer.init(jax.random.key(0), D)

        def loss(params):
            outputs, _ = layer.apply(params, ONES, layer.initial_carry(params, B), key=KEY)
            return jnp.sin(outputs).mean()

        return jax.tree.leaves(jax.jit(jax.grad(loss))(params))

    for a, b in zip(grad("scan"), grad("autodiff"), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_recurrent_dropout_keeps_its_scale_in_bfloat16():
    """1 / 0.9 is no number of bfloat16: the mask must not be rounded."""
    layer = jaxrnn.recurrent(
        jaxrnn.rnn(H, lambda x: x), recurrent_dropout=0.1, kernel_init="zeros", dtype="bfloat16"
    )
    params = layer.init(jax.random.key(0), D)._replace(w_hh=jnp.eye(H), b_ih=jnp.zeros(H))
    start = jaxrnn.HiddenCarry(jnp.full((B, H), 0.9))
    _, carry = layer.apply(params, ONES[:1], start, key=KEY)
    assert set(np.unique(carry.hidden)) == {0.0, 1.0}


def test_both_directions_and_all_layers_drop_by_their_own_keys():
    layer = jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.rnn(H), recurrent_dropout=0.5))
    params = layer.init(jax.random.key(0), D)
    params = params._replace(backward=params.forward)
    outputs, _ = layer.apply(params, ONES, layer.initial_carry(params, B), key=KEY)
    ahead, behind = np.split(np.asarray(outputs), 2, axis=-1)
    # constant inputs: with equal masks the backward run would be the forward one, flipped
    assert not np.allclose(ahead, behind[::-1])


@pytest.mark.parametrize(
    ("error", "message", "make"),
    [
        (ValueError, "rate must be between 0 and 1, got 1.5", lambda: jaxrnn.dropout(1.5)),
        (ValueError, "rate", lambda: jaxrnn.dropout(-0.1)),
        (ValueError, "rate", lambda: jaxrnn.dropout(float("nan"))),
        (TypeError, "rate must be a number", lambda: jaxrnn.dropout("0.5")),
        (ValueError, "dropout", lambda: jaxrnn.embedding(4, dropout=2)),
        (
            TypeError,
            "inputs of dropout must be floats, got int32",
            lambda: jaxrnn.dropout(0.5).apply((), jnp.ones((T, B), jnp.int32), (), key=KEY),
        ),
    ],
)
def test_bad_arguments_are_named(error, message, make, as_users_run):
    with pytest.raises(error, match=message):
        make()
