"""Modules of PyTorch and their layers are the same functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import in_matrix
from torch_modules import (
    CELLS,
    MODULES,
    B,
    D,
    H,
    P,
    T,
    assert_trees_equal,
    make_layer,
    make_module,
    torch,
)

import jaxrnn
from jaxrnn.interop.torch import carry_from_torch, carry_to_torch, from_torch, to_torch

# PyTorch says once a process that it takes its slower kernel
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")

LENGTHS = np.array([3, 5, 1], np.int32)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """PyTorch's threads wait for one another longer than such small networks take."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_batch_first_module_warns_that_its_layer_is_time_major():
    module = torch.nn.GRU(D, H, batch_first=True)
    with pytest.warns(UserWarning, match=r"the layer takes \[T, B, D\]"):
        layer, params = from_torch(module)
    inputs = np.random.default_rng(0).normal(size=(B, T, D)).astype(np.float32)
    outputs, _ = jaxrnn.batch_first(layer).apply(params, jnp.asarray(inputs))
    expected = module(torch.from_numpy(inputs))[0].detach()
    np.testing.assert_allclose(outputs, expected, atol=1e-6)


def make_state(module, dtype):
    """A hidden state with values, but for the one that ours cannot start from."""
    draws = np.random.default_rng(1)
    first = (module.num_layers * (2 if module.bidirectional else 1), B)
    if module.mode != "LSTM":
        return torch.tensor(draws.normal(size=(*first, H)), dtype=dtype)
    h = np.zeros((*first, P)) if module.proj_size else draws.normal(size=(*first, H))
    return tuple(torch.tensor(x, dtype=dtype) for x in (h, draws.normal(size=(*first, H))))


def run_theirs(module, inputs, state, lengths):
    """Outputs, final state."""
    with torch.no_grad():
        if lengths is None:
            return module(inputs, state)
        pack = torch.nn.utils.rnn.pack_padded_sequence
        packed = pack(inputs, torch.tensor(lengths, dtype=torch.int64), enforce_sorted=False)
        outputs, state = module(packed, state)
        return torch.nn.utils.rnn.pad_packed_sequence(outputs, total_length=T)[0], state


def assert_same_function(module, layer, params, atol):
    """Outputs and final carries; from zeros all steps, from a given state steps by `lengths`."""
    dtype = next(module.parameters()).dtype
    inputs = np.random.default_rng(0).normal(size=(T, B, module.input_size))
    theirs, ours = torch.tensor(inputs, dtype=dtype), jnp.asarray(inputs, params_dtype(params))
    state = make_state(module, dtype)
    starts = [layer.initial_carry(params, B), carry_from_torch(layer, params, state)]
    for start, carry, lengths in zip((None, state), starts, (None, LENGTHS), strict=True):
        expected, expected_end = run_theirs(module, theirs, start, lengths)
        outputs, carry = layer.apply(params, ours, carry, lengths=lengths)
        end = carry_to_torch(layer, params, carry)
        assert expected.abs().max() > 0.01, "nothing equals nothing"
        np.testing.assert_allclose(
            np.asarray(outputs, np.float64), expected.double(), rtol=0, atol=atol
        )
        assert isinstance(end, tuple) == (module.mode == "LSTM")
        torch.testing.assert_close(end, expected_end, rtol=0, atol=atol)


def params_dtype(params):
    (dtype,) = {leaf.dtype for leaf in jax.tree.leaves(params)}
    return dtype


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("bidirectional", [*in_matrix(False), True])
@pytest.mark.parametrize("num_layers", [2, *in_matrix(1, 3)])
@pytest.mark.parametrize("name", ["gru", *in_matrix("rnn", "relu", "lstm", "projected")])
def test_every_module(x64, name, num_layers, bidirectional, bias):
    """In float64: what differs is no rounding."""
    module = make_module(name, num_layers=num_layers, bidirectional=bidirectional, bias=bias)
    layer, params = from_torch(module.double())
    assert params_dtype(params) == jnp.float64
    assert_same_function(module, layer, params, atol=1e-12)


def both_outputs(name):
    """Their size; inputs of that size too, and both layers run the same compiled programs."""
    return 2 * (P if name == "projected" else H)


@pytest.mark.parametrize("name", MODULES)
def test_modules_in_float32(name):
    module = make_module(name, (both_outputs(name), H), num_layers=2, bidirectional=True)
    layer, params = from_torch(module)
    assert params_dtype(params) == jnp.float32
    assert_same_function(module, layer, params, atol=1e-5)


@pytest.mark.parametrize("name", CELLS)
def test_a_module_of_ours(name):
    layer = make_layer(name, num_layers=2, both=True)
    params = layer.init(jax.random.key(0), both_outputs(name))
    assert_same_function(to_torch(layer, params), layer, params, atol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_types_are_kept_and_the_function_stays(dtype):
    module = make_module("gru").to(getattr(torch, dtype))
    layer, params = from_torch(module)
    assert params_dtype(params) == dtype
    # both round at every step: within a few units of the last of 8 or 11 bits
    assert_same_function(module, layer, params, atol=0.02 if dtype == "bfloat16" else 0.0025)
    back = to_torch(layer, params)
    torch.testing.assert_close(back.weight_hh_l0, module.weight_hh_l0, rtol=0, atol=0)


def test_layers_that_are_no_stack():
    for layer in (make_layer("lstm").layers[0], make_layer("gru", both=True).layers[0]):
        params = layer.init(jax.random.key(0), D)
        assert_same_function(to_torch(layer, params), layer, params, atol=1e-5)
        assert_trees_equal(from_torch(to_torch(layer, params))[1], (params,))


@pytest.mark.parametrize("name", ["RNNCell", "GRUCell", "LSTMCell"])
def test_a_cell_of_a_single_step(name):
    nonlinearity = {"nonlinearity": "relu"} if name == "RNNCell" else {}
    torch.manual_seed(0)
    cell = getattr(torch.nn, name)(D, H, **nonlinearity)
    inputs = np.random.default_rng(0).normal(size=(B, D)).astype(np.float32)
    with torch.no_grad():
        expected = cell(torch.tensor(inputs))
    prefixed = {f"decoder.{key}": value for key, value in cell.state_dict().items()}
    for layer, params in (
        from_torch(cell),
        from_torch(prefixed, prefix="decoder.", nonlinearity="relu"),
    ):
        carry = layer.initial_carry(params, B)
        outputs, _ = jaxrnn.step(layer, params, jnp.asarray(inputs), carry)
        hidden = expected[0] if name == "LSTMCell" else expected
        np.testing.assert_allclose(outputs, hidden, rtol=0, atol=1e-5)


def test_dropout_stands_between_the_layers_and_comes_back():
    module = make_module("lstm", num_layers=3, dropout=0.25)
    layer, params = from_torch(module)
    lstm, drop = jaxrnn.recurrent(jaxrnn.lstm(H)), jaxrnn.dropout(0.25)
    assert layer == jaxrnn.stack([lstm, drop, lstm, drop, lstm])
    assert params[1] == params[3] == ()
    assert_same_function(module.eval(), layer, params, atol=1e-5)
    inputs, carry = jnp.ones((T, B, D)), layer.initial_carry(params, B)
    dropped, _ = layer.apply(params, inputs, carry, key=jax.random.key(0))
    assert not np.allclose(dropped, layer.apply(params, inputs, carry)[0])
    back = to_torch(layer, params)
    assert (back.dropout, back.num_layers, back.training) == (0.25, 3, True)
    assert_trees_equal(from_torch(back)[1], params)


def test_dropout_without_a_second_layer_is_none():
    with pytest.warns(UserWarning, match="dropout option adds dropout"):
        module = torch.nn.GRU(D, H, dropout=0.5)
    assert from_torch(module)[0] == jaxrnn.stack([jaxrnn.recurrent(jaxrnn.gru(H))])
