"""Ports of Haiku's recurrent cores: Haiku itself is the oracle."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import assert_close, assert_same_outputs_and_gradients, exactly, lenient, like

import jaxrnn
from jaxrnn.interop.haiku import from_haiku, to_haiku

hk = pytest.importorskip("haiku")

T, B, D, H = 6, 3, 4, 5
CORES = {
    "lstm": (hk.LSTM, jaxrnn.lstm(H)),
    "gru": (hk.GRU, jaxrnn.gru(H, reset_after=False)),
    "vanilla_rnn": (hk.VanillaRNN, jaxrnn.rnn(H, "relu")),
}
LSTM = jaxrnn.recurrent(jaxrnn.lstm(H))
SEQUENCE = jax.ShapeDtypeStruct((T, B, D), jnp.float32)


def over_time(make_core):
    """`init` and `apply` of a core, from (inputs, state) to (outputs, state)."""
    run = hk.transform(lambda inputs, state: hk.dynamic_unroll(make_core(), inputs, state))
    return hk.without_apply_rng(run)


def params_of(make_core, carry, seed=0):
    """Random ones, none of them zero."""
    with lenient():
        init = over_time(make_core).init
        shapes = jax.eval_shape(init, jax.random.key(0), SEQUENCE, as_state(carry))
    return like(shapes, seed)


def as_state(carry):
    return hk.LSTMState(*carry) if len(carry) == 2 else carry.hidden


def random_carry(cell, dtype=jnp.float32):
    return like(cell.initial_carry(B, dtype), seed=2)


@pytest.mark.parametrize("name", CORES)
def test_a_core_over_time_has_a_layer_that_equals_it(name, x64):
    kind, cell = CORES[name]
    make_core, carry = functools.partial(kind, H), random_carry(cell, jnp.float64)
    params, inputs = jax.tree.map(
        lambda leaf: leaf.astype(jnp.float64), (params_of(make_core, carry), like(SEQUENCE, 3))
    )
    assert from_haiku(params)[0] == jaxrnn.recurrent(cell)

    def ours(params, inputs):
        layer, own = from_haiku(params)
        outputs, final = layer.apply(own, inputs, carry)
        return outputs, as_state(final)

    def theirs(params, inputs):
        return over_time(make_core).apply(params, inputs, as_state(carry))

    assert_same_outputs_and_gradients(ours, theirs, params, inputs)


@pytest.mark.parametrize("name", CORES)
def test_a_layer_has_a_core_that_equals_it_and_comes_back(name):
    kind, cell = CORES[name]
    layer, carry = jaxrnn.recurrent(cell), random_carry(cell)
    params = like(jax.eval_shape(lambda: layer.init(jax.random.key(0), D)), seed=1)
    exported = to_haiku(layer, params)
    assert jax.tree.structure(exported) == jax.tree.structure(params_of(lambda: kind(H), carry))

    inputs = like(SEQUENCE, 3)
    with lenient():
        run = jax.jit(over_time(lambda: kind(H)).apply)
        theirs, state = run(exported, inputs, as_state(carry))
    outputs, final = layer.apply(params, inputs, carry)
    assert_close((theirs, state), (outputs, as_state(final)), 1e-5)  # float32, 6 steps

    again, back = from_haiku(exported, name)
    assert again == layer
    # An LSTM's forget gates take off 1 and add it: the rounding of numbers near 1
    assert_close(back, params, 1e-7 if name == "lstm" else 0)
    assert_close(back._replace(b_ih=0), params._replace(b_ih=0), 0)


@pytest.mark.parametrize("name", CORES)
def test_weights_of_haiku_come_back_as_they_were(name):
    kind, cell = CORES[name]
    params = params_of(lambda: kind(H), cell.initial_carry(B, jnp.float32))
    if name == "lstm":  # numbers to which 1 is added exactly, as to Haiku's initial zeros
        params["lstm/linear"]["b"] = jnp.arange(-1, 1.5, 1 / 8, jnp.float32)
    if name == "vanilla_rnn":  # whose two biases become one
        params["vanilla_rnn/linear_1"]["b"] = jnp.zeros(H)
    assert_close(to_haiku(*from_haiku(params)), params, 0)


def test_a_vanilla_rnn_may_have_one_bias():
    one = functools.partial(hk.VanillaRNN, H, double_bias=False)
    carry = random_carry(jaxrnn.rnn(H, "relu"))
    params = params_of(one, carry)
    assert set(params["vanilla_rnn/linear_1"]) == {"w"}
    layer, own = from_haiku(params)
    with lenient():
        expected, _ = over_time(one).apply(to_haiku(layer, own), like(SEQUENCE, 3), carry.hidden)
    assert_close(layer.apply(own, like(SEQUENCE, 3), carry)[0], expected, 1e-5)  # float32, 6 steps


class Model(hk.Module):
    """A deep network, whose cores have names within its own."""

    def __init__(self):
        super().__init__()
        self.core = hk.DeepRNN([hk.GRU(H), hk.LSTM(H), hk.LSTM(H), hk.Linear(2)])

    def __call__(self, inputs):
        return self.core(inputs, self.core.initial_state(B))


def test_cores_of_a_larger_model_are_found_by_name():
    model = hk.transform(lambda inputs: Model()(inputs))
    with lenient():
        shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((B, D)))
    params = like(shapes, seed=0)
    for name, cell in (("gru", CORES["gru"][1]), ("lstm", LSTM.cell), ("lstm_1", LSTM.cell)):
        layer, own = from_haiku(params, f"model/~/{name}")
        assert layer == jaxrnn.recurrent(cell)
        (module,) = back = to_haiku(layer, own, f"model/~/{name}")
        # An LSTM's forget gates take off 1 and add it: the rounding of numbers near 1
        assert_close(back, {module: params[module]}, 1e-7)


def ones(*shape):
    return np.ones(shape, np.float32)


REFUSED = {
    "several modules": (
        {"lstm/linear": {}, "lstm_1/linear": {}, "linear": {}},
        None,
        "module_name must be given unless params hold one module, got 'lstm', 'lstm_1', 'linear'",
    ),
    "no modules": ({}, None, "module_name must be given unless params hold one module, got none"),
    "another module": (
        {"lstm/linear": {"w": ones(9, 20)}, "conv2_d_lstm/input_to_hidden": {}},
        "conv2_d_lstm",
        "params hold no hk.LSTM, hk.GRU or hk.VanillaRNN called 'conv2_d_lstm': their modules are"
        " 'lstm/linear', 'conv2_d_lstm/input_to_hidden'",
    ),
    "an LSTM's weights": (
        {"lstm/linear": {"w": ones(9, 21)}, "lstm": {"h": ones(5)}},
        None,
        "the weights of the hk.LSTM 'lstm' do not fit: linear/b is missing; h is unexpected;"
        " linear/w has shape (9, 21), expected (9, 20)",
    ),
    "a GRU's weights": (
        {"gru": {"w_h": ones(4, 15), "b": ones(5)}},
        None,
        "the weights of the hk.GRU 'gru' do not fit: w_i is missing; w_h has shape (4, 15),"
        " expected (5, 15); b has shape (5,), expected (15,)",
    ),
    "a VanillaRNN's weights": (
        {
            "rnn/linear": {"w": ones(4, 5)},
            "rnn/linear_1": {"w": ones()},
        },
        None,
        "the weights of the hk.VanillaRNN 'rnn' do not fit: linear/b is missing; linear_1/w has"
        " shape (), expected (5, 5)",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_params_that_are_no_cores_are_refused_with_the_reason(why):
    params, name, text = REFUSED[why]
    with pytest.raises(ValueError, match=exactly(text)):
        from_haiku(params, name)


def test_arguments_of_another_type_are_refused(as_users_run):
    with pytest.raises(TypeError, match="params must be a dict of weights for each module's name"):
        from_haiku({"gru": 1})
    text = r"params\['gru'\]\['b'\] must be an array, got list"
    with pytest.raises(TypeError, match=text):
        from_haiku({"gru": {"b": [1.0]}})
    mixed = {"lstm/linear": {"w": ones(9, 20), "b": np.ones(20, np.float16)}}
    with pytest.raises(TypeError, match="the weights of 'lstm' must share one type out of"):
        from_haiku(mixed)
    wide = {"lstm/linear": {"w": np.ones((9, 20)), "b": np.ones(20)}}
    with pytest.raises(TypeError, match="the weights of 'lstm' are float64, which JAX supports "):
        from_haiku(wide)
    with pytest.raises(TypeError, match="layer must be of type Layer to become a Haiku core, "):
        to_haiku(jaxrnn.gru(H), {})
    with pytest.raises(TypeError, match="params must be those of Recurrent"):
        to_haiku(LSTM, {})


NOT_OF_HAIKU = {
    "a stack": (
        jaxrnn.stack([LSTM, LSTM]),
        "Stack(Recurrent(lstm(5)), Recurrent(lstm(5))) cannot become a Haiku core, only"
        " recurrent(cell) can: port the recurrent layers in it one by one",
    ),
    "a projection": (
        jaxrnn.recurrent(jaxrnn.lstm(H), projection_size=2),
        "a layer whose w_hh is LowRank cannot become a Haiku core, whose recurrent weights are one"
        " matrix",
    ),
    "reverse": (
        jaxrnn.recurrent(jaxrnn.lstm(H), reverse=True),
        "recurrent(..., reverse=True) cannot become a Haiku core, where reverse would be lost or"
        " mean something else: port the layer without it; the params are the same",
    ),
    "the reset after": (
        jaxrnn.recurrent(jaxrnn.gru(H)),
        "the cell gru cannot be ported: hk.GRU resets before the recurrent product, as gru(...,"
        " reset_after=False) does",
    ),
    "the activation": (
        jaxrnn.recurrent(jaxrnn.rnn(H)),
        'the cell rnn cannot be ported: hk.VanillaRNN applies relu, as rnn(..., "relu") does',
    ),
    "another cell": (
        jaxrnn.recurrent(jaxrnn.mgu(H)),
        "the cell mgu cannot be ported: Haiku has no core with its equations",
    ),
}


@pytest.mark.parametrize("why", NOT_OF_HAIKU)
def test_what_has_no_core_of_haiku_is_refused_with_the_reason(why):
    layer, text = NOT_OF_HAIKU[why]
    params = like(jax.eval_shape(lambda: layer.init(jax.random.key(0), D)), seed=1)
    with pytest.raises(ValueError, match=exactly(text)):
        to_haiku(layer, params)
