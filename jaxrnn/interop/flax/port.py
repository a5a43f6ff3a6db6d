"""Weights and carries to and from Flax: its recurrent cells, of nnx and of linen."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx, traverse_util

from jaxrnn.cells import BaseCell, HiddenCarry, LSTMCarry, lstm
from jaxrnn.interop.flax import counterparts
from jaxrnn.interop.weights import cell_to_port, check_entries, check_layer, check_params
from jaxrnn.layers import Bidirectional, Directions, Layer, Recurrent, bidirectional, recurrent
from jaxrnn.recurrence import RecurrentParams
from jaxrnn.typing import Carry, Params


def from_flax(module: Any, variables: Mapping[str, Any] | None = None) -> tuple[Layer, Params]:
    """A recurrent cell of Flax, or one that runs over time, as a layer and its parameters.

    How the module is called (`time_major`, `return_carry`, `unroll`, ...) stays behind: ours reads
    `[T, B, D]`.  Parameters that two directions share, because they are one RNN or hold one cell,
    become two equal copies, which are then trained independently.

    Args:
        module: a SimpleCell, GRUCell, LSTMCell or OptimizedLSTMCell of `flax.nnx` or `flax.linen`,
            an RNN of one, or a Bidirectional of two such RNN; its `dtype` None or the weights' own.
        variables: what `module.init` of a linen module returned, or its "params"; None for nnx.
            Linen stores a shared cell once, where it was first used or in the module that made it:
            pass `{"forward_rnn": {"cell": weights}}` for a Bidirectional of a cell made elsewhere.

    Returns:
        (layer, params): `recurrent(cell)`, or `bidirectional` of it.  A GRU's `b_hh` is zero except
        where Flax has one: nnx nowhere, linen for the gate n.

    Raises:
        TypeError: it is no recurrent module, or `variables` came with nnx or not with linen.
        ValueError: none of our layers computes the same, or the weights do not fit; the text names
            every weight that is missing, unexpected or misshapen.
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
    layer = recurrent(our_cell)
    return (layer, params[0]) if len(params) == 1 else (bidirectional(layer), Directions(*params))


def to_nnx(
    layer: Layer,
    params: Params,
    *,
    activation: Callable[[Any], Any] = jnp.tanh,
    optimized_lstm: bool = True,
) -> Any:
    """A layer as a recurrent cell of `flax.nnx`, to run with `nnx.RNN`.

    Args:
        layer: `recurrent` of an `rnn`, `gru` or `lstm`, or `bidirectional` of that.
        params: its parameters.
        activation: of an `rnn`: the function that it was made with.
        optimized_lstm: whether an `lstm` becomes an OptimizedLSTMCell, or an LSTMCell.

    Returns:
        The cell; of a bidirectional layer, an `nnx.Bidirectional`.

    Raises:
        TypeError: `layer` is not a Layer, or the parameters are not its.
        ValueError: no cell of nnx computes the same.  Its GRUCell has no bias for the hidden gate n
            (a `gru` needs zeros there), while `to_linen` has.
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
    activation: Callable[[Any], Any] = jnp.tanh,
    optimized_lstm: bool = True,
) -> tuple[Any, dict[str, Any]]:
    """A layer as a recurrent cell of `flax.linen` and its variables.

    Args:
        layer, params, activation, optimized_lstm: as for `to_nnx`.

    Returns:
        (cell, variables): `linen.RNN(cell)` takes `{"params": {"cell": variables["params"]}}`; of a
        bidirectional layer, a `linen.Bidirectional` and its variables.

    Raises:
        TypeError: `layer` is not a Layer, or the parameters are not its.
        ValueError: no cell of linen computes the same.
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


def carry_from_flax(layer: Layer, carry: Any) -> Carry:
    """A carry of Flax as one of ours.

    Args:
        layer: `recurrent` of a cell, or `bidirectional` of that.
        carry: `[B, H]`, an LSTM's `(c, h)`, or a pair of either for the two directions.

    Returns:
        `HiddenCarry`, `LSTMCarry(hidden, memory)`, or `Directions` of them.

    Raises:
        TypeError: `layer` is not a Layer.
        ValueError: it is none of the layers that have a port.
    """
    cell = _cell_of(layer)
    if isinstance(layer, Bidirectional):
        return Directions(*(carry_from_flax(layer.layer, own) for own in carry))
    if cell == lstm(cell.hidden_size):
        memory, hidden = carry
        return LSTMCarry(hidden, memory)
    return HiddenCarry(carry)


def carry_to_flax(carry: Carry) -> Any:
    """What `carry_from_flax` takes, of our carry."""
    if isinstance(carry, Directions):
        return carry_to_flax(carry.forward), carry_to_flax(carry.backward)
    return (carry.memory, carry.hidden) if isinstance(carry, LSTMCarry) else carry.hidden


def _weights_in(
    cells: Sequence[tuple[str, Any]], variables: Mapping[str, Any] | None
) -> dict[str, Any]:
    """All arrays by name: of linen the variables, of nnx what the cells hold."""
    if variables is not None:
        flat = traverse_util.flatten_dict(linen.meta.unbox(variables), sep=".")
        return {name.removeprefix("params."): array for name, array in flat.items()}
    return {
        prefix + ".".join(map(str, path)): param[...]
        for prefix, cell in cells
        for path, param in nnx.to_flat_state(nnx.state(cell, nnx.Param))
    }


def _check_dtypes(cells: Sequence[tuple[str, Any]], weights: Mapping[str, Any]) -> None:
    """Raise unless everything is computed in the one dtype of the weights."""
    found = [array.dtype for array in weights.values()]
    for _, cell in cells:
        found += [dtype for dtype in (cell.param_dtype, cell.dtype) if dtype is not None]
    names = list(dict.fromkeys(jnp.dtype(dtype).name for dtype in found))
    if len(names) > 1:
        raise ValueError(
            f"a cell of more than one dtype has no port, and this has {' and '.join(names)}: Flax"
            " rounds gates, too, where recurrent(cell, dtype=...) rounds what it multiplies; port"
            " the weights in a cell with dtype=None"
        )


def _nnx_cell(
    kind: Any, hidden_size: int, params: RecurrentParams, options: Mapping[str, Any]
) -> Any:
    """A cell of nnx that holds these parameters; its own are never drawn."""
    sizes = (params.w_ih.shape[0], hidden_size)
    dtypes = {"dtype": None, "param_dtype": params.w_ih.dtype}
    cell = nnx.eval_shape(lambda: kind(*sizes, **dtypes, rngs=nnx.Rngs(0), **options))
    for name, array in counterparts.flax_weights(kind, params).items():
        part, field = name.split(".")
        setattr(getattr(cell, part), field, nnx.Param(array))
    return cell


def _cell_of(layer: Any) -> BaseCell:
    """The cell of `recurrent(cell)` or `bidirectional(recurrent(cell))`."""
    check_layer("a cell of Flax", layer)
    over_time = layer.layer if isinstance(layer, Bidirectional) else layer
    if not isinstance(over_time, Recurrent):
        raise ValueError(
            f"{over_time} has no port, only recurrent(cell) and bidirectional of that"
            " have: port the layers of a stack one by one"
        )
    return cell_to_port("a cell of Flax", over_time)


def _read(layer: Layer, params: Params) -> tuple[BaseCell, list[RecurrentParams]]:
    """The cell of a layer and the parameters of its one or two directions, checked."""
    cell = _cell_of(layer)
    leaves = jax.tree.leaves(params)
    input_size = np.shape(leaves[0])[0] if leaves and np.ndim(leaves[0]) else 1  # of w_ih
    check_params(layer, params, input_size)
    params = jax.tree.map(jnp.asarray, params)
    directions = list(params) if isinstance(params, Directions) else [params]
    w_hh = directions[0].w_hh
    if not isinstance(w_hh, jax.Array):
        form = type(w_hh).__name__
        raise ValueError(f"a layer whose w_hh is {form} has no port: Flax's cells have a matrix")
    return cell, directions
