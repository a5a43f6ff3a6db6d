"""Against Keras itself, on its JAX backend: outputs, states and gradients, and round trips."""

import contextlib
import os

import jax
import jax.numpy as jnp
import numpy as np
import preloaded
import pytest
from marks import in_matrix
from subprocesses import ROOT, environment, finish

import jaxrnn
from jaxrnn.interop.keras import from_keras, to_keras

os.environ["KERAS_BACKEND"] = "jax"
keras = pytest.importorskip("keras")
layers = keras.layers

T, B, D, H = 6, 4, 3, 5
LENGTHS = np.array([T, 4, 1, 0])
VALID = np.arange(T)[:, None] < LENGTHS  # [T, B]
KINDS = {
    "rnn": (layers.SimpleRNN, {}, jaxrnn.rnn(H)),
    "gru": (layers.GRU, {}, jaxrnn.gru(H)),
    "gru reset before": (layers.GRU, {"reset_after": False}, jaxrnn.gru(H, reset_after=False)),
    "lstm": (layers.LSTM, {}, jaxrnn.lstm(H)),
    "rnn relu": (layers.SimpleRNN, {"activation": "relu"}, jaxrnn.rnn(H, jax.nn.relu)),
    "rnn sigmoid": (layers.SimpleRNN, {"activation": "sigmoid"}, jaxrnn.rnn(H, jax.nn.sigmoid)),
}
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
EVERY_DIRECTION = pytest.mark.parametrize("two_ways", [False, True], ids=["one way", "two ways"])
# Most of the tests' time is XLA's.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@contextlib.contextmanager
def lenient():
    """Keras promotes dtypes and ranks."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def built(layer, input_size=D):
    """The layer with random weights, biases too, which Keras would begin with zeros."""
    rng = np.random.default_rng(0)
    with lenient():
        layer.build((None, None, input_size))
    layer.set_weights([rng.normal(scale=0.5, size=v.shape) for v in layer.weights])
    return layer


def made(kind, two_ways=False, biases=(True,), **options):
    """A Keras layer for each of the biases, one upon the other."""
    kind, equations, _ = KINDS[kind]
    zeros = {"kernel_initializer": "zeros", "recurrent_initializer": "zeros"}  # quick to compile
    options = {"return_sequences": True, "return_state": True} | zeros | equations | options
    made = []
    for use_bias in biases:
        layer = kind(H, use_bias=use_bias, **options)
        layer = layers.Bidirectional(layer) if two_ways else layer
        made.append(built(layer, H * (1 + two_ways) if made else D))
    return made


def random_inputs():
    return np.random.default_rng(1).normal(size=(T, B, D)).astype(np.float32)


def call(keras_layer, inputs, **arguments):
    """The outputs of a Keras layer for inputs `[T, B, D]`."""
    with lenient():
        return keras_layer(inputs.swapaxes(0, 1), **arguments)


def run(layer, params, inputs, **arguments):
    """The outputs of our layer."""
    start = layer.initial_carry(params, inputs.shape[1])
    return layer.apply(params, inputs, start, **arguments)


def equal(tree, other):
    """Bit for bit, and of the same structure."""
    assert jax.tree.structure(tree) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, tree, other)


def run_keras(stack, weights, inputs):
    """Outputs and all final states, as a function of the weights."""
    hidden, states = inputs.swapaxes(0, 1), []
    for layer, own in zip(stack, weights, strict=True):
        others = [variable.value for variable in layer.non_trainable_variables]
        (hidden, *ends), _ = layer.stateless_call(own, others, hidden, mask=VALID.T)
        states += ends
    return hidden.swapaxes(0, 1), states


def loss(outputs, states):
    """A loss of the states and of the outputs that count; in the padding outputs differ."""
    sums = [jnp.sin(state).sum() for state in states]
    return jnp.where(VALID[..., None], jnp.sin(outputs), 0).sum() + sum(sums), (outputs, states)


@pytest.mark.parametrize("biases", [*in_matrix((True,)), (False, True)], ids=str)
@pytest.mark.parametrize("two_ways", [*in_matrix(False), True])
@pytest.mark.parametrize("kind", ["gru reset before", "lstm", *in_matrix("rnn", "gru")])
def test_outputs_states_and_gradients_equal_keras(kind, two_ways, biases):
    stack = made(kind, two_ways, biases)
    layer, params = from_keras(stack)

    def their_loss(weights, inputs):
        return loss(*run_keras(stack, weights, inputs))

    def our_loss(params, inputs):
        outputs, carry = run(layer, params, inputs, lengths=LENGTHS)
        return loss(outputs, jax.tree.leaves(carry))

    def gradients(function, own):
        both = jax.grad(function, argnums=(0, 1), has_aux=True)
        return jax.jit(both, compiler_options=QUICK)(own, jnp.asarray(random_inputs()))

    weights = [[v.value for v in keras_layer.trainable_variables] for keras_layer in stack]
    with lenient():
        (their_grads, their_d_inputs), (expected, their_ends) = gradients(their_loss, weights)
    (our_grads, our_d_inputs), (outputs, ends) = gradients(our_loss, params)

    # float32 in both: forward within 1e-5, gradients (sums over all steps) within 1e-4
    np.testing.assert_allclose(outputs[VALID], expected[VALID], atol=1e-5)
    for ours, theirs in zip(ends, their_ends, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    np.testing.assert_allclose(our_d_inputs, their_d_inputs, atol=1e-4)
    for keras_layer, grads in zip(stack, their_grads, strict=True):
        keras_layer.set_weights(grads)  # so that from_keras gives them the form of our params
    theirs = dict(jax.tree.leaves_with_path(from_keras(stack)[1]))
    for path, grad in jax.tree.leaves_with_path(our_grads):
        use_bias = biases[path[0].idx if len(biases) > 1 else 0]
        if use_bias or not path[-1].name.startswith("b_"):
            np.testing.assert_allclose(grad, theirs[path], atol=1e-4)


@pytest.mark.parametrize("kind", ["rnn relu", "rnn sigmoid"])
def test_other_activations_equal_keras(kind):
    (theirs,) = made(kind)
    outputs, _ = run(*from_keras(theirs), random_inputs())
    expected, _ = call(theirs, random_inputs())
    np.testing.assert_allclose(outputs, expected.swapaxes(0, 1), atol=1e-5)


@EVERY_DIRECTION
def test_padding_is_zero_where_keras_repeats_in_one_direction(two_ways):
    (theirs,) = made("rnn", two_ways)
    outputs, _ = run(*from_keras(theirs), random_inputs(), lengths=LENGTHS)
    theirs = np.swapaxes(call(theirs, random_inputs(), mask=VALID.T)[0], 0, 1)
    assert not outputs[~VALID].any()
    if two_ways:
        assert not theirs[~VALID].any()
    else:
        np.testing.assert_array_equal(theirs[4:, 1], np.tile(theirs[3, 1], (2, 1)))
        assert theirs[3, 1].any()


@EVERY_DIRECTION
def test_states_go_in_and_the_last_output_comes_out_of_the_carry(two_ways):
    (theirs,) = made("lstm", two_ways, return_sequences=False)
    layer, params = from_keras(theirs)
    states = list(np.random.default_rng(2).normal(size=(2 + 2 * two_ways, B, H)).astype("float32"))
    last, *ends = call(theirs, random_inputs(), initial_state=states)
    structure = jax.tree.structure(layer.initial_carry(params, B))
    start = jax.tree.unflatten(structure, map(jnp.asarray, states))
    _, carry = layer.apply(params, random_inputs(), start)
    for ours, expected in zip(jax.tree.leaves(carry), ends, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-5)
    hidden = [carry.forward.hidden, carry.backward.hidden] if two_ways else [carry.hidden]
    np.testing.assert_allclose(np.concatenate(hidden, -1), last, atol=1e-5)


@EVERY_DIRECTION
@EVERY_KIND
def test_weights_survive_the_way_to_ours_and_back(kind, two_ways):
    (theirs,) = made(kind, two_ways)
    layer, params = from_keras(theirs)
    inner = jaxrnn.recurrent(KINDS[kind][2])
    assert layer == (jaxrnn.bidirectional(inner) if two_ways else inner)
    with lenient():
        back = to_keras(layer, params)
    assert type(back) is type(theirs)
    assert back.built
    assert back.return_sequences
    config = (back.forward_layer if two_ways else back).get_config()
    assert config.items() >= (KINDS[kind][1] | {"units": H, "use_bias": True}).items()
    for variable, expected in zip(back.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(variable.value, expected.value)


@EVERY_DIRECTION
def test_params_survive_the_way_to_keras_and_back(two_ways):
    parts = [jaxrnn.recurrent(cell) for _, _, cell in KINDS.values()]
    layer = jaxrnn.stack([jaxrnn.bidirectional(part) if two_ways else part for part in parts])
    params = layer.init(jax.random.key(0), D)
    with lenient():
        theirs = to_keras(layer, params)
    back, back_params = from_keras(theirs)
    equal(back_params, params)
    assert back == layer


@pytest.mark.parametrize(("mode", "merge"), [("sum", "sum"), ("ave", "mean"), ("mul", "product")])
def test_merge_modes_survive_the_way_to_ours_and_back(mode, merge):
    one = layers.GRU(H, return_sequences=True)
    theirs = built(layers.Bidirectional(one, merge_mode=mode))
    layer, params = from_keras(theirs)
    assert layer == jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.gru(H)), merge=merge)
    with lenient():
        back = to_keras(layer, params)
    assert back.merge_mode == mode
    outputs, _ = run(layer, params, random_inputs(), lengths=LENGTHS)
    for keras_layer in (theirs, back):
        expected = call(keras_layer, random_inputs(), mask=VALID.T)
        np.testing.assert_allclose(outputs, expected.swapaxes(0, 1), atol=1e-5)


def test_the_last_output_of_a_layer_that_goes_backwards_is_in_the_carry():
    options = {"return_sequences": False, "go_backwards": True, "dropout": 0.1}
    first, last = built(layers.GRU(H, return_sequences=True)), built(layers.LSTM(H, **options), H)
    layer, params = from_keras([first, last])
    assert layer.layers[2] == jaxrnn.recurrent(jaxrnn.lstm(H), reverse=True)
    _, carry = run(layer, params, random_inputs(), lengths=LENGTHS)
    hidden = call(first, random_inputs(), mask=VALID.T).swapaxes(0, 1)
    expected = call(last, hidden, mask=VALID.T)
    np.testing.assert_allclose(carry[2].hidden, expected, atol=1e-5)


def test_the_backend_of_keras_does_not_matter_and_keras_is_imported_when_used():
    """And one that is missing is named with the way out; one process for both."""
    program, variables = "interop.keras_elsewhere", environment() | {"KERAS_BACKEND": "numpy"}
    code, said, complained = finish(preloaded.Process(program, [], ROOT, variables), timeout=120)
    assert code == 0, complained
    assert said == (
        "equal\nfrom_keras needs keras, whose backend tensorflow is not installed: set the"
        " environment variable KERAS_BACKEND=jax before Python starts, or pip install tensorflow\n"
    )
