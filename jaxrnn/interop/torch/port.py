"""PyTorch's recurrent modules as layers, and layers as modules.

Our gates are in PyTorch's order, so weights are only transposed and nothing is rounded, with one
exception: PyTorch gives nn.RNN and nn.LSTM two biases that are only ever added; ours is their sum.
Our sequences are time-major, `[T, B, D]`; `batch_first` only affects the inputs of a module.
"""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.checks import check_choice
from jaxrnn.interop.torch.architecture import (
    Architecture,
    architecture_of,
    pack_params,
    recurrent_params,
)
from jaxrnn.interop.torch.source import infer, read
from jaxrnn.interop.torch.tensors import to_host, to_tensor
from jaxrnn.interop.weights import check_x64, dtype_of
from jaxrnn.layers import Layer
from jaxrnn.recurrence import LowRank, RecurrentParams
from jaxrnn.typing import HostArray, Params


def from_torch(
    source: Any, *, prefix: str = "", nonlinearity: str = "tanh"
) -> tuple[Layer, Params]:
    """Convert a recurrent PyTorch module, or its weights, to a layer and its params.

    Args:
        source: an nn.RNN, nn.GRU or nn.LSTM (or a single-step nn.RNNCell, nn.GRUCell or
            nn.LSTMCell), on any device; or a state dict of tensors or arrays; or the path of a
            `.safetensors` file.  The kind, the sizes, the layers, directions and biases and
            `proj_size` are inferred from the weights.
        prefix: prefix of the weights in a larger model's state dict or file, e.g. "encoder.lstm.".
        nonlinearity: "tanh" or "relu", for the weights of an nn.RNN; a module knows its own.

    Returns:
        (layer, params): a `stack` of one recurrent or bidirectional layer per PyTorch layer, with
        the module's `dropout` between them; weights alone do not tell the dropout.  Params keep the
        type of the weights, one of bfloat16, float16, float32 and float64.  They share no memory
        with the weights or, where tensors do, with each other: a module that is used twice becomes
        two copies.  Biases that a module lacks are zero.  A warning says that the layer is
        time-major where the module is `batch_first`.

    Raises:
        ModuleNotFoundError: a file was given and safetensors is not installed.
        TypeError: `source` is none of these, the weights do not share one of these types, or they
            are float64 while JAX has 64-bit types disabled.
        ValueError: weights are missing, unexpected or misshapen, none has the `prefix`, or the file
            is not a safetensors file.
        OSError: the file cannot be opened.

    Examples:
        >>> import torch
        >>> from jaxrnn.interop.torch import from_torch
        >>> layer, params = from_torch(torch.nn.GRU(4, 8, num_layers=2))
        >>> layer, params[0].w_ih.shape
        (Stack(Recurrent(gru(8)), Recurrent(gru(8))), (4, 24))
    """
    check_choice("nonlinearity", nonlinearity, ("tanh", "relu"))
    if getattr(source, "batch_first", False):
        warnings.warn(
            "the module is batch_first, the layer takes [T, B, D]: wrap it in jaxrnn.batch_first",
            stacklevel=2,
        )
    name, weights = read(source, prefix)
    architecture = infer(name, weights, getattr(source, "nonlinearity", nonlinearity))
    architecture = architecture._replace(dropout=getattr(source, "dropout", 0.0))
    dtype = dtype_of(f"the weights of {name}", weights.values())
    check_x64(f"the weights of {name}", dtype)
    arrays = {
        weight: to_host(weights[weight]) if weight in weights else np.zeros(shape, jnp.dtype(dtype))
        for weight, shape in architecture.weight_shapes().items()
    }
    own = [_params_of(architecture, arrays, suffix) for suffix in architecture.suffixes()]
    layer = architecture.layer()
    return layer, pack_params(layer, architecture.input_size, own)


def to_torch(layer: Layer, params: Params) -> Any:
    """Convert a layer to the PyTorch module that computes the same function.

    Args:
        layer: a recurrent layer of `jaxrnn.lstm`, with or without a projection, of `jaxrnn.gru`, or
            of `jaxrnn.rnn` with `jnp.tanh` or `jax.nn.relu`; or a bidirectional one of these; or a
            stack of several that are alike, with the same dropout between every two or none.
        params: its parameters.

    Returns:
        An nn.RNN, nn.GRU or nn.LSTM on the CPU, of the type of `params`, for inputs `[T, B, D]`.
        Where PyTorch's second bias is redundant, it is zero.  Like any new module, it is in
        training mode: `module.eval()` turns its dropout off.

    Raises:
        ModuleNotFoundError: torch is not installed.
        TypeError: `layer` is not a Layer, or `params` do not have its structure or a single type.
        ValueError: no module computes the same, or a shape in `params` is wrong.

    Examples:
        >>> import jax, jaxrnn
        >>> from jaxrnn.interop.torch import to_torch
        >>> layer = jaxrnn.recurrent(jaxrnn.lstm(8))
        >>> to_torch(layer, layer.init(jax.random.key(0), 4))
        LSTM(4, 8)
    """
    architecture = architecture_of(layer, params)
    dtype_of("params", jax.tree.leaves(params))
    weights = {
        f"{weight}{suffix}": to_tensor(array)
        for suffix, own in zip(architecture.suffixes(), recurrent_params(params), strict=True)
        for weight, array in _weights_of(own).items()
    }
    module = _empty_module(architecture)
    module.load_state_dict(weights, assign=True)
    return module


def _params_of(
    architecture: Architecture, weights: dict[str, HostArray], suffix: str
) -> RecurrentParams:
    """Return our params for one layer and direction."""
    b_ih, b_hh = weights[f"bias_ih{suffix}"], weights[f"bias_hh{suffix}"]
    has_both = architecture.cell().hidden_bias
    w_hh: Any = jnp.asarray(weights[f"weight_hh{suffix}"].T)
    if architecture.projection_size is not None:
        w_hh = LowRank(down=jnp.asarray(weights[f"weight_hr{suffix}"].T), up=w_hh)
    return RecurrentParams(
        w_ih=jnp.asarray(weights[f"weight_ih{suffix}"].T),
        w_hh=w_hh,
        b_ih=jnp.asarray(b_ih if has_both else b_ih + b_hh),
        b_hh=jnp.asarray(b_hh) if has_both else None,
    )


def _weights_of(params: RecurrentParams) -> dict[str, HostArray]:
    """Return PyTorch's weights for one layer and direction: the inverse of `_params_of`."""
    own: Any = jax.tree.map(to_host, params)
    weights = {
        "weight_ih": own.w_ih.T,
        "bias_ih": own.b_ih,
        "bias_hh": np.zeros_like(own.b_ih) if own.b_hh is None else own.b_hh,
    }
    if isinstance(own.w_hh, LowRank):
        return weights | {"weight_hh": own.w_hh.up.T, "weight_hr": own.w_hh.down.T}
    return weights | {"weight_hh": own.w_hh.T}


def _empty_module(architecture: Architecture) -> Any:
    """Make a module without memory, which leaves PyTorch's random state alone."""
    from torch import nn

    options: dict[str, Any] = {
        "num_layers": architecture.num_layers,
        "bidirectional": architecture.bidirectional,
        "dropout": architecture.dropout,
        "device": "meta",
    }
    if architecture.mode == "LSTM":
        options["proj_size"] = architecture.projection_size or 0
    elif architecture.mode != "GRU":
        options["nonlinearity"] = architecture.mode.removeprefix("RNN_").lower()
    make = getattr(nn, architecture.mode.split("_")[0])
    return make(architecture.input_size, architecture.hidden_size, **options)
