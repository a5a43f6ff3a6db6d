"""Checks of named weights, layers and parameters that all ports share."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxrnn.cells import BaseCell
from jaxrnn.checks import check_like
from jaxrnn.layers import Bidirectional, Layer, Recurrent
from jaxrnn.typing import Params


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


def check_layer(target: str, layer: Any) -> None:
    """Raise unless it is a Layer; `target` is what it was to become."""
    if not isinstance(layer, Layer):
        raise TypeError(f"layer must be of type Layer to become {target}, got {layer!r}")


def cell_to_port(target: str, layer: Recurrent) -> BaseCell:
    """Return the cell of a `recurrent` layer, or raise where the layer does more than run it."""
    given_options = {
        "recurrent_dropout": layer.recurrent_dropout or None,
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
