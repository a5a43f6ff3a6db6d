"""Layers that several rows share: noise on inputs, and a head that reads all steps."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.layers import Context
from jaxrnn.layers.layer import Pointwise
from jaxrnn.models import SequenceModel, SequenceModelParams
from jaxrnn.typing import Carry, Key, Params


@dataclass(frozen=True, repr=False)
class Noise(Pointwise):
    """Gaussian noise in training: on each step, on each whole sequence, and on its scale."""

    of_step: float = 0.0
    """Deviation of the noise on each number of each step."""
    of_sequence: float = 0.0
    """Deviation of what is added to all steps of a sequence."""
    of_scale: float = 0.0
    """Deviation of the factor on a sequence, around 1."""

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
class AllSteps(SequenceModel):
    """A classifier of sequences of equal length, whose head reads the outputs of all steps."""

    num_steps: int = 1
    """T."""

    def init(self, key: Key, input_size: int) -> SequenceModelParams:
        """Draw the parameters of the body and the head."""
        body_key, head_key = jax.random.split(key)
        head = self.head.init(head_key, self.num_steps * self.body.output_size(input_size))
        return SequenceModelParams(self.body.init(body_key, input_size), head)

    def run(
        self, params: SequenceModelParams, inputs: Any, carry: Carry, context: Context
    ) -> tuple[Any, Carry]:
        """Run the layer; the outputs are `[B, C]`."""
        outputs, carry = self.body.run(params.body, inputs, carry, context)
        flat = jnp.moveaxis(outputs, 0, 1).reshape(1, outputs.shape[1], -1)
        logits, _ = self.head.run(params.head, flat, (), Context())
        return logits[0], carry
