"""An initial carry that is learned."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.layers.layer import Layer
from jaxrnn.typing import Key, Params


class LearnedCarryParams(NamedTuple):
    """The parameters of `learned_initial_carry`."""

    layer: Params
    """Of the layer itself."""
    carry: Any
    """Where each sequence starts: the layer's carry, without the axis of the batch."""


def learned_initial_carry(layer: Layer) -> Layer:
    """The same layer, whose initial carry is a parameter.

    Sequences start from it where `initial_carry(params, B)` is what they are given, and resets go
    back to it; gradients reach it from both.

    Args:
        layer: any Layer.

    Returns:
        A Layer with the params `LearnedCarryParams`; what is learned begins as the layer's own
        initial carry.

    Raises:
        TypeError: `layer` is not a Layer; at `init`, what it carries is not of floats.
        ValueError: at `init`, it carries nothing.
    """
    if not isinstance(layer, Layer):
        raise TypeError(f"layer must be of type Layer, got {layer!r}")

    def init(key: Key, input_size: int) -> LearnedCarryParams:
        params = layer.init(key, input_size)
        carry = jax.tree.map(lambda c: c[0], layer.initial_carry(params, 1))
        if not jax.tree.leaves(carry):
            raise ValueError(f"layer must carry something to learn, but {layer.name} does not")
        for leaf in jax.tree.leaves(carry):
            if not jnp.issubdtype(leaf.dtype, jnp.floating):
                raise TypeError(f"only a carry of floats can be learned, got {leaf.dtype}")
        return LearnedCarryParams(params, carry)

    def initial_carry(params: LearnedCarryParams, batch_size: int) -> Any:
        return jax.tree.map(lambda c: jnp.broadcast_to(c, (batch_size, *c.shape)), params.carry)

    def apply(
        params: LearnedCarryParams,
        inputs: Any,
        carry: Any,
        *,
        lengths: Any = None,
        resets: Any = None,
        reset_carry: Any = None,
        key: Key | None = None,
    ) -> tuple[Any, Any]:
        if not isinstance(params, LearnedCarryParams):
            raise TypeError(f"params must be LearnedCarryParams, got {params!r}")
        if resets is not None and reset_carry is None:
            reset_carry = initial_carry(params, inputs.shape[1])
        return layer.apply(
            params.layer,
            inputs,
            carry,
            lengths=lengths,
            resets=resets,
            reset_carry=reset_carry,
            key=key,
        )

    return Layer(
        "learned_initial_carry",
        layer.output_size,
        init,
        initial_carry,
        apply,
        layer.causal,
        parts=(layer,),
    )
