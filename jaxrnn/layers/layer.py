"""The `Layer` type: anything that maps a sequence to a sequence."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxrnn.recurrence.arguments import check_sequence
from jaxrnn.recurrence.boundaries import valid_steps, zero_padding
from jaxrnn.typing import Key, Params


class Layer(NamedTuple):
    """Pure functions that map a sequence `[T, B, D]` to a sequence `[T, B, F]`.

    Layers nest freely: a deep bidirectional language model is a Layer like the one inside it.
    """

    name: str
    """The factory that made it: "recurrent", "stack", ..."""
    output_size: Callable[[int], int]
    """(input_size) -> F."""
    init: Callable[[Key, int], Params]
    """(key, input_size) -> params."""
    initial_carry: Callable[[Params, int], Any]
    """(params, batch_size) -> carry; () where nothing is carried."""
    apply: Callable[..., tuple[Any, Any]]
    """(params, inputs, carry, *, lengths=None, resets=None, reset_carry=None, key=None)
    -> (outputs, carry).  The keywords are those of `jaxrnn.unroll`; resets go back to the layer's
    own initial carry unless a `reset_carry` is given, and `key=None` means deterministic."""
    causal: bool = True
    """Whether no output depends on a later input."""
    parts: tuple[Any, ...] = ()
    """What it is made of: the cell, the inner layers or its numbers; for inspection and for other
    formats of weights."""


def memoryless(
    name: str,
    output_size: Callable[[int], int],
    init: Callable[[Key, int], Params],
    transform: Callable[[Params, Any, Key | None], Any],
    parts: tuple[Any, ...] = (),
) -> Layer:
    """A layer that carries nothing: transform(params, inputs, key), each step by itself.

    Padding is zero on both of its sides, as for a recurrent layer.
    """

    def initial_carry(params: Params, batch_size: int) -> tuple[()]:
        return ()

    def apply(
        params: Params,
        inputs: Any,
        carry: tuple[()],
        *,
        lengths: Any = None,
        resets: Any = None,
        reset_carry: tuple[()] | None = None,
        key: Key | None = None,
    ) -> tuple[Any, tuple[()]]:
        check_sequence(inputs, lengths, resets)
        valid = valid_steps(lengths, inputs.shape[0])
        outputs = transform(params, zero_padding(valid, inputs), key)
        return zero_padding(valid, outputs), carry

    return Layer(name, output_size, init, initial_carry, apply, parts=parts)
