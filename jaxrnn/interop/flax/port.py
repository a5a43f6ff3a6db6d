"""Weights to and from Flax's recurrent cells, both nnx and linen."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen, nnx, traverse_util

from jaxrnn.cells import BaseCell
from jaxrnn.interop.flax import counterparts
from jaxrnn.interop.weights import (
    cell_to_port,
    check_concatenated,
    check_entries,
    check_one_matrix,
    check_params,
    input_size_of,
)
from jaxrnn.layers import Bidirectional, Directions, Layer, bidirectional, recurrent
from jaxrnn.recurrence import RecurrentParams
from jaxrnn.typing import Params


def from_flax(module: Any, variables: Mapping[str, Any] | None = None) -> tuple[Layer, Params]:
    """Convert a recurrent Flax cell, RNN or Bidirectional to a layer and its parameters.

    Options of the call (`time_major`, `unroll`, ...) are dropped: the layer reads `[T, B, D]`.  Two
    directions that share one RNN or one cell get equal copies, which then train independently.

    Args:
        module: a SimpleCell, GRUCell, LSTMCell or OptimizedLSTMCell of `flax.nnx` or `flax.linen`,
            or linen's MGUCell with `reset_gate=True`, its default; an RNN of one, or a
            Bidirectional of two such RNNs; `dtype` None or the weights' own.  A reversed RNN must
            have `keep_order=True`.
        variables: what `module.init` of a linen module returned, or its "params"; None for nnx.
            Linen stores a shared cell once, where it was first used or in the module that made it:
            pass `{"forward_rnn": {"cell": weights}}` for a Bidirectional of a cell made elsewhere.

    Returns:
        (layer, params): `recurrent(cell)`, or `bidirectional` of it.  The `b_hh` of a GRU or MGU is
        zero except where Flax has such a bias: nnx nowhere, linen for the gate n.

    Raises:
        TypeError: the module is not recurrent, or `variables` is missing or superfluous.
        ValueError: no jaxrnn layer computes the same, or the weights do not fit; the message names
            every weight that is missing, unexpected or misshapen.

    Examples:
        >>> from flax import nnx
        >>> from jaxrnn.interop.flax import from_flax
        >>> layer, params = from_flax(nnx.OptimizedLSTMCell(4, 8, rngs=nnx.Rngs(0)))
        >>> layer, params.w_ih.shape
        (Recurrent(lstm(8)), (4, 32))
    """
    if isinstance(module, linen.Module) and variables is None:
        raise TypeError("variables must be given with a linen module, got None")
    if isinstance(module, nnx.Module) and variables is not None:
        raise TypeError("variables must be None: an nnx module holds its own weights")
    cells = counterparts.cells_in(module)
    our_cell, *others = (counterparts.our_cell(cell) for _, cell in cells)
    if others not in ([], [our_cell]):
        raise ValueError("both directions must have the same cell to be one bidirectional layer")
    weights = _weights_in(cells, variables)
    shapes: dict[str, tuple[int, ...]] = {}
    for prefix, cell in cells:
        shapes |= counterparts.shapes_of(type(cell), our_cell, prefix, weights)
    check_entries(counterparts.name_of(module), weights, shapes)
    _check_dtypes(cells, weights)
    params = [
        counterparts.our_params(type(cell), our_cell, prefix, weights) for prefix, cell in cells
    ]
    layer = recurrent(our_cell, reverse=counterparts.runs_backward(module))
    return (layer, params[0]) if len(params) == 1 else (bidirectional(layer), Directions(*params))


def to_nnx(
    layer: Layer,
    params: Params,
    *,
    activation: str | Callable[[Any], Any] = "tanh",
    optimized_lstm: bool = True,
) -> Any:
    """Convert a layer to a recurrent cell of `flax.nnx`, to run with `nnx.RNN`.

    Args:
        layer: `recurrent` of an `rnn`, `gru` or `lstm`, or `bidirectional` of that.
        params: its parameters.
        activation: for an `rnn`, what it was made with: a name or a function.
        optimized_lstm: whether an `lstm` becomes an OptimizedLSTMCell or an LSTMCell.

    Returns:
        The cell; for a bidirectional layer, an `nnx.Bidirectional`.

    Raises:
        TypeError: `layer` is not a Layer, or `params` are not its parameters.
        ValueError: no nnx cell computes the same; a `gru` needs zeros in `b_hh` for the gate n.

    Examples:
        >>> import jax, jaxrnn
        >>> from jaxrnn.interop.flax import to_nnx
        >>> layer = jaxrnn.recurrent(jaxrnn.lstm(8))
        >>> to_nnx(layer, layer.init(jax.random.key(0), 4)).dense_i.kernel.shape
        (4, 32)
    """
    cell, directions = _read(layer, params)
    kind, options = counterparts.flax_cell(nnx, cell, activation, optimized_lstm)
    modules = [_nnx_cell(kind, cell.hidden_size, own, options) for own in directions]
    if len(modules) == 1:
        return modules[0]
    forward, backward = map(nnx.RNN, modules)
    return nnx.Bidirectional(forward, backward)


def to_linen(
    layer: Layer,
    params: Params,
    *,
    activation: str | Callable[[Any], Any] = "tanh",
    optimized_lstm: bool = True,
) -> tuple[Any, dict[str, Any]]:
    """Convert a layer to a recurrent cell of `flax.linen` and its variables.

    Args:
        layer, params, activation, optimized_lstm: as for `to_nnx`.

    Returns:
        (cell, variables): `linen.RNN(cell)` takes `{"params": {"cell": variables["params"]}}`.  For
        a bidirectional layer, a `linen.Bidirectional` and its variables.  An
        `mgu(H, as_in_flax=True)` becomes an MGUCell.

    Raises:
        TypeError, ValueError: as for `to_nnx`, but a `gru` may have any bias for the gate n.

    Examples:
        >>> import jax, jaxrnn
        >>> from jaxrnn.interop.flax import to_linen
        >>> layer = jaxrnn.recurrent(jaxrnn.gru(8))
        >>> cell, variables = to_linen(layer, layer.init(jax.random.key(0), 4))
        >>> cell.features, sorted(variables["params"])
        (8, ['hn', 'hr', 'hz', 'in', 'ir', 'iz'])
    """
    cell, directions = _read(layer, params)
    kind, options = counterparts.flax_cell(linen, cell, activation, optimized_lstm)
    modules = [kind(cell.hidden_size, param_dtype=own.w_ih.dtype, **options) for own in directions]
    trees = [
        traverse_util.unflatten_dict(counterparts.flax_weights(kind, own), sep=".")
        for own in directions
    ]
    if len(modules) == 1:
        return modules[0], {"params": trees[0]}
    forward, backward = map(linen.RNN, modules)
    both = {"forward_rnn": {"cell": trees[0]}, "backward_rnn": {"cell": trees[1]}}
    return linen.Bidirectional(forward, backward), {"params": both}


def _weights_in(
    cells: Sequence[tuple[str, Any]], variables: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return all arrays by name, from linen's variables or from what the nnx cells hold."""
    if variables is not None:
        flat = traverse_util.flatten_dict(linen.meta.unbox(variables), sep=".")
        return {name.removeprefix("params."): array for name, array in flat.items()}
    return {
        prefix + ".".join(map(str, path)): param[...]
        for prefix, cell in cells
        for path, param in nnx.to_flat_state(nnx.state(cell, nnx.Param))
    }


def _check_dtypes(cells: Sequence[tuple[str, Any]], weights: Mapping[str, Any]) -> None:
    """Raise unless the weights have one dtype and the cells compute in it."""
    found = [array.dtype for array in weights.values()]
    for _, cell in cells:
        found += [dtype for dtype in (cell.param_dtype, cell.dtype) if dtype is not None]
    names = list(dict.fromkeys(jnp.dtype(dtype).name for dtype in found))
    if len(names) > 1:
        raise ValueError(
            f"a cell of several dtypes cannot be ported, and this one has {' and '.join(names)}:"
            " Flax also rounds the gates, while recurrent(cell, dtype=...) rounds only what it"
            " multiplies; port the weights in a cell with dtype=None"
        )


def _nnx_cell(
    kind: Any, hidden_size: int, params: RecurrentParams, options: Mapping[str, Any]
) -> Any:
    """Make an nnx cell that holds these parameters, without drawing initial ones."""
    sizes = (params.w_ih.shape[0], hidden_size)
    dtypes = {"dtype": None, "param_dtype": params.w_ih.dtype}
    cell = nnx.eval_shape(lambda: kind(*sizes, **dtypes, rngs=nnx.Rngs(0), **options))
    for name, array in counterparts.flax_weights(kind, params).items():
        part, field = name.split(".")
        setattr(getattr(cell, part), field, nnx.Param(array))
    return cell


def _read(layer: Layer, params: Params) -> tuple[BaseCell, list[RecurrentParams]]:
    """Check a layer; return its cell and the parameters of its one or two directions."""
    cell = cell_to_port("a Flax cell", counterparts.one_direction(layer))
    if isinstance(layer, Bidirectional):
        check_concatenated("a Flax module", layer)
    check_params(layer, params, input_size_of(params))
    params = jax.tree.map(jnp.asarray, params)
    directions = list(params) if isinstance(params, Directions) else [params]
    check_one_matrix("a Flax cell", directions[0])
    return cell, directions
