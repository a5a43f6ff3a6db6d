"""Layers stacked on top of each other."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.layers.layer import Layer, check_layer
from jaxrnn.recurrence.boundaries import Context, take_last
from jaxrnn.typing import Key, Params


@dataclass(frozen=True, repr=False)
class Stack(Layer):
    """Layers stacked on top of each other, made by `stack`.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.stack([jaxrnn.recurrent(jaxrnn.rnn(8)), jaxrnn.linear(4)]).layers[-1]
        Linear(4)
    """

    layers: tuple[Layer, ...]
    """The layers, from inputs to outputs."""

    def __post_init__(self) -> None:
        if not self.layers:
            raise ValueError("layers must hold at least one Layer, got none")
        for layer in self.layers:
            check_layer("layers", layer)

    @property
    def causal(self) -> bool:
        """True if all layers are causal."""
        return all(layer.causal for layer in self.layers)

    @property
    def pointwise(self) -> bool:
        """True if all layers are pointwise."""
        return all(layer.pointwise for layer in self.layers)

    def output_size(self, input_size: int) -> int:
        """Return the output size of the last layer."""
        return functools.reduce(
            lambda size, layer: layer.output_size(size), self.layers, input_size
        )

    def init(self, key: Key, input_size: int) -> tuple[Params, ...]:
        """Draw the parameters of all layers, one entry per layer."""
        params = []
        keys = jax.random.split(key, len(self.layers))
        for layer, layer_key in zip(self.layers, keys, strict=True):
            params.append(layer.init(layer_key, input_size))
            input_size = layer.output_size(input_size)
        return tuple(params)

    def initial_carry(self, params: tuple[Params, ...], batch_size: int) -> tuple[Any, ...]:
        """Return the initial carries of all layers, one entry per layer."""
        self._check_entries("params", params)
        pairs = zip(self.layers, params, strict=True)
        return tuple(layer.initial_carry(p, batch_size) for layer, p in pairs)

    def run(
        self, params: tuple[Params, ...], inputs: Any, carry: tuple[Any, ...], context: Context
    ) -> tuple[Any, tuple[Any, ...]]:
        """Run the layer, as `Layer.run` does."""
        carries = []
        for layer, layer_params, layer_carry, own in self._each(params, carry, context):
            inputs, new_carry = layer.run(layer_params, inputs, layer_carry, own)
            carries.append(new_carry)
        return inputs, tuple(carries)

    def run_to_end(
        self, params: tuple[Params, ...], inputs: Any, carry: tuple[Any, ...], context: Context
    ) -> tuple[Any, tuple[Any, ...]]:
        """Run the layer, as `Layer.run_to_end` does.

        The last layer that is not pointwise runs to its end; those on top read one step.  Sequences
        of length 0 get zeros, as from a layer alone.
        """
        over_time = [k for k, layer in enumerate(self.layers) if not layer.pointwise]
        if not over_time:
            return super().run_to_end(params, inputs, carry, context)
        carries = []
        entries = enumerate(self._each(params, carry, context))
        for k, (layer, layer_params, layer_carry, own) in entries:
            if k < over_time[-1]:
                inputs, new_carry = layer.run(layer_params, inputs, layer_carry, own)
            elif k == over_time[-1]:
                last, new_carry = layer.run_to_end(layer_params, inputs, layer_carry, own)
                inputs = last[None]
            else:
                inputs, new_carry = layer.run(
                    layer_params, inputs, layer_carry, Context(key=own.key)
                )
            carries.append(new_carry)
        # One step of every sequence is left.
        lengths = None if context.lengths is None else jnp.minimum(context.lengths, 1)
        return take_last(lengths, inputs), tuple(carries)

    def _each(self, params: Any, carry: Any, context: Context) -> Iterator[tuple[Any, ...]]:
        """Yield each layer with its own params, carry and context."""
        count, nones = len(self.layers), (None,) * len(self.layers)
        reset_carries = nones if context.reset_carry is None else context.reset_carry
        arguments = {"params": params, "carry": carry, "reset_carry": reset_carries}
        for name, entries in arguments.items():
            self._check_entries(name, entries)
        keys = nones if context.key is None else jax.random.split(context.key, count)
        rows = zip(self.layers, params, carry, reset_carries, keys, strict=True)
        for layer, layer_params, layer_carry, reset_carry, key in rows:
            own = context._replace(reset_carry=reset_carry, key=key)
            yield layer, layer_params, layer_carry, own

    def parts(self, params: tuple[Params, ...]) -> Iterator[tuple[Layer, Params]]:
        """Yield the layers with their parameters."""
        yield from zip(self.layers, params, strict=True)

    def _check_entries(self, name: str, entries: Any) -> None:
        if not isinstance(entries, tuple) or len(entries) != len(self.layers):
            raise TypeError(
                f"{name} of a stack must be a tuple of {len(self.layers)}, one entry per layer,"
                f" got {entries!r}"
            )


def stack(layers: Sequence[Layer]) -> Stack:
    """Stack layers: each reads the outputs of the one before.

    Args:
        layers: at least one layer; all of them get the same lengths and resets.

    Returns:
        A Layer whose params and carry are tuples, one entry per layer; it is causal if all layers
        are.

    Raises:
        TypeError: an entry is not a Layer.
        ValueError: there are no layers.

    Examples:
        >>> import jax, jaxrnn
        >>> layer = jaxrnn.stack([jaxrnn.recurrent(jaxrnn.gru(8)), jaxrnn.linear(4)])
        >>> params = layer.init(jax.random.key(0), 3)
        >>> outputs, carry = layer.apply(params, jax.numpy.ones((5, 2, 3)))
        >>> outputs.shape, len(carry)
        ((5, 2, 4), 2)
    """
    return Stack(tuple(layers))
