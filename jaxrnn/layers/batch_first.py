"""A layer whose sequences are batch-first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxrnn.checks import check_array, check_mask, check_shape
from jaxrnn.layers.layer import Layer, check_layer
from jaxrnn.typing import AnyArray, Array, Bool, Carry, Integer, Key, Params


@dataclass(frozen=True, repr=False)
class BatchFirst(Layer):
    """A layer whose sequences are batch-first, made by `batch_first`.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.batch_first(jaxrnn.recurrent(jaxrnn.gru(8))).layer
        Recurrent(gru(8))
    """

    layer: Layer
    """The time-major layer."""

    def __post_init__(self) -> None:
        check_layer("layer", self.layer)

    @property
    def causal(self) -> bool:
        """True if the layer inside is causal."""
        return self.layer.causal

    @property
    def time_major(self) -> bool:
        """False, because inputs and outputs are `[B, T, ...]`."""
        return False

    def output_size(self, input_size: int) -> int:
        """Return the output size of the layer inside."""
        return self.layer.output_size(input_size)

    def init(self, key: Key, input_size: int) -> Params:
        """Draw the parameters of the layer inside."""
        return self.layer.init(key, input_size)

    def initial_carry(self, params: Params, batch_size: int) -> Carry:
        """Return the initial carry of the layer inside."""
        return self.layer.initial_carry(params, batch_size)

    def apply(
        self,
        params: Params,
        inputs: AnyArray,
        carry: Carry | None = None,
        *,
        lengths: Integer[AnyArray, "B"] | None = None,
        resets: Bool[AnyArray, "B T"] | None = None,
        reset_carry: Carry | None = None,
        key: Key | None = None,
        return_carries: bool = False,
    ) -> tuple[Array, Carry]:
        """Run the layer over a batch of sequences, as `Layer.apply` does.

        Args:
            params, carry, lengths, reset_carry, key: as for `Layer.apply`.
            inputs: vectors `[B, T, D]`, or token ids `[B, T]` if the layer reads ids.
            resets: bool `[B, T]`: True at each step before which a sequence starts again.
            return_carries: return the carry after every step, in arrays `[B, T, ...]`.

        Returns:
            (outputs `[B, T, F]`, the carry after the last step)

        Examples:
            >>> import jax, jaxrnn
            >>> layer = jaxrnn.batch_first(jaxrnn.recurrent(jaxrnn.gru(8)))
            >>> params = layer.init(jax.random.key(0), 3)
            >>> outputs, carry = layer.apply(params, jax.numpy.ones((2, 5, 3)))
            >>> outputs.shape, carry.hidden.shape
            ((2, 5, 8), (2, 8))
        """
        check_array("inputs", inputs)
        if inputs.ndim < 2:
            raise ValueError(f"inputs must be [B, T, ...], got shape {inputs.shape}")
        if lengths is not None:
            check_array("lengths", lengths)
            check_shape("lengths", lengths.shape, inputs.shape[:1], "[B]")
        if resets is not None:
            check_mask("resets", resets, inputs.shape[:2])
        outputs, carry = self.layer.apply(
            params,
            _swap_axes(inputs),
            carry,
            lengths=lengths,
            resets=_swap_axes(resets),
            reset_carry=reset_carry,
            key=key,
            return_carries=return_carries,
        )
        return _swap_axes(outputs), _swap_axes(carry) if return_carries else carry

    def parts(self, params: Params) -> Iterator[tuple[Layer, Params]]:
        """Yield the layer inside with the parameters."""
        yield self.layer, params


def batch_first(layer: Layer) -> BatchFirst:
    """Return a layer like `layer` whose inputs and outputs are `[B, T, D]` instead of `[T, B, D]`.

    Parameters, carries and numbers are those of `layer`; ids and resets are `[B, T]`.  It goes
    around the outermost layer: no other layer, `jaxrnn.step` or training step takes it.  To them
    give `layer`.

    Args:
        layer: any Layer that is time-major, as all others are.

    Returns:
        A Layer with the same params and carry.

    Raises:
        TypeError: `layer` is not a Layer.
        ValueError: it is batch-first already.

    Examples:
        >>> import jax, jaxrnn
        >>> layer = jaxrnn.batch_first(
        ...     jaxrnn.stack([jaxrnn.recurrent(jaxrnn.lstm(8)), jaxrnn.linear(4)])
        ... )
        >>> params = layer.init(jax.random.key(0), 3)
        >>> outputs, carry = layer.apply(params, jax.numpy.ones((2, 5, 3)))
        >>> outputs.shape
        (2, 5, 4)
    """
    return BatchFirst(layer)


def _swap_axes(over_time: Any) -> Any:
    """Swap time and batch of all arrays of a tree."""
    return jax.tree.map(lambda array: jnp.swapaxes(jnp.asarray(array), 0, 1), over_time)
