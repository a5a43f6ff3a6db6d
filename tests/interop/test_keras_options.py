"""Dropout and dtypes between Keras and ours, and what is refused."""

import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn.interop.keras import from_keras, to_keras

pytest.importorskip("keras")

from test_keras import (
    KINDS,
    B,
    D,
    H,
    T,
    built,
    call,
    equal,
    keras,
    layers,
    lenient,
    made,
    random_inputs,
    run,
)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("rnn", {"dropout": 0.4, "recurrent_dropout": 0.5}), ("gru", {"dropout": 0.4})],
)
def test_dropout_with_the_masks_of_keras_equals_it(kind, options, monkeypatch):
    (theirs,) = made(kind, seed=7, **options)
    generator = keras.random.SeedGenerator(7)
    drawn = {}

    def mask_of_keras(key, rate, shape, dtype):
        with lenient():
            mask = keras.random.dropout(jnp.ones(shape[-2:], dtype), rate, seed=generator)
        drawn[rate] = shape
        return mask.reshape(shape)

    for module in ("dropout", "recurrent_regularizers"):
        name = f"jaxrnn.layers.{module}"
        monkeypatch.setattr(sys.modules[name], "dropout_mask", mask_of_keras)
    layer, params = from_keras(theirs)
    rate = options.get("recurrent_dropout", 0)
    runs = jaxrnn.recurrent(KINDS[kind][2], recurrent_dropout=rate)
    assert layer == jaxrnn.stack([jaxrnn.dropout(0.4, variational=True), runs])
    outputs, _ = run(layer, params, random_inputs(), key=jax.random.key(0))
    expected, _ = call(theirs, random_inputs(), training=True)
    # Keras's cell draws once in a sequence: for its inputs [B, D], then for its state [B, H].
    assert drawn == {0.4: (1, B, D)} | ({0.5: (B, H)} if kind == "rnn" else {})
    np.testing.assert_allclose(outputs, expected.swapaxes(0, 1), atol=1e-5)


def test_a_sequential_with_dropout_survives_the_way_to_ours_and_back():
    inner = layers.LSTM(H, return_sequences=True, dropout=0.3)
    first = layers.RNN(layers.GRUCell(H), return_sequences=True)
    model = keras.Sequential(
        [
            layers.Dropout(0.1),
            first,
            layers.SpatialDropout1D(0.2),
            keras.Sequential([layers.Bidirectional(inner), layers.Dropout(0.6, (None, 1, None))]),
        ]
    )
    layer, params = from_keras(built(model))
    wrapped = [jaxrnn.dropout(0.3, variational=True), jaxrnn.recurrent(jaxrnn.lstm(H))]
    assert layer == jaxrnn.stack(
        [
            jaxrnn.dropout(0.1),
            jaxrnn.recurrent(jaxrnn.gru(H)),
            jaxrnn.dropout(0.2, variational=True),
            jaxrnn.bidirectional(jaxrnn.stack(wrapped)),
            jaxrnn.dropout(0.6, variational=True),
        ]
    )
    with lenient():
        back = to_keras(layer, params)
    names = ["Dropout", "GRU", "SpatialDropout1D", "Bidirectional", "SpatialDropout1D"]
    assert [type(part).__name__ for part in back.layers] == names
    assert back.layers[3].forward_layer.dropout == 0.3
    equal(from_keras([layers.InputLayer((None, D)), *back.layers])[1], params)
    outputs, _ = run(layer, params, random_inputs())
    for theirs in (model, back):
        expected = call(theirs, random_inputs())
        np.testing.assert_allclose(outputs, expected.swapaxes(0, 1), atol=1e-5)


def test_keras_dropout_is_ours():
    ones = np.ones((T, B, 50), np.float32)
    for kind, variational in ((layers.Dropout, False), (layers.SpatialDropout1D, True)):
        layer, params = from_keras(kind(0.5))
        outputs, _ = run(layer, params, ones, key=jax.random.key(0))
        theirs = call(kind(0.5), ones, training=True).swapaxes(0, 1)
        for values in map(np.asarray, (outputs, theirs)):
            assert set(np.unique(values)) == {0.0, 2.0}
            assert (values == values[:1]).all() == variational


def test_float64_stays(x64):
    (theirs,) = made("lstm", dtype="float64")
    _, params = from_keras(theirs)
    # Not what they compute: in Keras on JAX 64 bits become 32 in each tanh.
    equal(list(params[:3]), [jnp.asarray(v.value) for v in theirs.weights])
    assert params.w_hh.dtype == jnp.float64


def test_bfloat16_stays():
    (theirs,) = made("lstm", biases=(False,), dtype="bfloat16")
    layer, params = from_keras(theirs)
    inputs = random_inputs().astype(jnp.bfloat16)
    outputs, _ = run(layer, params, inputs)
    expected, *_ = call(theirs, inputs)
    assert {outputs.dtype, *(leaf.dtype for leaf in jax.tree.leaves(params))} == {inputs.dtype}
    # eight bits of mantissa, rounded at each step
    np.testing.assert_allclose(outputs, expected.swapaxes(0, 1), atol=2e-2)


class OwnLSTM(layers.LSTM):
    """Who knows what it overrides."""


def lstm(**options):
    return built(layers.LSTM(H, **options))


def stateful():
    layer = layers.LSTM(H, stateful=True)
    layer.build((2, None, D))
    return layer


def both(**options):
    return layers.Bidirectional(layers.LSTM(H, return_sequences=True), **options)


def other_way(**options):
    return layers.LSTM(H, return_sequences=True, go_backwards=True, **options)


REFUSED = {
    "go_backwards=True returns the outputs in reverse, jaxrnn's stay": lambda: built(other_way()),
    "stateful=True keeps the state inside": stateful,
    "zero_output_for_mask=True returns zeros": lambda: lstm(zero_output_for_mask=True),
    "recurrent_dropout draws a mask for each gate": lambda: lstm(recurrent_dropout=0.5),
    "dropout with implementation=1 draws a mask": lambda: lstm(dropout=0.5, implementation=1),
    "dropout=1 drops nothing in Keras": lambda: lstm(dropout=1.0),
    "activation <function relu.* is not tanh": lambda: lstm(activation="relu"),
    "recurrent_activation <.*hard.* is not sigmoid": lambda: lstm(
        recurrent_activation="hard_sigmoid"
    ),
    "<function elu.* is not one of tanh, relu, sigmoid": lambda: built(
        layers.SimpleRNN(H, activation="elu")
    ),
    "merge_mode=None does not merge the outputs": lambda: built(both(merge_mode=None)),
    "its two layers differ: .*lstm.*dropout=0.0.*dropout=0.2": lambda: built(
        both(backward_layer=other_way(dropout=0.2))
    ),
    "go_backwards=True returns": lambda: built(
        layers.Bidirectional(other_way(), backward_layer=layers.LSTM(H, return_sequences=True))
    ),
    "Masking reads lengths off the inputs": lambda: [layers.Masking(), lstm()],
    "'dense.*' cannot be ported: jaxrnn has no Dense": lambda: [lstm(), layers.Dense(3)],
    "jaxrnn has no OwnLSTM": lambda: built(OwnLSTM(H)),
    "jaxrnn has no StackedRNNCells": lambda: built(layers.RNN([layers.GRUCell(H)] * 2)),
    r"noise_shape=\(4, 1, 3\) is not": lambda: layers.Dropout(0.5, noise_shape=(4, 1, 3)),
    "return_sequences=False leaves no sequence": lambda: [lstm(), layers.Dropout(0.5)],
    "one dtype, got bfloat16 and float32: a mixed": lambda: lstm(dtype="mixed_bfloat16"),
    "one dtype, got float16 and float32": lambda: [
        layers.Dropout(0.1, dtype="float16"), built(both())
    ],
    "which JAX needs jax_enable_x64 for": lambda: layers.Dropout(0.1, dtype="float64"),
    r"it is not built: call it once, or call build": lambda: keras.Sequential([layers.LSTM(H)]),
    r"at least one layer, got \[\]": list,
}  # fmt: skip


@pytest.mark.parametrize(("text", "make"), REFUSED.items(), ids=REFUSED)
def test_what_ours_cannot_do_is_refused_with_the_reason(text, make):
    with lenient():
        source = make()
    with pytest.raises(ValueError, match=text):
        from_keras(source)


def test_weights_that_do_not_fit_are_named():
    (theirs,) = made("lstm", biases=(False,))
    theirs.cell.kernel._name = "weight"
    theirs.cell.use_bias = True
    theirs.cell.units = 4
    with pytest.raises(ValueError, match=f"the Keras layer '{theirs.name}' do not fit") as error:
        from_keras(theirs)
    for text in (
        "kernel is missing",
        "bias is missing",
        "weight is unexpected",
        r"recurrent_kernel has shape (5, 20), expected (4, 16)",
    ):
        assert text in str(error.value)


one = jaxrnn.recurrent(jaxrnn.lstm(H))
NOT_FOR_KERAS = {
    "Keras has no cell with the equations of rnn": jaxrnn.recurrent(jaxrnn.rnn(H, jnp.sin)),
    "it projects its hidden state": jaxrnn.recurrent(jaxrnn.lstm(H), projection_size=2),
    "its gates read the hidden state in heads": jaxrnn.stack(
        [one, jaxrnn.recurrent(jaxrnn.gru(4), num_heads=2)]
    ),
    "recurrent(..., recurrent_dropout=0.1) cannot become a Keras layer": jaxrnn.recurrent(
        jaxrnn.gru(H), recurrent_dropout=0.1
    ),
    "recurrent(..., reverse=True) cannot become a Keras layer": jaxrnn.bidirectional(
        jaxrnn.recurrent(jaxrnn.gru(H), reverse=True)
    ),
    "recurrent(..., dtype=bfloat16) cannot become a Keras layer": jaxrnn.recurrent(
        jaxrnn.gru(H), dtype=jnp.bfloat16
    ),
    "Keras has no counterpart of LearnedInitialCarry": jaxrnn.learned_initial_carry(one),
    "Keras has no counterpart of Linear": jaxrnn.stack([one, jaxrnn.linear(3)]),
    "Keras has no counterpart of Embedding": jaxrnn.embedding(3),
    "Bidirectional wraps one recurrent": jaxrnn.bidirectional(jaxrnn.stack([one, one])),
    "Bidirectional wraps one": jaxrnn.bidirectional(jaxrnn.stack([jaxrnn.dropout(0.5), one])),
    "arrays of float32, got none": jaxrnn.dropout(0.5),
}


@pytest.mark.parametrize(("text", "layer"), NOT_FOR_KERAS.items(), ids=NOT_FOR_KERAS)
def test_what_keras_cannot_do_is_refused_with_the_reason(text, layer):
    with lenient(), pytest.raises(ValueError, match=re.escape(text)):
        to_keras(layer, layer.init(jax.random.key(0), D))


def test_arguments_of_the_wrong_kind_are_named(as_users_run):
    params = one.init(jax.random.key(0), D)
    with pytest.raises(TypeError, match="source must be a Keras layer or a list of them, got 3"):
        from_keras([lstm(), 3])
    with pytest.raises(TypeError, match="must be of type Layer to become a Keras layer"):
        to_keras(jaxrnn.lstm(H), params)
    for wrong in ((params,), np.float32(1), ()):
        with pytest.raises(TypeError, match="params must be those of Recurrent"):
            to_keras(one, wrong)
    with pytest.raises(ValueError, match=r"params.b_ih must have shape \(20,\), got \(19,\)"):
        to_keras(one, params._replace(b_ih=params.b_ih[1:]))
    with pytest.raises(ValueError, match="float32, got bfloat16 and float32"):
        to_keras(one, params._replace(b_ih=params.b_ih.astype(jnp.bfloat16)))
