"""Weights to and from other libraries, and compiled steps for use without this one.

Import what you need from the files below; `import jaxrnn` imports none of them.

- `torch`: PyTorch's nn.RNN, nn.GRU and nn.LSTM, their state dicts, `.safetensors` files and states.
- `flax`: recurrent cells of `flax.nnx` and `flax.linen`; jaxrnn's layers as nnx modules.
- `keras`: Keras 3's SimpleRNN, GRU and LSTM layers.
- `haiku`: the params of Haiku's VanillaRNN, GRU and LSTM.
- `equinox`: Equinox's GRUCell and LSTMCell.
- `export`: a trained layer's step as bytes that run without jaxrnn.
- `weights`: checks of weights, layers and parameters that the ports share.
- `optional`: imports of optional packages, with errors that say how to install them.
"""
