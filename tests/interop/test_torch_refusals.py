"""Layers, params, states and carries that PyTorch has no counterpart of are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from torch_modules import CELLS, B, D, H, P, make_layer, raises

import jaxrnn
from jaxrnn.interop.torch import carry_from_torch, carry_to_torch, to_torch


def params_of(layer):
    return layer.init(jax.random.key(0), D)


def mgu(hidden_size):
    return jaxrnn.Cell(
        "mgu",
        hidden_size,
        gates=("forget", "candidate"),
        initial_carry=jaxrnn.zero_carry(jaxrnn.HiddenCarry, hidden_size),
        update=lambda cell_params, input_gates, hidden_gates, carry: carry,
    )


LSTM, GRU = jaxrnn.recurrent(jaxrnn.lstm(H)), jaxrnn.recurrent(jaxrnn.gru(H))
DROPOUT = jaxrnn.dropout(0.5)
RATES = [LSTM, DROPOUT, LSTM, jaxrnn.dropout(0.25), LSTM]


def projected(size, cell=CELLS["lstm"]):
    return jaxrnn.recurrent(cell, projection_size=size)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            jaxrnn.recurrent(jaxrnn.gru(H, reset_after=False)),
            "gru(reset_after=False) resets before the recurrent product, PyTorch resets after it",
        ),
        (
            jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.gru(H), recurrent_dropout=0.5)),
            "recurrent(..., recurrent_dropout=0.5) cannot become a PyTorch module, where",
        ),
        (
            jaxrnn.recurrent(jaxrnn.gru(H), dtype="bfloat16"),
            "recurrent(..., dtype=bfloat16) cannot become a PyTorch module, where",
        ),
        (jaxrnn.recurrent(mgu(H)), "this mgu has other equations"),
        (
            jaxrnn.recurrent(jaxrnn.rnn(H, jax.nn.silu)),
            "lstm, gru and rnn with jnp.tanh or jax.nn.relu: this rnn has other equations",
        ),
        (
            jaxrnn.recurrent(jaxrnn.lstm(H), num_heads=2),
            "num_heads > 1 makes the recurrent weights a BlockDiagonal; PyTorch's are one matrix",
        ),
        (projected(P, jaxrnn.gru(H)), "projects the hidden state of LSTMs only, not of GRU"),
        (projected(P, jaxrnn.rnn(H)), "projects the hidden state of LSTMs only, not of RNN_TANH"),
        (
            projected(H),
            "projection must be smaller than hidden_size = 6, got projection_size = 6",
        ),
        (
            jaxrnn.stack([projected(2), projected(3)]),
            "PyTorch has one projection_size for all layers, got [2, 3]",
        ),
        (
            jaxrnn.stack([LSTM, projected(3)]),
            "PyTorch has one projection_size for all layers, got [None, 3]",
        ),
        (
            jaxrnn.stack([LSTM, jaxrnn.recurrent(jaxrnn.lstm(5))]),
            "have the same cell, size and directions, got LSTM of 6 units, LSTM of 5 units",
        ),
        (
            jaxrnn.stack([LSTM, GRU]),
            "have the same cell, size and directions, got LSTM of 6 units, GRU of 6 units",
        ),
        (
            jaxrnn.stack([jaxrnn.bidirectional(GRU), GRU]),
            "got GRU of 6 units in both directions, GRU of 6 units",
        ),
        (
            jaxrnn.learned_initial_carry(LSTM),
            "PyTorch's modules do not learn an initial carry: port the layer inside"
            " learned_initial_carry, and the carry with carry_to_torch",
        ),
        (jaxrnn.bidirectional(jaxrnn.learned_initial_carry(LSTM)), "do not learn an initial carry"),
        (jaxrnn.stack([LSTM, jaxrnn.linear(3)]), "dropout between them, not of Linear(3)"),
        (
            jaxrnn.recurrent(jaxrnn.lstm(H), reverse=True),
            "recurrent(..., reverse=True) cannot become a PyTorch module, where reverse would be"
            " lost or mean something else",
        ),
        (
            jaxrnn.stack([jaxrnn.bidirectional(GRU, merge="sum")]),
            "bidirectional(..., merge='sum') cannot become a PyTorch module, which concatenates the"
            " outputs of both directions",
        ),
        (jaxrnn.embedding(3), "dropout between them, not of Embedding(3)"),
        (jaxrnn.stack([LSTM, jaxrnn.stack([LSTM])]), "not of Stack(Recurrent(lstm(6)))"),
        (
            jaxrnn.stack([LSTM, DROPOUT]),
            "PyTorch has dropout between every two layers and nowhere else, got a stack of"
            " Recurrent(lstm(6)), Dropout(0.5)",
        ),
        (jaxrnn.stack([LSTM, DROPOUT, LSTM, LSTM]), "between every two layers and nowhere else"),
        (jaxrnn.stack([DROPOUT, LSTM, DROPOUT]), "between every two layers and nowhere else"),
        (DROPOUT, "between every two layers and nowhere else"),
        (jaxrnn.stack(RATES), "PyTorch's dropout has one rate, got 0.5, 0.25"),
        (
            jaxrnn.stack([LSTM, jaxrnn.dropout(0.5, variational=True), LSTM]),
            "PyTorch's dropout draws a mask at every step, variational dropout only one for all",
        ),
    ],
)  # fmt: skip
def test_layers_without_a_counterpart_are_refused(layer, message):
    params = jax.eval_shape(lambda: params_of(layer))  # nothing asks for their values
    for port in (
        to_torch,
        lambda *of: carry_to_torch(*of, ()),
        lambda *of: carry_from_torch(*of, ()),
    ):
        with raises(ValueError, message):
            port(layer, params)


def test_params_that_are_not_the_layers_are_refused(as_users_run):
    layer = make_layer("gru", num_layers=2)
    params = params_of(layer)
    for wrong in ((), params[:1], params[0], None, (params[0], params[1]._replace(b_hh=None))):
        with raises(TypeError, "params must be those of Stack("):
            to_torch(layer, wrong)
    narrow = params[0]._replace(b_ih=jnp.ones(3))
    with raises(ValueError, "params[0].b_ih must have shape (18,), got (3,)"):
        to_torch(layer, (narrow, params[1]))
    flat = params[0]._replace(w_ih=jnp.ones(3))
    with raises(ValueError, "params[0].w_ih must have shape (1, 18), got (3,)"):
        to_torch(layer, (flat, params[1]))
    half = params[0]._replace(b_ih=params[0].b_ih.astype(jnp.bfloat16))
    with raises(TypeError, "params must share one type out of bfloat16, float16, float32, float64"):
        to_torch(layer, (half, params[1]))
    with raises(TypeError, "layer must be of type Layer to become a PyTorch module, got"):
        to_torch(jaxrnn.gru(3), params)


def test_a_state_that_does_not_fit_is_refused(as_users_run):
    lstm, gru = make_layer("lstm"), make_layer("gru")
    of_lstm, of_gru = params_of(lstm), params_of(gru)
    h = np.zeros((1, B, H), np.float32)
    with raises(TypeError, "state of LSTM must be the pair (h, c), got "):
        carry_from_torch(lstm, of_lstm, h)
    with raises(TypeError, "state of GRU must be one tensor, h, got "):
        carry_from_torch(gru, of_gru, (h, h))
    with raises(TypeError, "h must be a tensor or an array, got 3"):
        carry_from_torch(gru, of_gru, 3)
    with raises(TypeError, "state must be float32 like params, got float64"):
        carry_from_torch(gru, of_gru, h.astype(np.float64))
    shape = "must have shape [layers * directions, B, width] = (1, 3, 6), got"
    for wrong in (h[0], h[..., :2], np.zeros((2, B, H), np.float32)):
        with pytest.raises(ValueError, match=r"h must have shape \[layers \* directions, B"):
            carry_from_torch(gru, of_gru, wrong)
    with raises(ValueError, f"c {shape} (1, 2, 6)"):
        carry_from_torch(lstm, of_lstm, (h, h[:, :2]))


def test_a_projected_hidden_cannot_be_told_from_its_projection():
    layer = make_layer("projected")
    params = params_of(layer)
    h, c = np.zeros((1, B, P), np.float32), np.ones((1, B, H), np.float32)
    ((hidden, memory),) = carry_from_torch(layer, params, (h, c))
    assert hidden.shape == (B, H)
    assert (hidden == 0).all()
    assert (memory == 1).all()
    h[0, 1, 1] = 1e-3
    with raises(ValueError, "h of a projected LSTM must be zero: our carry holds the hidden state"):
        carry_from_torch(layer, params, (h, c))


def test_a_carry_that_does_not_fit_is_refused(as_users_run):
    layer = make_layer("lstm")
    params = params_of(layer)
    (carry,) = layer.initial_carry(params, B)
    for wrong in ((), (carry, carry), carry, None):
        with raises(TypeError, "carry must be that of Stack("):
            carry_to_torch(layer, params, wrong)
    for wrong in (carry.hidden, jaxrnn.HiddenCarry(carry.hidden)):
        with raises(TypeError, "carry must be a LSTMCarry of arrays, got "):
            carry_to_torch(layer, params, (wrong,))
    with raises(ValueError, "carry.memory must have shape (3, 6), got (2, 6)"):
        carry_to_torch(layer, params, (carry._replace(memory=carry.memory[:2]),))
    with raises(TypeError, "carry.memory must be float32, got bfloat16"):
        half = carry.memory.astype(jnp.bfloat16)
        carry_to_torch(layer, params, (carry._replace(memory=half),))
