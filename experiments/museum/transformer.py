"""A small Transformer, for comparison: attention to earlier steps, in Flax."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxrnn.layers import Context, Layer
from jaxrnn.typing import Carry, Key, Params


class Decoder(nn.Module):
    """Blocks of attention and perceptron, normalised before (Xiong et al. 2020)."""

    num_outputs: int
    num_layers: int = 2
    num_heads: int = 4
    width: int = 64

    @nn.compact
    def __call__(self, vectors: jax.Array) -> jax.Array:  # [B, T, V]
        x = nn.Dense(self.width)(vectors) + _positions(vectors.shape[1], self.width)
        mask = nn.make_causal_mask(jnp.ones(vectors.shape[:2]))
        for _ in range(self.num_layers):
            y = nn.LayerNorm()(x)
            x = x + nn.MultiHeadDotProductAttention(self.num_heads)(y, y, mask=mask)
            y = nn.Dense(4 * self.width)(nn.LayerNorm()(x))
            x = x + nn.Dense(self.width)(nn.gelu(y))
        return nn.Dense(self.num_outputs)(nn.LayerNorm()(x))


def _positions(num_steps: int, width: int) -> jax.Array:
    """Return the sines and cosines of Vaswani et al. (2017), `[1, T, width]`."""
    rates = 10_000 ** (-jnp.arange(0, width, 2) / width)
    angles = jnp.arange(num_steps)[:, None] * rates[None]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=1)[None]


@dataclass(frozen=True, repr=False)
class Transformer(Layer):
    """The decoder as a Layer from token ids `[T, B]` to logits `[T, B, F]`."""

    num_symbols: int
    num_outputs: int

    @property
    def module(self) -> Decoder:
        """The module of Flax."""
        return Decoder(self.num_outputs)

    def output_size(self, input_size: int) -> int:
        """Return the number of outputs."""
        return self.num_outputs

    def init(self, key: Key, input_size: int) -> Params:
        """Draw the parameters."""
        return self.module.init(key, jnp.zeros((1, 2, self.num_symbols)))

    def run(self, params: Params, inputs: Any, carry: Carry, context: Context) -> tuple[Any, Carry]:
        """Run all steps at once."""
        vectors = jax.nn.one_hot(jnp.asarray(inputs).T, self.num_symbols)
        logits: Any = self.module.apply(params, vectors)
        return jnp.moveaxis(logits, 0, 1), carry


def transformer(num_symbols: int, num_outputs: int) -> Transformer:
    """Return a Transformer of two layers with four heads and 64 units."""
    return Transformer(num_symbols, num_outputs)
