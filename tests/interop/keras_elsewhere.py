"""Keras on another backend, and on one that is missing: a program, as a process has one backend."""

import os
import sys

import numpy as np

from jaxrnn.interop.keras import from_keras, to_keras


def compare_both_ways():
    """A model of Keras on NumPy is ours, and ours is a layer of Keras."""
    assert "keras" not in sys.modules, "keras is imported before it is used"
    import keras

    assert keras.backend.backend() == "numpy"
    model = keras.Sequential([keras.layers.Bidirectional(keras.layers.LSTM(4))])
    inputs = np.random.default_rng(0).normal(size=(6, 2, 3)).astype("float32")
    expected = model(inputs.swapaxes(0, 1))
    layer, params = from_keras(model)
    outputs, carry = layer.apply(params, inputs, layer.initial_carry(params, 2))
    np.testing.assert_allclose(np.hstack([end.hidden for end in carry]), expected, atol=1e-5)
    back = to_keras(layer, params)(inputs.swapaxes(0, 1))
    np.testing.assert_allclose(back.swapaxes(0, 1), outputs, atol=1e-5)
    print("equal")


def miss_a_backend():
    """TensorFlow is the one that Keras takes where neither environment nor settings name one."""
    for name in [name for name in sys.modules if name.split(".")[0] == "keras"]:
        del sys.modules[name]
    os.environ["KERAS_BACKEND"] = "tensorflow"
    sys.modules["tensorflow"] = None  # as if it were not installed
    try:
        from_keras(None)
    except ModuleNotFoundError as error:
        print(error)


if __name__ == "__main__":
    compare_both_ways()
    miss_a_backend()
