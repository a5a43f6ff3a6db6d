"""`trace`: what the recurrent layers of a model carry and compute at every step."""

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.cells import BaseCell, Cell, LinearCell, LoopParams, StepCell
from jaxrnn.checks import widen_ids
from jaxrnn.layers import Bidirectional, Layer, Recurrent
from jaxrnn.layers.layer import check_model
from jaxrnn.probes.gates import Gate, gates_of
from jaxrnn.recurrence.arguments import check_sequence
from jaxrnn.recurrence.boundaries import (
    Context,
    fill_padding,
    flip_within,
    resets_in_direction,
    valid_steps,
    zero_padding,
)
from jaxrnn.recurrence.scan import cast_w_hh, hidden_gates_of, start_carries
from jaxrnn.recurrence.unroll import project_inputs
from jaxrnn.typing import AnyArray, Array, Bool, Carry, Float, Inputs, Integer, Params


@dataclass(frozen=True)
class LayerTrace:
    """What one recurrent layer did at every step."""

    name: str
    """Its place among the recurrent layers, such as "layer 2" or "layer 1 backward"."""
    cell: BaseCell
    """The cell that it runs."""
    carries: Carry
    """The carry after every step, in arrays `[T, B, ...]`."""
    gates: dict[str, Gate]
    """The gates by the names of `cell.gates`; zero in the padding."""


jax.tree_util.register_dataclass(LayerTrace, ["carries", "gates"], ["name", "cell"])


class Trace(NamedTuple):
    """What a model did at every step."""

    outputs: Float[Array, "T B F"]
    """The outputs of the model."""
    carry: Carry
    """The model's carry after the last step, from which to trace what follows."""
    layers: tuple[LayerTrace, ...]
    """Its recurrent layers, from inputs to outputs, forward before backward."""


def trace(
    model: Layer,
    params: Params,
    inputs: Inputs,
    carry: Carry | None = None,
    *,
    lengths: Integer[AnyArray, "B"] | None = None,
    resets: Bool[AnyArray, "T B"] | None = None,
    reset_carry: Carry | None = None,
) -> Trace:
    """Run a model, and return the carries and gates of every recurrent layer inside it.

    The model runs as in `apply`, without dropout.  Its gates are computed once more, from the
    equations of each cell and the carry before each step.

    Args:
        model: any Layer, of any depth and direction.
        params: its parameters.
        inputs: vectors `[T, B, D]`, or token ids `[T, B]`.
        carry: as for `Layer.apply`; so are lengths, resets and reset_carry.

    Returns:
        A `Trace`.  All arrays are in the order of the inputs, those of reversed layers included.

    Raises:
        TypeError, ValueError: as `Layer.apply` does; or the model has no recurrent layer.

    Examples:
        >>> import jax, jaxrnn
        >>> from jaxrnn import probes
        >>> model = jaxrnn.language_model(28, jaxrnn.recurrent(jaxrnn.gru(8)))
        >>> params = model.init(jax.random.key(0), 28)
        >>> seen = probes.trace(model, params, jax.numpy.array([[3], [1], [4]]))
        >>> [(layer.name, sorted(layer.gates)) for layer in seen.layers]
        [('layer 1', ['candidate', 'reset', 'update'])]
        >>> seen.layers[0].gates["update"].function
        'sigmoid'
    """
    check_model("model", model)
    check_sequence(inputs, lengths, resets)
    if not _places(model, params):
        raise ValueError(f"model must have a recurrent layer, got {model}")
    if carry is None:
        carry = model.initial_carry(params, inputs.shape[1])
    return _trace(model, params, inputs, carry, (lengths, resets, reset_carry))


@functools.partial(jax.jit, static_argnums=0)
def _trace(
    model: Layer, params: Params, inputs: Any, carry: Any, boundaries: tuple[Any, Any, Any]
) -> Trace:
    notes: list[Note] = []
    context = Context(*boundaries)
    outputs, last = _observed(model, notes).run(params, inputs, carry, context)
    places = _places(model, params)
    layers = (_layer_trace(*pair) for pair in zip(places, notes, strict=True))
    return Trace(outputs, last, tuple(layers))


class Place(NamedTuple):
    """A recurrent layer within a model."""

    number: int
    """The recurrent layers below it, and itself."""
    direction: str
    """Such as " backward", or nothing."""
    layer: Recurrent
    """The layer."""
    flipped: bool
    """Whether it reads its sequences flipped, in the backward half of a bidirectional layer."""

    @property
    def name(self) -> str:
        """What traces call the layer."""
        return f"layer {self.number}{self.direction}"


def _places(
    layer: Layer, params: Params, number: int = 1, direction: str = "", flipped: bool = False
) -> list[Place]:
    """Return the recurrent layers inside a layer, in the order in which they run."""
    if isinstance(layer, Recurrent):
        return [Place(number, direction, layer, flipped)]
    found: list[Place] = []
    for k, (part, part_params) in enumerate(layer.parts(params)):
        if isinstance(layer, Bidirectional):
            own = direction + (" forward", " backward")[k]
            found += _places(part, part_params, number, own, flipped ^ (k == 1))
        else:
            above = max((place.number + 1 for place in found), default=number)
            found += _places(part, part_params, above, direction, flipped)
    return found


class Note(NamedTuple):
    """What a recurrent layer was given, and what it carried."""

    params: Any
    inputs: Any
    carry: Any
    carries: Any
    context: Context


@dataclass(frozen=True, repr=False)
class Observed(Recurrent):
    """A recurrent layer that takes notes of what it read and carried."""

    notes: list[Note] = field(default_factory=list, compare=False)
    """One for each run."""

    def run(self, params: Any, inputs: Any, carry: Any, context: Context) -> tuple[Any, Any]:
        """Run the layer, as `Layer.run` does."""
        every = context._replace(return_carries=True)
        outputs, carries = super().run(params, inputs, carry, every)
        self.notes.append(Note(params, inputs, carry, carries, context))
        if context.return_carries:
            return outputs, carries
        last = 0 if self.options.reverse else -1
        return outputs, jax.tree.map(lambda c: c[last], carries)


def _observed(layer: Any, notes: list[Note]) -> Any:
    """Return a layer, or a tuple of layers, whose recurrent layers take notes."""
    if isinstance(layer, Recurrent):
        values = {each.name: getattr(layer, each.name) for each in dataclasses.fields(layer)}
        return Observed(**values, notes=notes)
    if isinstance(layer, tuple):
        return tuple(_observed(each, notes) for each in layer)
    if not isinstance(layer, Layer):
        return layer
    values = {each.name: getattr(layer, each.name) for each in dataclasses.fields(layer)}
    return dataclasses.replace(
        layer, **{name: _observed(value, notes) for name, value in values.items()}
    )


def _layer_trace(place: Place, note: Note) -> LayerTrace:
    """Return what a layer did, in the order of the model's inputs."""
    context, reverse = note.context, place.layer.options.reverse
    valid = valid_steps(context.lengths, len(note.inputs))
    resets = resets_in_direction(context.resets, valid, reverse)
    inputs = fill_padding(valid, note.inputs)
    as_read = inputs, note.carries, resets
    if reverse:
        as_read = flip_within(None, as_read)
    gates = _gates(place.layer, note.params, note.carry, context.reset_carry, *as_read)
    if reverse:
        gates = flip_within(None, gates)
    gates = jax.tree.map(functools.partial(zero_padding, valid), gates)
    carries, gates = (
        flip_within(context.lengths, each) if place.flipped else each
        for each in (note.carries, gates)
    )
    return LayerTrace(place.name, place.layer.cell, carries, gates)


def _gates(
    layer: Recurrent,
    params: Any,
    carry: Any,
    reset_carry: Any,
    inputs: Any,
    carries: Any,
    resets: Any,
) -> dict[str, Gate]:
    """Return the gates at all steps, in the order in which the layer reads them."""
    cell, options = layer.cell, layer.options
    if not cell.gates:
        return {}
    if jnp.issubdtype(inputs.dtype, jnp.integer):
        inputs = widen_ids("inputs", inputs, params.w_ih.shape[0])
    input_gates = project_inputs(options, params, inputs)
    own = cast_w_hh(options, LoopParams(params.w_hh, params.b_hh, params.cell))
    if isinstance(cell, LinearCell):
        return gates_of(functools.partial(cell.coefficients, own.cell), cell.gates, (input_gates,))
    if resets is not None and reset_carry is None:
        reset_carry = cell.initial_carry(inputs.shape[1], params.w_ih.dtype)
    starts = start_carries(carry, carries, resets, reset_carry)
    if isinstance(cell, StepCell):
        step = functools.partial(cell.step, own)
        return gates_of(step, cell.gates, (input_gates,), starts)
    assert isinstance(cell, Cell)
    hidden_gates = hidden_gates_of(cell, own, starts.hidden)
    update = functools.partial(cell.update, own.cell)
    return gates_of(update, cell.gates, (input_gates, hidden_gates), starts)
