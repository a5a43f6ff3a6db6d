"""Keras 3's SimpleRNN, GRU and LSTM, whatever backend it runs on."""

from jaxrnn.interop.keras.port import from_keras as from_keras
from jaxrnn.interop.keras.port import to_keras as to_keras
