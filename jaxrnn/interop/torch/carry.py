"""Carries of our layers to and from hidden states of PyTorch's modules."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.cells import HiddenCarry, LSTMCarry
from jaxrnn.checks import check_shape
from jaxrnn.interop.torch.architecture import Architecture, architecture_of, recurrent_params
from jaxrnn.interop.torch.tensors import to_host, to_tensor
from jaxrnn.interop.weights import dtype_of
from jaxrnn.layers import Layer
from jaxrnn.recurrence.arguments import check_carry
from jaxrnn.recurrence.weights import project_outputs
from jaxrnn.typing import Carry, HostArray, Params


def carry_from_torch(layer: Layer, params: Params, state: Any) -> Carry:
    """Convert the hidden state of a PyTorch module to the carry of a layer.

    Args:
        layer: one that `to_torch` accepts.
        params: its parameters.
        state: h `[layers * directions, B, H]`, or (h, c) of an LSTM, as tensors or arrays of the
            type of `params`.  h `[layers * directions, B, P]` of a projected LSTM must be zero:
            our carry holds the hidden state before its projection, which is not invertible.

    Returns:
        The carry that `layer.apply` takes.

    Raises:
        TypeError: `layer` is not a Layer, `params` do not have its structure, or `state` has the
            wrong structure or type.
        ValueError: the layer has no counterpart in PyTorch, a shape is wrong, or h is projected
            and not zero.

    Examples:
        >>> import jax, jaxrnn, torch
        >>> from jaxrnn.interop.torch import carry_from_torch
        >>> layer = jaxrnn.recurrent(jaxrnn.lstm(8))
        >>> params = layer.init(jax.random.key(0), 4)
        >>> carry = carry_from_torch(layer, params, (torch.zeros(1, 3, 8), torch.zeros(1, 3, 8)))
        >>> carry.hidden.shape, carry.memory.shape
        ((3, 8), (3, 8))
    """
    architecture = architecture_of(layer, params)
    fields = _fields(architecture, params, state)
    if architecture.projection_size is not None:
        if fields[0].any():
            raise ValueError(
                "h of a projected LSTM must be zero: our carry holds the hidden state before its"
                " projection, which is not invertible"
            )
        fields[0] = np.zeros_like(fields[1])
    carry_type = LSTMCarry if architecture.mode == "LSTM" else HiddenCarry
    carries = [carry_type(*map(jnp.asarray, own)) for own in zip(*fields, strict=True)]
    return jax.tree.unflatten(_structure(layer, params), carries)


def carry_to_torch(layer: Layer, params: Params, carry: Carry) -> Any:
    """Convert the carry of a layer to the hidden state of its PyTorch module.

    Args:
        layer: one that `to_torch` accepts.
        params: its parameters.
        carry: what `layer.initial_carry` or `layer.apply` returned.

    Returns:
        A tensor h `[layers * directions, B, H]`, or (h, c) for an LSTM; h is projected if the
        layer is.

    Raises:
        ModuleNotFoundError: torch is not installed.
        TypeError: `layer` is not a Layer, or `params` or `carry` do not have its structure.
        ValueError: the layer has no counterpart in PyTorch, or a shape is wrong.

    Examples:
        >>> import jax, jaxrnn
        >>> from jaxrnn.interop.torch import carry_to_torch
        >>> layer = jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.lstm(8), projection_size=2))
        >>> params = layer.init(jax.random.key(0), 4)
        >>> h, c = carry_to_torch(layer, params, layer.initial_carry(params, 3))
        >>> list(h.shape), list(c.shape)
        ([2, 3, 2], [2, 3, 8])
    """
    architecture = architecture_of(layer, params)
    if jax.tree.structure(carry, is_leaf=_is_carry) != _structure(layer, params):
        raise TypeError(f"carry must be that of {layer}, got {carry!r}")
    carries = jax.tree.leaves(carry, is_leaf=_is_carry)
    batch_size = (np.shape(jax.tree.leaves(carry)[0]) or (1,))[0]
    dtype = dtype_of("params", jax.tree.leaves(params))
    for own in carries:
        check_carry("carry", architecture.cell(), own, batch_size, jnp.dtype(dtype))
    pairs = zip(recurrent_params(params), carries, strict=True)
    h = to_tensor(
        np.stack([to_host(project_outputs(own.w_hh, carry.hidden)) for own, carry in pairs])
    )
    if architecture.mode != "LSTM":
        return h
    return h, to_tensor(np.stack([to_host(own.memory) for own in carries]))


def _fields(architecture: Architecture, params: Params, state: Any) -> list[HostArray]:
    """Check the state and return [h] or [h, c]."""
    is_pair = isinstance(state, tuple | list) and len(state) == 2
    if is_pair != (architecture.mode == "LSTM"):
        expected = "the pair (h, c)" if architecture.mode == "LSTM" else "one tensor, h"
        raise TypeError(f"state of {architecture.mode} must be {expected}, got {state!r}")
    arrays = dict(zip("hc", state if is_pair else [state], strict=False))
    for name, array in arrays.items():
        if not hasattr(array, "dtype"):
            raise TypeError(f"{name} must be a tensor or an array, got {array!r}")
    dtype, wanted = dtype_of("state", arrays.values()), dtype_of("params", jax.tree.leaves(params))
    if dtype != wanted:
        raise TypeError(f"state must be {wanted} like params, got {dtype}")
    batch_size = arrays["h"].shape[1] if len(arrays["h"].shape) == 3 else 1
    for name, array in arrays.items():
        width = architecture.projection_size if name == "h" else None
        shape = (len(architecture.suffixes()), batch_size, width or architecture.hidden_size)
        check_shape(name, array.shape, shape, "[layers * directions, B, width]")
    return [to_host(array) for array in arrays.values()]


def _is_carry(carry: Any) -> bool:
    return isinstance(carry, HiddenCarry | LSTMCarry)


def _structure(layer: Layer, params: Params) -> Any:
    """Return the tree of carries, whose contents `check_carry` checks."""
    expected = jax.eval_shape(lambda: layer.initial_carry(params, 1))
    return jax.tree.structure(expected, is_leaf=_is_carry)
