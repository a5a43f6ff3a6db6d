"""A layer whose outputs are added to its inputs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jaxrnn.layers.layer import Layer, check_layer
from jaxrnn.recurrence.boundaries import Context, valid_steps, zero_padding
from jaxrnn.typing import Carry, Key, Params


@dataclass(frozen=True, repr=False)
class Residual(Layer):
    """A layer whose outputs are added to its inputs, made by `residual`.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.residual(jaxrnn.recurrent(jaxrnn.gru(8)))
        Residual(Recurrent(gru(8)))
    """

    layer: Layer
    """The layer inside."""

    def __post_init__(self) -> None:
        check_layer("layer", self.layer)

    @property
    def causal(self) -> bool:
        """True if the layer inside is causal."""
        return self.layer.causal

    @property
    def pointwise(self) -> bool:
        """True if the layer inside is pointwise."""
        return self.layer.pointwise

    def output_size(self, input_size: int) -> int:
        """Return the input size."""
        return input_size

    def init(self, key: Key, input_size: int) -> Params:
        """Draw the parameters of the layer inside."""
        if (size := self.layer.output_size(input_size)) != input_size:
            raise ValueError(
                f"layer must have as many outputs as inputs to add the two, got {size} outputs of"
                f" {self.layer} for {input_size} inputs"
            )
        return self.layer.init(key, input_size)

    def initial_carry(self, params: Params, batch_size: int) -> Carry:
        """Return the initial carry of the layer inside."""
        return self.layer.initial_carry(params, batch_size)

    def run(self, params: Params, inputs: Any, carry: Carry, context: Context) -> tuple[Any, Carry]:
        """Run the layer, as `Layer.run` does."""
        outputs, carry = self.layer.run(params, inputs, carry, context)
        inputs = zero_padding(valid_steps(context.lengths, inputs.shape[0]), inputs)
        return inputs + outputs, carry

    def parts(self, params: Params) -> Iterator[tuple[Layer, Params]]:
        """Yield the layer inside with its parameters."""
        yield self.layer, params


def residual(layer: Layer) -> Residual:
    """Return a layer that adds its inputs to the outputs of `layer`, so that deep stacks learn.

    Args:
        layer: any Layer with as many outputs as inputs, which are vectors.

    Returns:
        A Layer with the params and the carry of `layer`.

    Raises:
        TypeError: `layer` is not a Layer.
        ValueError: when it is initialised, if inputs and outputs differ in size.

    Reference:
        Kim, El-Khamy and Lee, Residual LSTM: design of a deep recurrent architecture for distant
        speech recognition, 2017, arXiv:1701.03360.

    Examples:
        >>> import jax, jaxrnn
        >>> layer = jaxrnn.residual(jaxrnn.recurrent(jaxrnn.gru(3)))
        >>> params = layer.init(jax.random.key(0), 3)
        >>> outputs, _ = layer.apply(params, jax.numpy.ones((5, 2, 3)))
        >>> outputs.shape
        (5, 2, 3)
    """
    return Residual(layer)
