"""The `Layer` type: anything that maps a sequence to a sequence."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import jax

from jaxrnn.cells import BaseCell
from jaxrnn.recurrence.arguments import check_sequence
from jaxrnn.recurrence.boundaries import Context, take_last, valid_steps, zero_padding
from jaxrnn.typing import AnyArray, Array, Bool, Carry, Integer, Key, Params


@dataclass(frozen=True, repr=False)
class Layer:
    """Pure functions that map a sequence `[T, B, D]` to a sequence `[T, B, F]`.

    Layers nest freely: a deep bidirectional language model is a Layer, and so is each of its parts.
    A Layer is static and holds no arrays.  Layers made from equal arguments are equal, hash alike
    and share compiled programs.  They can be pickled if the functions among their arguments can.

    Examples:
        >>> import jax, jaxrnn
        >>> layer = jaxrnn.stack([jaxrnn.recurrent(jaxrnn.lstm(256)), jaxrnn.linear(28)])
        >>> layer
        Stack(Recurrent(lstm(256)), Linear(28))
        >>> params = layer.init(jax.random.key(0), 10)
        >>> outputs, carry = layer.apply(params, jax.numpy.ones((5, 2, 10)))
        >>> outputs.shape
        (5, 2, 28)
    """

    @property
    def causal(self) -> bool:
        """True if no output depends on a later input."""
        return True

    @property
    def time_major(self) -> bool:
        """True unless inputs and outputs are `[B, T, ...]`, as those of `batch_first`."""
        return True

    @property
    def per_step(self) -> bool:
        """True unless there is one output per sequence, `[B, F]`, as of `jaxrnn.classifier`."""
        return True

    @property
    def pointwise(self) -> bool:
        """True if it carries nothing and treats every step independently."""
        return False

    def output_size(self, input_size: int) -> int:
        """Return F for inputs of the given size."""
        raise NotImplementedError

    def init(self, key: Key, input_size: int) -> Params:
        """Draw the parameters for inputs of the given size: D, or V for token ids."""
        raise NotImplementedError

    def initial_carry(self, params: Params, batch_size: int) -> Carry:
        """Return the carry that sequences start from; () if nothing is carried."""
        del params, batch_size
        return ()

    def apply(
        self,
        params: Params,
        inputs: AnyArray,
        carry: Carry | None = None,
        *,
        lengths: Integer[AnyArray, "B"] | None = None,
        resets: Bool[AnyArray, "T B"] | None = None,
        reset_carry: Carry | None = None,
        key: Key | None = None,
        return_carries: bool = False,
    ) -> tuple[Array, Carry]:
        """Run the layer over a batch of sequences.

        Args:
            params: the parameters, from `init`.
            inputs: vectors `[T, B, D]`, or token ids `[T, B]` if the layer reads ids.
            carry: the carry that sequences start from; None means `initial_carry`.
            lengths: the valid steps of each sequence, in `0..T`; None means all.  Outputs past the
                end are zero, and nothing in the padding reaches an output or a gradient.
            resets: True at each step before which a sequence starts again.
            reset_carry: the carry that it then starts from; None means `initial_carry`.
            key: for dropout; None means evaluation, without dropout.
            return_carries: return the carry after every step, in arrays `[T, B, ...]`, in place of
                the last one, as `jaxrnn.unroll` does.

        Returns:
            (outputs `[T, B, F]`, the carry after the last step)

        Raises:
            TypeError: an argument is of the wrong type.
            ValueError: a size or value is wrong.  Both errors name the argument and what was
                expected.

        Examples:
            >>> import jax, jaxrnn
            >>> layer = jaxrnn.recurrent(jaxrnn.gru(8))
            >>> params = layer.init(jax.random.key(0), 3)
            >>> inputs, lengths = jax.numpy.ones((5, 2, 3)), jax.numpy.array([5, 2])
            >>> outputs, carry = layer.apply(params, inputs, lengths=lengths)
            >>> outputs.any(axis=2).sum(axis=0).tolist()
            [5, 2]
        """
        check_sequence(inputs, lengths, resets)
        if carry is None:
            carry = self.initial_carry(params, inputs.shape[1])
        context = Context(lengths, resets, reset_carry, key, return_carries)
        return self.run(params, inputs, carry, context)

    def run(self, params: Params, inputs: Any, carry: Carry, context: Context) -> tuple[Any, Carry]:
        """Run the layer over a checked sequence, from a given carry.

        New kinds of layers define this method; layers that hold others call theirs.
        """
        raise NotImplementedError

    def run_to_end(
        self, params: Params, inputs: Any, carry: Carry, context: Context
    ) -> tuple[Any, Carry]:
        """Run the layer as `run` does, and return the output when each sequence is read: `[B, F]`.

        It is the one at the last valid step, or for a layer that reads backward at the first step.

        Raises:
            ValueError: the layer is not causal, and does not define which outputs these are.
        """
        if not self.causal:
            raise ValueError(
                f"{self} has no last output, because it is not causal: choose another pooling, such"
                ' as "mean"'
            )
        outputs, carry = self.run(params, inputs, carry, context)
        return take_last(context.lengths, outputs), carry

    def parts(self, params: Params) -> Iterator[tuple["Layer", Params]]:
        """Yield the layers inside this one, each with its own parameters."""
        del params
        yield from ()

    def summary(self, params: Params) -> str:
        """Return a table of the layer and the layers inside it, with their parameters.

        Examples:
            >>> import jax, jaxrnn
            >>> layer = jaxrnn.stack([jaxrnn.recurrent(jaxrnn.gru(32)), jaxrnn.linear(5)])
            >>> print(layer.summary(layer.init(jax.random.key(0), 10)))
            Stack                   4,389 parameters
              Recurrent(gru(32))    4,224  w_ih [10, 96], w_hh [32, 96], b_ih [96], b_hh [96]
              Linear(5)               165  kernel [32, 5], bias [5]
        """
        rows = list(_summary_rows(self, params))
        width = max(len(name) for name, *_ in rows)
        digits = max(len(count) for _, count, _ in rows)
        return "\n".join(f"{n:{width}}    {c:>{digits}}{more}".rstrip() for n, c, more in rows)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._arguments())})"

    def _arguments(self) -> Iterator[str]:
        """Yield what `repr` shows: the first field, and others that are not at their default."""
        first, *others = fields(self)
        value = getattr(self, first.name)
        yield from map(repr, value if isinstance(value, tuple) else (value,))
        for field in others:
            if (value := getattr(self, field.name)) != field.default:
                yield f"{field.name}={value!r}"


def _summary_rows(layer: Layer, params: Params, depth: int = 0) -> Iterator[tuple[str, str, str]]:
    """Yield name, number of parameters and shapes of a layer, then of the layers inside it."""
    parts = list(layer.parts(params))
    leaves = jax.tree.leaves_with_path(params)
    count = f"{sum(leaf.size for _, leaf in leaves):,}"
    name = type(layer).__name__ if parts else repr(layer)
    shapes = [f"{_path_name(path)} {list(leaf.shape)}".lstrip() for path, leaf in leaves]
    more = " parameters" if depth == 0 else ""
    yield "  " * depth + name, count, more if parts else f"{more}  {', '.join(shapes)}"
    for part, part_params in parts:
        yield from _summary_rows(part, part_params, depth + 1)


def _path_name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


@dataclass(frozen=True, repr=False)
class Pointwise(Layer):
    """A layer that carries nothing and treats every step independently.

    Padding is zero in its inputs and outputs, as for a recurrent layer.
    """

    @property
    def pointwise(self) -> bool:
        """True."""
        return True

    def transform(self, params: Params, inputs: Any, key: Key | None) -> Any:
        """Map inputs to outputs, at all steps at once; subclasses define this."""
        raise NotImplementedError

    def run(self, params: Params, inputs: Any, carry: Carry, context: Context) -> tuple[Any, Carry]:
        """Run the layer, as `Layer.run` does."""
        valid = valid_steps(context.lengths, inputs.shape[0])
        outputs = self.transform(params, zero_padding(valid, inputs), context.key)
        return zero_padding(valid, outputs), carry


def check_layer(name: str, layer: Any) -> None:
    """Raise unless `layer` can be part of others; `name` is the argument's name in the message."""
    check_model(name, layer)
    if not layer.per_step:
        raise ValueError(f"{name} must have an output at every step, got {layer}")


def check_model(name: str, layer: Any) -> None:
    """Raise unless `layer` is a time-major Layer; `name` is the argument's name in the message."""
    if isinstance(layer, BaseCell):
        raise TypeError(
            f"{name} must be a layer, got the cell {layer}: jaxrnn.recurrent({layer}) is one"
        )
    if not isinstance(layer, Layer):
        raise TypeError(f"{name} must be of type Layer, got {type(layer).__name__}")
    if not layer.time_major:
        raise ValueError(
            f"{name} must be time-major, got {layer}: pass the layer inside it, and arrays with"
            " their first two axes swapped"
        )
