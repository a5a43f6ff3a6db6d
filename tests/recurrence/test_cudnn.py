"""cuDNN's LSTM: what is handed to it and made of what it returns, beside JAX's reference of it.

The kernels themselves need a GPU; here `jax.experimental.rnn.lstm_ref` stands in their place, given
the very arguments, flat weights included.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn
from marks import in_matrix

import jaxrnn

T, B, D, H = 6, 4, 3, 5
LENGTHS = np.array([6, 2, 0, 1], np.int32)


def reference(x, h_0, c_0, weights, lengths, input_size, hidden_size, *rest):
    unpacked = rnn.unpack_lstm_weights(weights, input_size, hidden_size, 1, False)
    sizes = (input_size, hidden_size, *rest)
    return rnn.lstm_ref(x, h_0, c_0, *unpacked, lengths, *sizes)


@pytest.fixture
def on_a_gpu(monkeypatch):
    monkeypatch.setattr(rnn, "lstm", reference)


def make_loss(implementation, lengths, reverse):
    cell = jaxrnn.lstm(H)

    def loss(params, inputs, carry):
        outputs, last = jaxrnn.unroll(
            cell,
            params,
            inputs,
            carry,
            lengths=lengths,
            reverse=reverse,
            implementation=implementation,
        )
        value = jnp.sin(outputs).sum() + jnp.cos(last.hidden).sum() + jnp.sin(last.memory).sum()
        return value, (outputs, last)

    return jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)


def arguments():
    params = jaxrnn.recurrent(jaxrnn.lstm(H)).init(jax.random.key(0), D)
    keys = jax.random.split(jax.random.key(1), 3)
    carry = jaxrnn.LSTMCarry(*(jax.random.normal(key, (B, H)) for key in keys[:2]))
    return params, jax.random.normal(keys[2], (T, B, D)), carry


@pytest.mark.parametrize(
    ("when", "reverse"),
    [("whole", False), ("lengths", True), *in_matrix(("whole", True), ("lengths", False))],
)
def test_outputs_carry_and_gradients_are_those_of_the_engine(on_a_gpu, when, reverse):
    lengths = LENGTHS if when == "lengths" else None
    ours, theirs = (
        jax.jit(make_loss(implementation, lengths, reverse))(*arguments())
        for implementation in ("scan", "cudnn")
    )
    for a, b in zip(jax.tree.leaves(theirs), jax.tree.leaves(ours), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=2e-6)  # float32 sums of two dozen terms


def test_the_layouts_of_operands_results_and_their_cotangents_are_fixed(on_a_gpu):
    """JAX's call says nothing of layouts: without this a GPU's kernel read batch as time."""
    run = make_loss("cudnn", None, False)
    forward = str(jax.make_jaxpr(lambda *args: run.__wrapped__(*args))(*arguments()))
    assert forward.count("layout_constraint[") == 6  # inputs, hidden and memory; both ways
    gradient = str(jax.make_jaxpr(run)(*arguments()))
    assert gradient.count("layout_constraint[") == 12


def test_where_there_is_no_gpu_it_is_an_error():
    """And not another program in silence, which may be compiled for a GPU elsewhere."""
    layer = jaxrnn.recurrent(jaxrnn.lstm(H + 1), implementation="cudnn")  # not compiled yet
    params = layer.init(jax.random.key(0), D)
    with pytest.raises(ValueError, match=r'"cudnn" needs a GPU with cuDNN.*; None runs on any'):
        layer.apply(params, jnp.ones((T, B, D)))


@pytest.mark.parametrize(
    ("layer", "options", "named"),
    [
        (jaxrnn.recurrent(jaxrnn.gru(H), implementation="cudnn"), {}, "the cell gru"),
        (jaxrnn.recurrent(jaxrnn.lstm(H), implementation="cudnn"), {"resets": 1}, "resets"),
        (
            jaxrnn.recurrent(jaxrnn.lstm(H), implementation="cudnn", projection_size=2),
            {},
            "w_hh as LowRank",
        ),
        (
            jaxrnn.recurrent(jaxrnn.lstm(H), implementation="cudnn", dtype=jnp.bfloat16),
            {},
            "dtype=bfloat16",
        ),
        (
            jaxrnn.recurrent(jaxrnn.lstm(H), implementation="cudnn", zoneout=0.5),
            {"key": 1},
            "zoneout",
        ),
    ],
)
def test_what_it_does_not_take_is_named(layer, options, named, as_users_run):
    values = {"resets": jnp.zeros((T, B), bool), "key": jax.random.key(0)}
    options = {name: values[name] for name in options}
    params = layer.init(jax.random.key(0), D)
    with pytest.raises(ValueError, match=f'implementation "cudnn" does not take {named}'):
        layer.apply(params, jnp.ones((T, B, D)), layer.initial_carry(params, B), **options)


def test_token_ids_are_named(as_users_run):
    layer = jaxrnn.recurrent(jaxrnn.lstm(H), implementation="cudnn")
    params = layer.init(jax.random.key(0), D)
    with pytest.raises(ValueError, match="does not take token ids: embed them"):
        layer.apply(params, jnp.zeros((T, B), jnp.int32), layer.initial_carry(params, B))
