"""Every cell, depth and direction against PyTorch, Flax and Keras: outputs and all gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from flax import nnx
from marks import in_matrix

import jaxrnn

T, B, D, H = 6, 4, 3, 5
CELLS = {
    "rnn": jaxrnn.rnn(H),
    "relu": jaxrnn.rnn(H, jax.nn.relu),
    "gru": jaxrnn.gru(H),
    "gru_reset_before": jaxrnn.gru(H, reset_after=False),
    "lstm": jaxrnn.lstm(H),
}
LENGTHS = np.array([3, 6, 1, 4], np.int32)  # at least one step: PyTorch packs no empty sequence
VALID = np.arange(T)[:, None, None] < LENGTHS[None, :, None]


def networks(*names):
    """Parametrise a test over cells, depths and directions."""

    def parametrize(test):
        # Both directions hold one, and two layers one.
        directions = pytest.mark.parametrize("bidirectional", [*in_matrix(False), True])
        depths = pytest.mark.parametrize("num_layers", [*in_matrix(1), 2])
        return directions(depths(pytest.mark.parametrize("name", names)(test)))

    return parametrize


def make_problem(name, num_layers, bidirectional):
    """Our function (params, inputs) -> outputs, its arguments, and a weight for every output."""
    layer = jaxrnn.recurrent(CELLS[name])
    layer = jaxrnn.bidirectional(layer) if bidirectional else layer
    network = jaxrnn.stack([layer] * num_layers)

    def ours(params, inputs):
        carry = network.initial_carry(params, B)
        return network.apply(params, inputs, carry, lengths=LENGTHS)[0]

    params = network.init(jax.random.key(0), D)
    inputs = jax.random.normal(jax.random.key(1), (T, B, D))
    weights = np.random.default_rng(0).normal(size=(T, B, network.output_size(D)))
    return ours, params, inputs, weights.astype(np.float32)


def outputs_and_gradients(function, params, inputs, weights):
    """The outputs, and the gradients of their weighted sum."""

    @jax.jit
    def run(params, inputs):
        outputs, pull_back = jax.vjp(function, params, inputs)
        return outputs, pull_back(jnp.asarray(weights))

    return run(params, inputs)


def assert_agree(came, expected):
    """float32 on both sides: outputs within 1e-5, gradients, sums over all steps, within 1e-4."""
    np.testing.assert_allclose(came[0], expected[0], rtol=0, atol=1e-5)
    assert jax.tree.structure(came) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(expected), strict=True):
        assert np.abs(b).max() > 1e-2, "a gradient of nothing shows nothing"
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4)


def torch_weights(params):
    """PyTorch's parameters by their names."""
    for k, layer in enumerate(params):
        for suffix, own in zip(("", "_reverse"), reference.directions(layer), strict=False):
            b_hh = jnp.zeros_like(own.b_ih) if own.b_hh is None else own.b_hh
            yield f"weight_ih_l{k}{suffix}", own.w_ih.T
            yield f"weight_hh_l{k}{suffix}", own.w_hh.T
            yield f"bias_ih_l{k}{suffix}", own.b_ih
            yield f"bias_hh_l{k}{suffix}", b_hh


@networks("rnn", "relu", "gru", "lstm")
def test_pytorch(name, num_layers, bidirectional):
    torch = pytest.importorskip("torch")
    ours, params, inputs, weights = make_problem(name, num_layers, bidirectional)
    kind = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}.get(name) or functools.partial(
        torch.nn.RNN, nonlinearity="relu" if name == "relu" else "tanh"
    )
    module = kind(D, H, num_layers, bidirectional=bidirectional)
    given = {key: torch.tensor(np.asarray(value)) for key, value in torch_weights(params)}
    module.load_state_dict(given)  # strict: every parameter, and no other

    theirs = torch.tensor(np.asarray(inputs), requires_grad=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        theirs, torch.tensor(LENGTHS), enforce_sorted=False
    )
    outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(module(packed)[0], total_length=T)
    outputs.backward(torch.tensor(weights))

    came, (grads, d_inputs) = outputs_and_gradients(ours, params, inputs, weights)
    grads = dict(torch_weights(grads))
    if not CELLS[name].hidden_bias:
        grads |= {k.replace("ih", "hh"): g for k, g in grads.items() if k.startswith("bias_ih")}
    expected = {key: p.grad.numpy() for key, p in module.named_parameters()}
    assert_agree((came, grads, d_inputs), (outputs.detach().numpy(), expected, theirs.grad.numpy()))


def flax_cell(name, own):
    """Flax's cell with our weights; its GRU has no bias of the hidden gates."""
    make = {
        "rnn": nnx.SimpleCell,
        "gru": nnx.GRUCell,
        "lstm": nnx.OptimizedLSTMCell,
    }[name]
    cell = make(own.w_ih.shape[0], H, rngs=nnx.Rngs(0))
    biased = cell.dense_h if name == "lstm" else cell.dense_i
    for variable, value in (
        (cell.dense_i.kernel, own.w_ih),
        (cell.dense_h.kernel, own.w_hh),
        (biased.bias, own.b_ih),
    ):
        assert variable.shape == value.shape
        variable[...] = value
    return cell


def flax_layer(name, layer):
    runs = [nnx.RNN(flax_cell(name, own)) for own in reference.directions(layer)]
    return nnx.Bidirectional(*runs) if len(runs) == 2 else runs[0]


def replace_hidden_bias(params, value):
    """The params with `b_hh=value(own)` in every layer and direction."""
    return jax.tree.map(
        lambda own: own._replace(b_hh=value(own)),
        params,
        is_leaf=lambda node: isinstance(node, jaxrnn.RecurrentParams),
    )


@pytest.mark.matrix  # tests/interop/test_flax.py compares the same cells
@networks("rnn", "gru", "lstm")
def test_flax(name, num_layers, bidirectional):
    ours, params, inputs, weights = make_problem(name, num_layers, bidirectional)
    params = replace_hidden_bias(params, lambda own: None)

    def ours_as_flax(params, inputs):
        if CELLS[name].hidden_bias:
            params = replace_hidden_bias(params, lambda own: jnp.zeros_like(own.b_ih))
        return ours(params, inputs)

    def theirs(params, inputs):
        outputs = inputs
        for layer in params:
            outputs = flax_layer(name, layer)(outputs, seq_lengths=LENGTHS, time_major=True)
        return jnp.where(VALID, outputs, 0)

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        expected = outputs_and_gradients(theirs, params, inputs, weights)
    assert_agree(outputs_and_gradients(ours_as_flax, params, inputs, weights), expected)


@pytest.fixture
def keras(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield pytest.importorskip("keras")


def keras_layer(keras, name, bidirectional):
    make = {
        "rnn": keras.layers.SimpleRNN,
        "gru": keras.layers.GRU,
        "gru_reset_before": functools.partial(keras.layers.GRU, reset_after=False),
        "lstm": keras.layers.LSTM,
    }[name]
    layer = make(H, return_sequences=True)
    return keras.layers.Bidirectional(layer) if bidirectional else layer


def keras_weights(name, layer):
    """Kernel, recurrent kernel, bias, of each direction; Keras puts a GRU's z before its r."""

    def order(gates):
        if not name.startswith("gru"):
            return gates
        r, z, n = jnp.split(gates, 3, axis=-1)
        return jnp.concatenate([z, r, n], axis=-1)

    for own in reference.directions(layer):
        bias = own.b_ih if own.b_hh is None else jnp.stack([own.b_ih, own.b_hh])
        yield from map(order, (own.w_ih, own.w_hh, bias))


@pytest.mark.matrix  # tests/interop/test_keras.py compares the same layers
@networks("rnn", "gru", "gru_reset_before", "lstm")
def test_keras(name, num_layers, bidirectional, keras):
    ours, params, inputs, weights = make_problem(name, num_layers, bidirectional)
    layers = [keras_layer(keras, name, bidirectional) for _ in params]

    def theirs(params, inputs):
        outputs = jnp.swapaxes(inputs, 0, 1)
        for layer, own in zip(layers, params, strict=True):
            layer.build(outputs.shape)
            given = list(keras_weights(name, own))
            assert [w.shape for w in layer.trainable_variables] == [w.shape for w in given]
            state = [variable.value for variable in layer.non_trainable_variables]
            outputs, _ = layer.stateless_call(given, state, outputs, mask=VALID[..., 0].T)
        return jnp.where(VALID, jnp.swapaxes(outputs, 0, 1), 0)

    expected = outputs_and_gradients(theirs, params, inputs, weights)
    assert_agree(outputs_and_gradients(ours, params, inputs, weights), expected)
