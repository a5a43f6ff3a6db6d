"""Layers one upon the other."""

import functools
from collections.abc import Sequence
from typing import Any

import jax

from jaxrnn.layers.layer import Layer
from jaxrnn.typing import Key, Params


def stack(layers: Sequence[Layer]) -> Layer:
    """Deep networks: each layer reads the outputs of the one before.

    Args:
        layers: at least one; lengths and resets reach each of them.

    Returns:
        A Layer whose params and carry are tuples, one entry a layer; causal if all are.

    Raises:
        TypeError: an entry is not a Layer.
        ValueError: there is none.
    """
    layers = tuple(layers)
    if not layers:
        raise ValueError("layers must hold at least one Layer, got none")
    for layer in layers:
        if not isinstance(layer, Layer):
            raise TypeError(f"layers must be of type Layer, got {layer!r}")

    def check_entries(name: str, entries: Any) -> None:
        if not isinstance(entries, tuple) or len(entries) != len(layers):
            raise TypeError(
                f"{name} of a stack must be a tuple of {len(layers)}, an entry a layer;"
                f" got {entries!r}"
            )

    def output_size(input_size: int) -> int:
        return functools.reduce(lambda size, layer: layer.output_size(size), layers, input_size)

    def init(key: Key, input_size: int) -> tuple[Params, ...]:
        params = []
        for layer, layer_key in zip(layers, jax.random.split(key, len(layers)), strict=True):
            params.append(layer.init(layer_key, input_size))
            input_size = layer.output_size(input_size)
        return tuple(params)

    def initial_carry(params: tuple[Params, ...], batch_size: int) -> tuple[Any, ...]:
        pairs = zip(layers, params, strict=True)
        return tuple(layer.initial_carry(own, batch_size) for layer, own in pairs)

    def apply(
        params: tuple[Params, ...],
        inputs: Any,
        carry: tuple[Any, ...],
        *,
        lengths: Any = None,
        resets: Any = None,
        reset_carry: tuple[Any, ...] | None = None,
        key: Key | None = None,
    ) -> tuple[Any, tuple[Any, ...]]:
        check_entries("params", params)
        check_entries("carry", carry)
        if reset_carry is not None:
            check_entries("reset_carry", reset_carry)
        reset_carries = (None,) * len(layers) if reset_carry is None else reset_carry
        keys = (None,) * len(layers) if key is None else jax.random.split(key, len(layers))
        carries = []
        for layer, own, start, restart, layer_key in zip(
            layers, params, carry, reset_carries, keys, strict=True
        ):
            inputs, end = layer.apply(
                own,
                inputs,
                start,
                lengths=lengths,
                resets=resets,
                reset_carry=restart,
                key=layer_key,
            )
            carries.append(end)
        return inputs, tuple(carries)

    causal = all(layer.causal for layer in layers)
    return Layer("stack", output_size, init, initial_carry, apply, causal, parts=layers)
