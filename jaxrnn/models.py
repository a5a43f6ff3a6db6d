"""Models of whole sequences in a line: classifiers, regressors and taggers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.checks import check_choice
from jaxrnn.layers import Layer, Linear, Stack, linear, stack
from jaxrnn.layers.layer import check_layer
from jaxrnn.matmul import at_least_float32
from jaxrnn.recurrence.boundaries import Context, valid_steps, where_rows
from jaxrnn.typing import Carry, Key, Params

Pooled = tuple[Any, Carry]
"""(vectors `[B, F]`, carry)."""


def _last(body: Layer, params: Params, inputs: Any, carry: Carry, context: Context) -> Pooled:
    return body.run_to_end(params, inputs, carry, context)


def _mean(body: Layer, params: Params, inputs: Any, carry: Carry, context: Context) -> Pooled:
    outputs, carry = body.run(params, inputs, carry, context)  # zero in the padding
    if context.lengths is None:
        return outputs.mean(axis=0), carry
    wide = at_least_float32(outputs.dtype)
    lengths = jnp.asarray(context.lengths, jnp.int32)  # of 8 bits, they might not hold T
    numbers = jnp.clip(lengths, 1, len(outputs)).astype(wide)
    mean = outputs.sum(axis=0, dtype=wide) / numbers[:, None]
    return mean.astype(outputs.dtype), carry


def _max(body: Layer, params: Params, inputs: Any, carry: Carry, context: Context) -> Pooled:
    outputs, carry = body.run(params, inputs, carry, context)
    valid = valid_steps(context.lengths, len(outputs))
    if valid is None:
        return outputs.max(axis=0), carry
    largest = where_rows(valid, outputs, jnp.full_like(outputs, -jnp.inf)).max(axis=0)
    return where_rows(valid.any(axis=0), largest, jnp.zeros_like(largest)), carry


POOLING: dict[str, Callable[[Layer, Params, Any, Carry, Context], Pooled]] = {
    "last": _last,
    "mean": _mean,
    "max": _max,
}
"""The ways to make one vector of a sequence: (body, params, inputs, carry, context) -> Pooled."""


class SequenceModelParams(NamedTuple):
    """The parameters of `classifier` and `regressor`."""

    body: Params
    """The parameters of the layer that reads the sequence."""
    head: Params
    """The parameters of the linear layer on top."""


@dataclass(frozen=True, repr=False)
class SequenceModel(Layer):
    """A model with one output per sequence, made by `classifier` and `regressor`.

    Examples:
        >>> import jaxrnn
        >>> jaxrnn.classifier(jaxrnn.recurrent(jaxrnn.gru(8)), 3, pooling="mean")
        SequenceModel(Recurrent(gru(8)), head=Linear(3), pooling='mean')
    """

    body: Layer
    """The layer that reads the sequence."""
    head: Linear
    """The linear layer on top of one vector per sequence."""
    pooling: str = "last"
    """How the body's outputs become one vector: a key of `POOLING`."""

    def __post_init__(self) -> None:
        check_layer("body", self.body)
        check_choice("pooling", self.pooling, tuple(POOLING))

    @property
    def causal(self) -> bool:
        """False, because the output depends on all inputs."""
        return False

    @property
    def per_step(self) -> bool:
        """False, because there is one output per sequence, `[B, F]`."""
        return False

    def output_size(self, input_size: int) -> int:
        """Return the number of classes or numbers, for inputs of any size."""
        return self.head.size

    def init(self, key: Key, input_size: int) -> SequenceModelParams:
        """Draw the parameters of the body and the head."""
        body_key, head_key = jax.random.split(key)
        head = self.head.init(head_key, self.body.output_size(input_size))
        return SequenceModelParams(self.body.init(body_key, input_size), head)

    def initial_carry(self, params: SequenceModelParams, batch_size: int) -> Carry:
        """Return the initial carry of the body."""
        return self.body.initial_carry(params.body, batch_size)

    def run(
        self, params: SequenceModelParams, inputs: Any, carry: Carry, context: Context
    ) -> tuple[Any, Carry]:
        """Run the layer, as `Layer.run` does; the outputs are `[B, F]`."""
        pooled, carry = POOLING[self.pooling](self.body, params.body, inputs, carry, context)
        outputs, _ = self.head.run(params.head, pooled[None], (), Context())
        return outputs[0], carry

    def parts(self, params: SequenceModelParams) -> Iterator[tuple[Layer, Params]]:
        """Yield the body and the head with their parameters."""
        yield self.body, params.body
        yield self.head, params.head


def classifier(body: Layer, num_classes: int, *, pooling: str = "last") -> SequenceModel:
    """Return a model that tells the class of a sequence: a body, pooling, and a linear layer.

    Args:
        body: any Layer, such as `recurrent(lstm(64))`, `bidirectional(recurrent(gru(64)))`, or for
            token ids `stack([embedding(32), recurrent(lstm(64))])`.
        num_classes: C.
        pooling: how the body's outputs become one vector: "last", what the body says once it has
            read the whole sequence (in a backward direction, after the first step); or the "mean"
            or "max" over the valid steps.

    Returns:
        A Layer from sequences `[T, B, D]` to logits `[B, C]`, for `losses.cross_entropy` with
        targets `[B]`.  It cannot be part of another layer; params are `SequenceModelParams`.

    Raises:
        TypeError: `body` is not a Layer, or the number is not an integer.
        ValueError: no pooling has that name, or the number is below 1.

    Examples:
        >>> import jax, jaxrnn
        >>> model = jaxrnn.classifier(jaxrnn.recurrent(jaxrnn.gru(8)), num_classes=5)
        >>> params = model.init(jax.random.key(0), 3)
        >>> inputs, lengths = jaxrnn.pad([jax.numpy.ones((7, 3)), jax.numpy.ones((4, 3))])
        >>> logits, _ = model.apply(params, inputs, lengths=lengths)
        >>> logits.shape
        (2, 5)
    """
    return SequenceModel(body, linear(num_classes), pooling)


def regressor(body: Layer, num_outputs: int, *, pooling: str = "last") -> SequenceModel:
    """Return a model that tells numbers about a sequence, such as its next values.

    Args:
        body: any Layer, as for `classifier`.
        num_outputs: F; for `losses.quantile`, the number of values times that of the quantiles.
        pooling: "last", "mean" or "max", as for `classifier`.

    Returns:
        A Layer from sequences `[T, B, D]` to numbers `[B, F]`, for `losses.squared_error` with
        targets `[B, F]`.  For numbers at every step use `stack([body, linear(F)])`.

    Raises:
        TypeError, ValueError: as for `classifier`.

    Examples:
        >>> import jax, jaxrnn
        >>> model = jaxrnn.regressor(jaxrnn.recurrent(jaxrnn.lstm(8)), num_outputs=12)
        >>> params = model.init(jax.random.key(0), 3)
        >>> model.apply(params, jax.numpy.ones((5, 2, 3)))[0].shape
        (2, 12)
    """
    return SequenceModel(body, linear(num_outputs), pooling)


def tagger(body: Layer, num_classes: int) -> Stack:
    """Return a model that tells the class of every step.

    Args:
        body: any Layer; one in both directions sees what comes after a step, too.
        num_classes: C.

    Returns:
        `stack([body, linear(num_classes)])`, a Layer from sequences `[T, B, D]` to logits
        `[T, B, C]`, for `losses.cross_entropy` with targets `[T, B]`.

    Raises:
        TypeError: `body` is not a Layer, or the number is not an integer.
        ValueError: the number is below 1.

    Examples:
        >>> import jax, jaxrnn
        >>> model = jaxrnn.tagger(jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.gru(8))), 4)
        >>> params = model.init(jax.random.key(0), 3)
        >>> model.apply(params, jax.numpy.ones((5, 2, 3)))[0].shape
        (5, 2, 4)
    """
    return stack([body, linear(num_classes)])
