"""PyTorch's recurrent modules as layers, and layers as modules.

Our gates stand in PyTorch's order, so weights are transposed and nothing is rounded, with one
exception: PyTorch gives nn.RNN and nn.LSTM two biases that are only ever added; ours is their sum.
Our sequences are time-major, `[T, B, D]`; `batch_first` concerns only what a module itself is fed.
"""

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
from jaxrnn.interop.torch.tensors import check_x64, dtype_of, to_host, to_tensor
from jaxrnn.layers import Layer
from jaxrnn.recurrence import LowRank, RecurrentParams
from jaxrnn.typing import HostArray, Params


def from_torch(
    source: Any, *, prefix: str = "", nonlinearity: str = "tanh"
) -> tuple[Layer, Params]:
    """The layer and the params that are one of PyTorch's recurrent modules.

    Args:
        source: an nn.RNN, nn.GRU or nn.LSTM (or the nn.RNNCell, nn.GRUCell or nn.LSTMCell of one
            step), on any device; or a state dict, of tensors or arrays; or the path of a
            `.safetensors` file.  The kind, the sizes, the layers, directions and biases and
            `proj_size` are read off the weights.
        prefix: where the weights lie in a larger model's state dict or file, "encoder.lstm.".
        nonlinearity: "tanh" or "relu": what the weights of an nn.RNN do not tell; a module does.

    Returns:
        (layer, params): a `stack` of a recurrent layer, or a bidirectional one, for each layer of
        PyTorch's, and between them the `dropout` that a module may have and weights do not tell.
        Params keep the type of the weights, one of bfloat16, float16, float32 and float64, and
        share no memory with them, or with each other where tensors do: a module that is used twice
        becomes two copies.  Biases that a module does without are zero.

    Raises:
        ModuleNotFoundError: a file was given and safetensors is not installed.
        TypeError: `source` is none of these, or the weights are not all of one of these types, or
            are float64 where JAX has none.
        ValueError: weights are missing, unexpected or misshapen, nothing lies under `prefix`, or
            the file is not a safetensors file.
        OSError: the file cannot be opened.
    """
    check_choice("nonlinearity", nonlinearity, ("tanh", "relu"))
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
    """The module of PyTorch that is the same function as a layer.

    Args:
        layer: a recurrent layer of `jaxrnn.lstm`, with or without a projection, of `jaxrnn.gru`, or
            of `jaxrnn.rnn` with `jnp.tanh` or `jax.nn.relu`; or a bidirectional one of these; or a
            stack of several that are alike, with one rate of dropout between every two or none.
        params: its parameters.

    Returns:
        An nn.RNN, nn.GRU or nn.LSTM on the CPU, of the type of `params`, for inputs `[T, B, D]`;
        where PyTorch's second bias is redundant, it is zero.  It is in training mode, as any new
        module: `module.eval()` turns its dropout off.

    Raises:
        ModuleNotFoundError: torch is not installed.
        TypeError: `layer` is not a Layer, or `params` are not of its structure or not of one type.
        ValueError: no module is the same function, or a shape in `params` is wrong.
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
    """Those of one layer and direction."""
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
    """The inverse of `_params_of`."""
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
    """One without memory, whose making leaves PyTorch's random numbers as they are."""
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
