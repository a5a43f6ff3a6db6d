"""Keras 3's SimpleRNN, GRU and LSTM layers, on any Keras backend.

`port` converts layers and their weights both ways.  `reading` checks what a Keras layer does in one
direction and reads its parameters; `writing` makes Keras layers.
"""

from jaxrnn.interop.keras.port import from_keras, to_keras

__all__ = ["from_keras", "to_keras"]
