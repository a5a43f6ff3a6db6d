"""PyTorch's recurrent modules, and the layers of ours that are the same."""

import re

import jax
import numpy as np
import pytest

import jaxrnn

torch = pytest.importorskip("torch")

T, B, D, H, P = 5, 3, 4, 6, 2
MODULES = {
    "rnn": (torch.nn.RNN, {}),
    "relu": (torch.nn.RNN, {"nonlinearity": "relu"}),
    "gru": (torch.nn.GRU, {}),
    "lstm": (torch.nn.LSTM, {}),
    "projected": (torch.nn.LSTM, {"proj_size": P}),
}
CELLS = {
    "rnn": jaxrnn.rnn(H),
    "relu": jaxrnn.rnn(H, jax.nn.relu),
    "gru": jaxrnn.gru(H),
    "lstm": jaxrnn.lstm(H),
    "projected": jaxrnn.lstm(H),
}


def make_module(name, sizes=(D, H), **options):
    """A module whose weights are large enough for its outputs to tell them."""
    kind, own_options = MODULES[name]
    module = kind(*sizes, **own_options | options)
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5, generator=generator)
    return module


def make_layer(name, num_layers=1, both=False, rate=None):
    layer = jaxrnn.recurrent(CELLS[name], projection_size=P if name == "projected" else None)
    layer = jaxrnn.bidirectional(layer) if both else layer
    between = [] if rate is None else [jaxrnn.dropout(rate)]
    return jaxrnn.stack([layer, *[*between, layer] * (num_layers - 1)])


def assert_trees_equal(came, expected):
    """In structure, types and every bit."""
    assert jax.tree.structure(came) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(expected), strict=True):
        assert isinstance(a, jax.Array)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def raises(error, text):
    """Expect an error whose message contains a text, which is no regular expression."""
    return pytest.raises(error, match=re.escape(text))
