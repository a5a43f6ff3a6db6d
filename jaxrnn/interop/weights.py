"""Checks of named weights, layers and parameters that the ports share."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.cells import BaseCell
from jaxrnn.checks import check_like
from jaxrnn.layers import Bidirectional, Layer, Recurrent
from jaxrnn.recurrence import BlockDiagonal, LowRank, RecurrentParams
from jaxrnn.typing import Params

DTYPES = ("bfloat16", "float16", "float32", "float64")


def check_entries(
    source: str, weights: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise unless the weights are as expected, naming all missing, extra or misshapen ones."""
    wrong = [f"{name} is missing" for name in shapes if name not in weights]
    wrong += [f"{name} is unexpected" for name in weights if name not in shapes]
    wrong += [
        f"{name} has shape {tuple(np.shape(weights[name]))}, expected {tuple(shape)}"
        for name, shape in shapes.items()
        if name in weights and tuple(np.shape(weights[name])) != tuple(shape)
    ]
    if wrong:
        raise ValueError(f"the weights of {source} do not fit: {'; '.join(wrong)}")


def dtype_of(source: str, arrays: Iterable[Any]) -> str:
    """Return the name of the floating type that all tensors or arrays have, or raise."""
    names = sorted({str(array.dtype).removeprefix("torch.") for array in arrays})
    if len(names) != 1 or names[0] not in DTYPES:
        raise TypeError(
            f"{source} must share one type out of {', '.join(DTYPES)}, got {', '.join(names)}"
        )
    return names[0]


def check_x64(source: str, dtype: str) -> None:
    """Raise if JAX would silently round float64 to float32."""
    if dtype == "float64" and jnp.result_type(float) != jnp.float64:
        raise TypeError(
            f"{source} are float64, which JAX supports only after"
            ' jax.config.update("jax_enable_x64", True): enable it, or convert them to float32'
        )


def check_layer(target: str, layer: Any) -> None:
    """Raise unless it is a Layer; `target` is what it was to become."""
    if not isinstance(layer, Layer):
        raise TypeError(f"layer must be of type Layer to become {target}, got {layer!r}")


def cell_to_port(target: str, layer: Recurrent) -> BaseCell:
    """Return the cell of a `recurrent` layer, or raise where the layer does more than run it."""
    given_options = {
        "recurrent_dropout": layer.recurrent_dropout or None,
        "weight_drop": layer.weight_drop or None,
        "zoneout": None if layer.zoneout == 0 else layer.zoneout,
        "dtype": layer.options.dtype,
        "reverse": layer.options.reverse or None,
    }
    for name, given in given_options.items():
        if given is not None:
            raise ValueError(
                f"recurrent(..., {name}={given}) cannot become {target}, where {name} would be lost"
                " or mean something else: port the layer without it; the params are the same"
            )
    return layer.cell


def check_concatenated(target: str, layer: Bidirectional) -> None:
    """Raise unless a `bidirectional` layer concatenates the outputs of its directions."""
    if layer.merge != "concat":
        raise ValueError(
            f"bidirectional(..., merge={layer.merge!r}) cannot become {target}, which concatenates"
            " the outputs of both directions"
        )


def check_params(layer: Layer, params: Params, input_size: int) -> None:
    """Raise unless the parameters have the layer's structure and shapes."""
    expected = jax.eval_shape(lambda: layer.init(jax.random.key(0), input_size))
    if jax.tree.structure(expected) != jax.tree.structure(params):  # type: ignore[operator]
        raise TypeError(f"params must be those of {layer}, got {params!r}")

    def with_own_dtype(like: Any, own: Any) -> Any:
        return jax.ShapeDtypeStruct(like.shape, own.dtype)

    check_like("params", params, jax.tree.map(with_own_dtype, expected, params))


def input_size_of(params: Params) -> int:
    """Return D, the rows of the first matrix in a recurrent layer's params, its `w_ih`."""
    return next((np.shape(leaf)[0] for leaf in jax.tree.leaves(params) if np.ndim(leaf)), 1)


def check_one_matrix(target: str, params: RecurrentParams) -> None:
    """Raise unless the recurrent weights are one matrix `[H, G*H]`."""
    if isinstance(params.w_hh, LowRank | BlockDiagonal):
        raise ValueError(
            f"a layer whose w_hh is {type(params.w_hh).__name__} cannot become {target}, whose"
            " recurrent weights are one matrix"
        )


def recurrent_to_port(target: str, layer: Any, params: Params) -> tuple[BaseCell, Params]:
    """Check a layer that is to become a library's cell; return its cell and its params."""
    check_layer(target, layer)
    if not isinstance(layer, Recurrent):
        raise ValueError(
            f"{layer} cannot become {target}, only recurrent(cell) can: port the recurrent layers"
            " in it one by one"
        )
    cell = cell_to_port(target, layer)
    check_params(layer, params, input_size_of(params))
    check_one_matrix(target, params)
    dtype_of("params", jax.tree.leaves(params))
    return cell, jax.tree.map(jnp.asarray, params)


def sum_biases(params: Any) -> tuple[jax.Array, jax.Array]:
    """Return `b_ih` and `b_hh` after moving to `b_ih` what the equations only ever add to it.

    That is all of a `gru`'s or `mgu`'s `b_hh`, except for the last gate: there another gate scales
    the hidden part, and its bias with it.
    """
    b_ih = jnp.asarray(params.b_ih)
    if params.b_hh is None:
        return b_ih, jnp.zeros_like(b_ih)
    b_hh = jnp.asarray(params.b_hh)
    added = b_hh.shape[0] - params.w_hh.shape[0]
    return b_ih.at[:added].add(b_hh[:added]), b_hh.at[:added].set(0)
