"""Weights from and to Equinox's recurrent cells."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.cells import gru, lstm
from jaxrnn.interop.optional import import_optional
from jaxrnn.interop.weights import (
    check_entries,
    check_x64,
    dtype_of,
    recurrent_to_port,
    sum_biases,
)
from jaxrnn.layers import Layer, recurrent
from jaxrnn.recurrence import RecurrentParams
from jaxrnn.typing import Params

__all__ = ["from_equinox", "to_equinox"]


def from_equinox(module: Any) -> tuple[Layer, Params]:
    """Convert an eqx.nn.GRUCell or eqx.nn.LSTMCell to a layer and its parameters.

    The cell takes one step of one sequence, which `jax.lax.scan` and `jax.vmap` repeat; the layer
    reads `[T, B, D]`.  Its carry is Equinox's hidden state with a batch axis: `LSTMCarry(h, c)` of
    an LSTMCell, `HiddenCarry(h)` of a GRUCell.

    Args:
        module: the cell, with or without biases.

    Returns:
        (layer, params): `recurrent` of a `gru` or `lstm`.  Biases that Equinox lacks are zero: all
        with `use_bias=False`, and otherwise a `gru`'s `b_hh` except for the gate n.

    Raises:
        ModuleNotFoundError: equinox is not installed.
        TypeError: `module` is not an Equinox module, its weights do not share one floating type, or
            they are float64 while JAX has 64-bit types disabled.
        ValueError: it is another module, or weights were replaced by misshapen ones.

    Examples:
        >>> import equinox as eqx, jax
        >>> from jaxrnn.interop.equinox import from_equinox
        >>> layer, params = from_equinox(eqx.nn.LSTMCell(4, 8, key=jax.random.key(0)))
        >>> layer, params.w_ih.shape
        (Recurrent(lstm(8)), (4, 32))
    """
    eqx = import_optional("equinox", "from_equinox")
    if not isinstance(module, eqx.Module):
        raise TypeError(f"module must be an eqx.nn.GRUCell or eqx.nn.LSTMCell, got {module!r}")
    # Exactly these types, because a subclass may override anything.
    if type(module) not in (eqx.nn.GRUCell, eqx.nn.LSTMCell):
        name = type(module).__name__
        raise ValueError(f"{name} cannot be ported, only eqx.nn.GRUCell and eqx.nn.LSTMCell can")
    size = module.hidden_size
    cell = gru(size) if type(module) is eqx.nn.GRUCell else lstm(size)
    width = len(cell.gates) * size
    shapes: dict[str, tuple[int, ...]] = {
        "weight_ih": (width, module.input_size),
        "weight_hh": (width, size),
    }
    if module.use_bias:
        shapes["bias"] = (width,)
        if cell.hidden_bias:
            shapes["bias_n"] = (size,)
    weights = {name: getattr(module, name) for name in shapes}
    source = f"the eqx.nn.{type(module).__name__}"
    check_entries(source, weights, shapes)
    dtype = dtype_of(f"the weights of {source}", weights.values())
    check_x64(f"the weights of {source}", dtype)
    arrays = {name: jnp.asarray(array) for name, array in weights.items()}
    b_ih = arrays.get("bias", jnp.zeros(width, dtype))
    b_hh = None
    if cell.hidden_bias:
        b_n = arrays.get("bias_n", jnp.zeros(size, dtype))
        b_hh = jnp.concatenate([jnp.zeros(width - size, dtype), b_n])
    w_ih, w_hh = arrays["weight_ih"].T, arrays["weight_hh"].T
    return recurrent(cell), RecurrentParams(w_ih, w_hh, b_ih, b_hh)


def to_equinox(layer: Layer, params: Params) -> Any:
    """Convert a layer to the Equinox cell that computes one step of one sequence.

    Args:
        layer: `recurrent` of a `gru` or `lstm`.
        params: its parameters.

    Returns:
        An eqx.nn.GRUCell or eqx.nn.LSTMCell with biases.  Equinox adds the two biases of a `gru`'s
        gates r and z in one.

    Raises:
        ModuleNotFoundError: equinox is not installed.
        TypeError: `layer` is not a Layer, or `params` do not have its structure or a single type.
        ValueError: no cell computes the same, or a shape in `params` is wrong.

    Examples:
        >>> import jax, jaxrnn
        >>> from jaxrnn.interop.equinox import to_equinox
        >>> layer = jaxrnn.recurrent(jaxrnn.gru(8))
        >>> to_equinox(layer, layer.init(jax.random.key(0), 4)).weight_ih.shape
        (24, 4)
    """
    eqx = import_optional("equinox", "to_equinox")
    cell, own = recurrent_to_port("an Equinox cell", layer, params)
    size = cell.hidden_size
    if cell not in (gru(size), lstm(size)):
        why = "Equinox has no cell with its equations"
        if cell == gru(size, reset_after=False):
            why = "eqx.nn.GRUCell resets after the recurrent product"
        raise ValueError(f"the cell {cell.name} cannot be ported: {why}")
    b_ih, b_hh = sum_biases(own)
    weights = {"weight_ih": own.w_ih.T, "weight_hh": own.w_hh.T, "bias": b_ih}
    if cell.hidden_bias:
        weights["bias_n"] = b_hh[2 * size :]
    kind = eqx.nn.GRUCell if cell.hidden_bias else eqx.nn.LSTMCell
    # Without drawing initial weights, which would be replaced.
    shapes = eqx.filter_eval_shape(
        kind, own.w_ih.shape[0], size, dtype=own.w_ih.dtype, key=jax.random.key(0)
    )
    return eqx.tree_at(
        lambda module: [getattr(module, name) for name in weights], shapes, list(weights.values())
    )
