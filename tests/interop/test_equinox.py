"""Ports of Equinox's recurrent cells: Equinox itself is the oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import assert_close, assert_same_outputs_and_gradients, exactly, like

import jaxrnn
from jaxrnn.interop.equinox import from_equinox, to_equinox

eqx = pytest.importorskip("equinox")

T, B, D, H = 6, 3, 4, 5
CELLS = {"GRUCell": jaxrnn.gru(H), "LSTMCell": jaxrnn.lstm(H)}
GRU = jaxrnn.recurrent(jaxrnn.gru(H))
SEQUENCE = jax.ShapeDtypeStruct((T, B, D), jnp.float32)


def module_of(name, dtype=jnp.float32, **options):
    """A cell with random weights, none of them zero."""
    make = getattr(eqx.nn, name)
    shapes = eqx.filter_eval_shape(make, D, H, dtype=dtype, key=jax.random.key(0), **options)
    return like(shapes, seed=0)


def random_params(layer):
    return like(jax.eval_shape(lambda: layer.init(jax.random.key(0), D)), seed=1)


def random_carry(cell, dtype=jnp.float32):
    return like(cell.initial_carry(B, dtype), seed=2)


def as_state(carry):
    return tuple(carry) if len(carry) == 2 else carry.hidden


def over_time(module, inputs, state):
    """Run a cell over `[T, B, D]`, as Equinox's documentation does: (outputs, state)."""

    def step(state, inputs):
        state = jax.vmap(module)(inputs, state)
        return state, state[0] if isinstance(state, tuple) else state

    state, outputs = jax.lax.scan(step, state, inputs)
    return outputs, state


def run_ours(layer, params, inputs, carry):
    outputs, carry = layer.apply(params, inputs, carry)
    return outputs, as_state(carry)


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_over_time_has_a_layer_that_equals_it(name, x64):
    cell = CELLS[name]
    module, carry = module_of(name, jnp.float64), random_carry(cell, jnp.float64)
    assert from_equinox(module)[0] == jaxrnn.recurrent(cell)
    assert_same_outputs_and_gradients(
        lambda module, inputs: run_ours(*from_equinox(module), inputs, carry),
        lambda module, inputs: over_time(module, inputs, as_state(carry)),
        module,
        like(jax.ShapeDtypeStruct((T, B, D), jnp.float64), 3),
    )


@pytest.mark.parametrize("name", CELLS)
def test_a_layer_has_a_cell_that_equals_it_and_comes_back(name):
    layer, carry = jaxrnn.recurrent(CELLS[name]), random_carry(CELLS[name])
    params, inputs = random_params(layer), like(SEQUENCE, 3)
    expected = run_ours(layer, params, inputs, carry)

    module = to_equinox(layer, params)
    assert type(module) is getattr(eqx.nn, name)
    assert_close(over_time(module, inputs, as_state(carry)), expected, 1e-5)  # float32, 6 steps

    again, back = from_equinox(module)
    assert again == layer
    if name == "GRUCell":  # two gates add b_ih and b_hh, so that one bias came back
        assert_close(run_ours(again, back, inputs, carry), expected, 1e-5)
    else:
        assert_close(back, params, 0)


@pytest.mark.parametrize("name", CELLS)
def test_weights_of_equinox_come_back_as_they_were(name):
    module = module_of(name)
    assert_close(to_equinox(*from_equinox(module)), module, 0)


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_without_biases_has_biases_of_zero(name):
    layer, params = from_equinox(module_of(name, use_bias=False))
    assert layer == jaxrnn.recurrent(CELLS[name])
    assert not params.b_ih.any()
    assert params.b_hh is None or not params.b_hh.any()
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, random_params(layer))


class Derived(eqx.nn.GRUCell):
    """A cell that may compute anything."""


def misshapen():
    module = eqx.tree_at(lambda module: module.bias, module_of("GRUCell"), jnp.zeros(H))
    return eqx.tree_at(lambda module: module.bias_n, module, None)


REFUSED = {
    "another module": (
        lambda: eqx.nn.Linear(D, H, key=jax.random.key(0)),
        "Linear cannot be ported, only eqx.nn.GRUCell and eqx.nn.LSTMCell can",
    ),
    "a subclass": (
        lambda: Derived(D, H, key=jax.random.key(0)),
        "Derived cannot be ported, only eqx.nn.GRUCell and eqx.nn.LSTMCell can",
    ),
    "weights": (
        misshapen,
        "the weights of the eqx.nn.GRUCell do not fit: bias has shape (5,), expected (15,); bias_n"
        " has shape (), expected (5,)",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_has_no_layer_is_refused_with_the_reason(why):
    make, text = REFUSED[why]
    with pytest.raises(ValueError, match=exactly(text)):
        from_equinox(make())


def test_arguments_of_another_type_are_refused(as_users_run):
    with pytest.raises(TypeError, match=r"module must be an eqx\.nn\.GRUCell or eqx\.nn\.LSTMCell"):
        from_equinox(jaxrnn.gru(H))
    module = module_of("LSTMCell")
    mixed = eqx.tree_at(lambda module: module.bias, module, module.bias.astype(jnp.float16))
    with pytest.raises(TypeError, match=r"weights of the eqx\.nn\.LSTMCell must share one type"):
        from_equinox(mixed)
    wide = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), module)
    with pytest.raises(TypeError, match=r"eqx\.nn\.LSTMCell are float64, which JAX supports only"):
        from_equinox(wide)
    with pytest.raises(TypeError, match="layer must be of type Layer to become an Equinox cell, "):
        to_equinox(jaxrnn.gru(H), {})
    with pytest.raises(TypeError, match="params must be those of Recurrent"):
        to_equinox(GRU, {})


NOT_OF_EQUINOX = {
    "both directions": (
        jaxrnn.bidirectional(GRU),
        "Bidirectional(Recurrent(gru(5))) cannot become an Equinox cell, only recurrent(cell) can:"
        " port the recurrent layers in it one by one",
    ),
    "heads": (
        jaxrnn.recurrent(jaxrnn.gru(H), num_heads=H),
        "a layer whose w_hh is BlockDiagonal cannot become an Equinox cell, whose recurrent weights"
        " are one matrix",
    ),
    "dtype": (
        jaxrnn.recurrent(jaxrnn.lstm(H), dtype=jnp.bfloat16),
        "recurrent(..., dtype=bfloat16) cannot become an Equinox cell, where dtype would be lost or"
        " mean something else: port the layer without it; the params are the same",
    ),
    "the reset before": (
        jaxrnn.recurrent(jaxrnn.gru(H, reset_after=False)),
        "the cell gru_reset_before cannot be ported: eqx.nn.GRUCell resets after the recurrent"
        " product",
    ),
    "another cell": (
        jaxrnn.recurrent(jaxrnn.rnn(H)),
        "the cell rnn cannot be ported: Equinox has no cell with its equations",
    ),
}


@pytest.mark.parametrize("why", NOT_OF_EQUINOX)
def test_what_has_no_cell_of_equinox_is_refused_with_the_reason(why):
    layer, text = NOT_OF_EQUINOX[why]
    with pytest.raises(ValueError, match=exactly(text)):
        to_equinox(layer, random_params(layer))
