"""Layers and cells of Keras that serve twice become copies."""

import numpy as np
import pytest
from marks import in_matrix

from jaxrnn.interop.keras import from_keras

pytest.importorskip("keras")

from test_keras import KINDS, LENGTHS, VALID, B, T, built, call, keras, layers, lenient, run

WIDTH = 4  # of inputs and hidden, so that a layer can stand upon itself
INPUTS = np.random.default_rng(1).normal(size=(T, B, WIDTH)).astype(np.float32)
SEQUENCES = {"return_sequences": True}


def sequential_of_a_layer(kind, equations):
    layer = kind(WIDTH, **SEQUENCES, **equations)
    return keras.Sequential([layer, layer])


def sequential_that_nests_a_layer(kind, equations):
    layer = kind(WIDTH, **SEQUENCES, **equations)
    return keras.Sequential([layer, keras.Sequential([layer])])


def sequential_of_a_cell(kind, equations):
    cell = kind(WIDTH, **equations).cell
    return keras.Sequential([layers.RNN(cell, **SEQUENCES) for _ in range(2)])


def both_ways_by_a_cell(kind, equations):
    cell = kind(WIDTH, **equations).cell
    backward = layers.RNN(cell, go_backwards=True, **SEQUENCES)
    both = layers.Bidirectional(layers.RNN(cell, **SEQUENCES), backward_layer=backward)
    both.forward_layer.cell = cell  # which the Bidirectional has copied
    assert both.backward_layer.cell is cell
    return both


# Keras warns of every Sequential with a mask that what comes after does not see it; it does.
@pytest.mark.filterwarnings("ignore:Layer 'sequential.* was passed an input with a mask")
@pytest.mark.parametrize(
    "share",
    [
        sequential_of_a_layer,
        sequential_that_nests_a_layer,
        sequential_of_a_cell,
        both_ways_by_a_cell,
    ],
)
@pytest.mark.parametrize("kind", ["gru", *in_matrix(*(kind for kind in KINDS if kind != "gru"))])
def test_what_is_used_twice_equals_two_copies(kind, share):
    kind, equations, _ = KINDS[kind]
    theirs = built(share(kind, equations), WIDTH)
    assert len(theirs.weights) == 3  # of one cell
    outputs, _ = run(*from_keras(theirs), INPUTS, lengths=LENGTHS)
    expected = call(theirs, INPUTS, mask=VALID.T).swapaxes(0, 1)
    # float32, 6 steps twice
    np.testing.assert_allclose(outputs[VALID], expected[VALID], atol=1e-5)


def test_a_layer_may_stand_in_a_list_twice():
    both = layers.Bidirectional(layers.LSTM(WIDTH // 2, **SEQUENCES))
    built(both, WIDTH)
    outputs, _ = run(*from_keras([both, both]), INPUTS)
    with lenient():
        expected = both(both(INPUTS.swapaxes(0, 1)))
    np.testing.assert_allclose(outputs, expected.swapaxes(0, 1), atol=1e-5)


class OwnSequential(keras.Sequential):
    """Who knows what it overrides."""


def test_other_models_are_to_be_given_as_lists():
    inputs = keras.Input((T, WIDTH))
    layer = layers.GRU(WIDTH, **SEQUENCES)
    with lenient():
        model = keras.Model(inputs, layer(layer(inputs)))
    for source in (model, [model], OwnSequential([layer])):
        name = "OwnSequential" if isinstance(source, OwnSequential) else "Functional"
        text = (
            f"cannot be ported: a {name} may be any graph: pass its layers in a list, in the order"
            " of the calls, one entry per call$"
        )
        with pytest.raises(ValueError, match=text):
            from_keras(source)
    outputs, _ = run(*from_keras([layer, layer]), INPUTS)
    expected = call(model, INPUTS)
    np.testing.assert_allclose(outputs, expected.swapaxes(0, 1), atol=1e-5)
