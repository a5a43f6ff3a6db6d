"""Layers one upon the other."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from jaxrnn.layers.layer import Layer, check_layer
from jaxrnn.recurrence.boundaries import Context
from jaxrnn.typing import Key, Params


@dataclass(frozen=True, repr=False)
class Stack(Layer):
    """Layers one upon the other, made by `stack`."""

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("layers must hold at least one Layer, got none")
        for layer in self.layers:
            check_layer("layers", layer)

    @property
    def causal(self) -> bool:
        """Whether all layers are causal."""
        return all(layer.causal for layer in self.layers)

    def output_size(self, input_size: int) -> int:
        """Return the last layer's."""
        return functools.reduce(
            lambda size, layer: layer.output_size(size), self.layers, input_size
        )

    def init(self, key: Key, input_size: int) -> tuple[Params, ...]:
        """Draw the parameters, one entry per layer."""
        params = []
        keys = jax.random.split(key, len(self.layers))
        for layer, layer_key in zip(self.layers, keys, strict=True):
            params.append(layer.init(layer_key, input_size))
            input_size = layer.output_size(input_size)
        return tuple(params)

    def initial_carry(self, params: tuple[Params, ...], batch_size: int) -> tuple[Any, ...]:
        """Return the carries, one entry per layer."""
        self._check_entries("params", params)
        pairs = zip(self.layers, params, strict=True)
        return tuple(layer.initial_carry(own, batch_size) for layer, own in pairs)

    def run(
        self, params: tuple[Params, ...], inputs: Any, carry: tuple[Any, ...], context: Context
    ) -> tuple[Any, tuple[Any, ...]]:
        """Run the layer, as `Layer.run`."""
        count, nothing = len(self.layers), (None,) * len(self.layers)
        restarts = nothing if context.reset_carry is None else context.reset_carry
        given = {"params": params, "carry": carry, "reset_carry": restarts}
        for name, entries in given.items():
            self._check_entries(name, entries)
        keys = nothing if context.key is None else jax.random.split(context.key, count)
        carries = []
        for layer, own, start, restart, key in zip(
            self.layers, params, carry, restarts, keys, strict=True
        ):
            own_context = context._replace(reset_carry=restart, key=key)
            inputs, end = layer.run(own, inputs, start, own_context)
            carries.append(end)
        return inputs, tuple(carries)

    def parts(self, params: tuple[Params, ...]) -> Iterator[tuple[Layer, Params]]:
        """Yield the layers with their parameters."""
        yield from zip(self.layers, params, strict=True)

    def _check_entries(self, name: str, entries: Any) -> None:
        if not isinstance(entries, tuple) or len(entries) != len(self.layers):
            raise TypeError(
                f"{name} of a stack must be a tuple of {len(self.layers)}, one entry per layer;"
                f" got {entries!r}"
            )


def stack(layers: Sequence[Layer]) -> Stack:
    """Deep networks: each layer reads the outputs of the one before.

    Args:
        layers: at least one; lengths and resets reach each of them.

    Returns:
        A Layer whose params and carry are tuples, one entry per layer; causal if all are.

    Raises:
        TypeError: an entry is not a Layer.
        ValueError: there is none.
    """
    return Stack(tuple(layers))
