"""Weights from and to Haiku's recurrent cores.

Haiku's modules exist only while a transformed function runs.  What is ported is therefore its
params, a dict of weights for each module's name, which takes no Haiku.
"""

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.cells import BaseCell, gru, lstm, rnn
from jaxrnn.checks import check_array
from jaxrnn.interop.weights import check_entries, check_x64, dtype_of, recurrent_to_port
from jaxrnn.layers import Layer, recurrent
from jaxrnn.recurrence import RecurrentParams
from jaxrnn.typing import Params

__all__ = ["from_haiku", "to_haiku"]


def from_haiku(
    params: Mapping[str, Mapping[str, Any]], module_name: str | None = None
) -> tuple[Layer, Params]:
    """Convert the params of an hk.LSTM, hk.GRU or hk.VanillaRNN to a layer and its parameters.

    The names of the weights tell which core it is.  Port the cores of a deep network one by one,
    and put the layers in a `jaxrnn.stack`.  The carry holds Haiku's states in their order:
    `LSTMCarry(*state)` of an hk.LSTM, `HiddenCarry(state)` of the others.

    Args:
        params: what `init` of a transformed function returned.
        module_name: the core's name in it, such as "lstm" or "my_model/~/lstm"; None if it is the
            only module there.

    Returns:
        (layer, params): a layer of `lstm`, `gru(..., reset_after=False)` or `rnn(..., "relu")`.
        Haiku adds 1 to the forget gate of an LSTM at every step; here the bias holds that 1, and
        is rounded once.  Haiku's update gate is the share of the new state, ours of the old one:
        its weights change their sign.  The two biases of a VanillaRNN become their sum.

    Raises:
        TypeError: `params` are not a dict of dicts, their weights do not share one floating type,
            or they are float64 while JAX has 64-bit types disabled.
        ValueError: there is no such core, or weights are missing, unexpected or misshapen.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jaxrnn.interop.haiku import from_haiku
        >>> from_haiku({"lstm/linear": {"w": jnp.ones((4 + 8, 32)), "b": jnp.zeros(32)}})[0]
        Recurrent(lstm(8))
    """
    if not (
        isinstance(params, Mapping) and all(isinstance(own, Mapping) for own in params.values())
    ):
        raise TypeError(f"params must be a dict of weights for each module's name, got {params!r}")
    name = _only_module(params) if module_name is None else module_name
    weights = _weights_of(params, name)
    for key, read in _READERS.items():
        if key in weights:
            source = f"the weights of {name!r}"
            check_x64(source, dtype_of(source, weights.values()))
            cell, own_params = read(name, weights)
            return recurrent(cell), own_params
    raise ValueError(
        f"params hold no hk.LSTM, hk.GRU or hk.VanillaRNN called {name!r}: their modules are"
        f" {', '.join(map(repr, params))}"
    )


def to_haiku(
    layer: Layer, params: Params, module_name: str | None = None
) -> dict[str, dict[str, jax.Array]]:
    """Convert a layer's parameters to the params of the Haiku core that computes the same.

    Args:
        layer: `recurrent` of an `lstm`, which becomes an hk.LSTM; of a `gru(...,
            reset_after=False)`, which becomes an hk.GRU; or of an `rnn(..., "relu")`, which becomes
            an hk.VanillaRNN.
        params: its parameters.
        module_name: the core's name where the params are used; None means Haiku's default, "lstm",
            "gru" or "vanilla_rnn".

    Returns:
        Params for `apply` of a transformed function, to be merged with those of its other modules.
        A VanillaRNN has its bias on the inputs and zeros as the second one.  The forget gate's bias
        of an LSTM is rounded once, because Haiku's is 1 less than ours.

    Raises:
        TypeError: `layer` is not a Layer, or `params` do not have its structure or a single type.
        ValueError: no core computes the same, or a shape in `params` is wrong.

    Examples:
        >>> import jax, jaxrnn
        >>> from jaxrnn.interop.haiku import to_haiku
        >>> layer = jaxrnn.recurrent(jaxrnn.lstm(8))
        >>> jax.tree.map(jax.numpy.shape, to_haiku(layer, layer.init(jax.random.key(0), 4)))
        {'lstm/linear': {'b': (32,), 'w': (12, 32)}}
    """
    cell, own = recurrent_to_port("a Haiku core", layer, params)
    size = cell.hidden_size
    if cell == lstm(size):
        return _lstm_to_haiku(module_name or "lstm", own)
    if cell == gru(size, reset_after=False):
        return _gru_to_haiku(module_name or "gru", own)
    if cell == rnn(size, "relu"):
        return _rnn_to_haiku(module_name or "vanilla_rnn", own)
    why = {
        "rnn": 'hk.VanillaRNN applies relu, as rnn(..., "relu") does',
        "gru": "hk.GRU resets before the recurrent product, as gru(..., reset_after=False) does",
    }.get(cell.name, "Haiku has no core with its equations")
    raise ValueError(f"the cell {cell.name} cannot be ported: {why}")


def _only_module(params: Mapping[str, Any]) -> str:
    """Return the name of the only core; the linear layers in it are modules, too."""
    names = list(dict.fromkeys(re.sub("/linear(_1)?$", "", module) for module in params))
    if len(names) != 1:
        found = ", ".join(map(repr, names)) or "none"
        raise ValueError(f"module_name must be given unless params hold one module, got {found}")
    return names[0]


def _weights_of(params: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, Any]:
    """Return the weights of a core by the names that they have in it, such as "linear/w"."""
    weights = {}
    for module, own in params.items():
        if f"{module}/".startswith(f"{name}/"):
            for key, array in own.items():
                check_array(f"params[{module!r}][{key!r}]", array)
                weights[f"{module}/{key}".removeprefix(f"{name}/")] = array
    return weights


def _lstm_from_haiku(name: str, weights: Mapping[str, Any]) -> tuple[BaseCell, RecurrentParams]:
    num_rows, num_columns = _sizes(weights["linear/w"])
    size = max(num_columns // 4, 1)
    input_size = max(num_rows - size, 1)
    shapes = {"linear/w": (input_size + size, 4 * size), "linear/b": (4 * size,)}
    check_entries(f"the hk.LSTM {name!r}", weights, shapes)
    w, b = (_swap_lstm_gates(weights[key]) for key in shapes)
    b = b.at[size : 2 * size].add(1)
    return lstm(size), RecurrentParams(w[:input_size], w[input_size:], b, None)


def _lstm_to_haiku(name: str, params: Any) -> dict[str, dict[str, jax.Array]]:
    size = params.w_hh.shape[0]
    w = jnp.concatenate([params.w_ih, params.w_hh])
    b = params.b_ih.at[size : 2 * size].add(-1)
    return {f"{name}/linear": {"w": _swap_lstm_gates(w), "b": _swap_lstm_gates(b)}}


def _gru_from_haiku(name: str, weights: Mapping[str, Any]) -> tuple[BaseCell, RecurrentParams]:
    size = max(_sizes(weights["w_h"])[1] // 3, 1)
    input_size, _ = _sizes(weights.get("w_i"))
    shapes = {"w_i": (input_size, 3 * size), "w_h": (size, 3 * size), "b": (3 * size,)}
    check_entries(f"the hk.GRU {name!r}", weights, shapes)

    def to_ours(weight: Any) -> jax.Array:
        z, r, a = jnp.split(jnp.asarray(weight), 3, axis=-1)
        # sigmoid(-z) = 1 - sigmoid(z): our z is the share of the old state, theirs of the new one.
        return jnp.concatenate([r, -z, a], axis=-1)

    w_ih, w_hh, b_ih = (to_ours(weights[key]) for key in shapes)
    return gru(size, reset_after=False), RecurrentParams(w_ih, w_hh, b_ih, None)


def _gru_to_haiku(name: str, params: Any) -> dict[str, dict[str, jax.Array]]:
    def to_theirs(weight: jax.Array) -> jax.Array:
        r, z, n = jnp.split(weight, 3, axis=-1)
        return jnp.concatenate([-z, r, n], axis=-1)

    ours = {"w_i": params.w_ih, "w_h": params.w_hh, "b": params.b_ih}
    return {name: {key: to_theirs(weight) for key, weight in ours.items()}}


def _rnn_from_haiku(name: str, weights: Mapping[str, Any]) -> tuple[BaseCell, RecurrentParams]:
    input_size, size = _sizes(weights.get("linear/w"))
    shapes = {"linear/w": (input_size, size), "linear_1/w": (size, size), "linear/b": (size,)}
    if "linear_1/b" in weights:  # the core's double_bias
        shapes["linear_1/b"] = (size,)
    check_entries(f"the hk.VanillaRNN {name!r}", weights, shapes)
    arrays = {key: jnp.asarray(weights[key]) for key in shapes}
    b_ih = arrays["linear/b"] + arrays.get("linear_1/b", 0)
    return rnn(size, "relu"), RecurrentParams(arrays["linear/w"], arrays["linear_1/w"], b_ih, None)


def _rnn_to_haiku(name: str, params: Any) -> dict[str, dict[str, jax.Array]]:
    return {
        f"{name}/linear": {"w": params.w_ih, "b": params.b_ih},
        # A core with double_bias=False does not read the second bias.
        f"{name}/linear_1": {"w": params.w_hh, "b": jnp.zeros_like(params.b_ih)},
    }


_READERS = {"w_h": _gru_from_haiku, "linear_1/w": _rnn_from_haiku, "linear/w": _lstm_from_haiku}
"""How to read a core, by the first of these weights that it has."""


def _swap_lstm_gates(weight: Any) -> jax.Array:
    """Reorder i, g, f, o to i, f, g, o, or back."""
    i, second, third, o = jnp.split(jnp.asarray(weight), 4, axis=-1)
    return jnp.concatenate([i, third, second, o], axis=-1)


def _sizes(matrix: Any) -> tuple[int, int]:
    """Return the sizes of a matrix; of anything else 1, so that it is named as misshapen."""
    shape = np.shape(matrix)
    return (shape[0], shape[1]) if len(shape) == 2 else (1, 1)
