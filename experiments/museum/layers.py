"""Layers that several rows share: noise on inputs, and a head that reads all steps."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.layers import Context, Layer, Linear
from jaxrnn.layers.layer import Pointwise
from jaxrnn.typing import Carry, Key, Params


@dataclass(frozen=True, repr=False)
class Noise(Pointwise):
    """Gaussian noise in training: on each step, on each whole sequence, and on its scale."""

    of_step: float = 0.0
    of_sequence: float = 0.0
    of_scale: float = 0.0

    def output_size(self, input_size: int) -> int:
        """Return the input size."""
        return input_size

    def init(self, key: Key, input_size: int) -> tuple[()]:
        """Return (): there is nothing to learn."""
        return ()

    def transform(self, params: Params, inputs: Any, key: Key | None) -> Any:
        """Add noise if there is a key."""
        if key is None:
            return inputs
        step_key, offset_key, scale_key = jax.random.split(key, 3)
        whole = (1, *inputs.shape[1:])
        stretch = 1 + self.of_scale * jax.random.normal(scale_key, (1, inputs.shape[1], 1))
        offset = self.of_sequence * jax.random.normal(offset_key, whole)
        return inputs * stretch + offset + self.of_step * jax.random.normal(step_key, inputs.shape)


@dataclass(frozen=True, repr=False)
class AllSteps(Layer):
    """A classifier of sequences of equal length, whose head reads the outputs of all steps."""

    body: Layer
    num_steps: int
    head: Linear

    @property
    def causal(self) -> bool:
        """False, because the output depends on all inputs."""
        return False

    @property
    def per_step(self) -> bool:
        """False, because there is one output per sequence."""
        return False

    def output_size(self, input_size: int) -> int:
        """Return the number of classes."""
        return self.head.size

    def init(self, key: Key, input_size: int) -> tuple[Params, Params]:
        """Draw the parameters of the body and the head."""
        body_key, head_key = jax.random.split(key)
        size = self.num_steps * self.body.output_size(input_size)
        return self.body.init(body_key, input_size), self.head.init(head_key, size)

    def initial_carry(self, params: Any, batch_size: int) -> Carry:
        """Return the initial carry of the body."""
        return self.body.initial_carry(params[0], batch_size)

    def run(self, params: Any, inputs: Any, carry: Carry, context: Context) -> tuple[Any, Carry]:
        """Run the layer; the outputs are `[B, C]`."""
        outputs, carry = self.body.run(params[0], inputs, carry, context)
        flat = jnp.moveaxis(outputs, 0, 1).reshape(1, outputs.shape[1], -1)
        logits, _ = self.head.run(params[1], flat, (), Context())
        return logits[0], carry

    def parts(self, params: Any) -> Iterator[tuple[Layer, Params]]:
        """Yield the body and the head with their parameters."""
        yield self.body, params[0]
        yield self.head, params[1]
