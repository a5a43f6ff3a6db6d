"""`trace`: what the recurrent layers of a model carry and compute at every step."""

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrnn.cells import BaseCell, Cell, LinearCell, LoopParams, StepCell
from jaxrnn.checks import widen_ids
from jaxrnn.layers import Layer, Recurrent
from jaxrnn.layers.layer import check_model
from jaxrnn.probes.gates import Gate, gates_of
from jaxrnn.probes.observed import Note, Place, observed, places_of
from jaxrnn.recurrence.arguments import check_sequence
from jaxrnn.recurrence.boundaries import (
    Context,
    fill_padding,
    flip_within,
    resets_in_direction,
    valid_steps,
    zero_padding,
)
from jaxrnn.recurrence.linear import state_of
from jaxrnn.recurrence.scan import cast_w_hh, fill_arguments, hidden_gates_of, start_carries
from jaxrnn.recurrence.unroll import project_inputs
from jaxrnn.typing import AnyArray, Array, Bool, Carry, Float, Inputs, Integer, Params


@dataclass(frozen=True)
class LayerTrace:
    """The carries and gates of one recurrent layer at every step."""

    name: str
    """Its place among the recurrent layers, such as "layer 2" or "layer 1 backward"."""
    cell: BaseCell
    """The cell that it runs."""
    carries: Carry
    """The carry after every step, in arrays `[T, B, ...]`."""
    gates: dict[str, Gate]
    """The gates by the names of `cell.gates`; zero in the padding."""
    valid: Bool[Array, "T B"] | None
    """Which steps are not padding; None means all."""


jax.tree_util.register_dataclass(LayerTrace, ["carries", "gates", "valid"], ["name", "cell"])


class Trace(NamedTuple):
    """The outputs of a model, and the carries and gates of its recurrent layers."""

    outputs: Float[Array, "*T B F"]
    """The outputs of the model: `[B, F]` of one with an output per sequence."""
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
    places, notes = places_of(model, params), list[Note]()
    if not places:
        raise ValueError(f"model must have a recurrent layer among its `parts`, got {model}")
    if carry is None:
        carry = model.initial_carry(params, inputs.shape[1])
    context = Context(lengths, resets, reset_carry)
    outputs, last = observed(model, notes).run(params, inputs, carry, context)
    if [note.layer for note in notes] != [place.layer for place in places]:
        raise ValueError(f"the `parts` of {model} must be the layers that it runs, in their order")
    layers = (
        _layer_trace(place, *note[1:-1], note.context[:3])
        for place, note in zip(places, notes, strict=True)
    )
    return Trace(outputs, last, tuple(layers))


@functools.partial(jax.jit, static_argnums=0)
def _layer_trace(
    place: Place,
    params: Any,
    inputs: Any,
    carry: Any,
    carries: Any,
    boundaries: tuple[Any, Any, Any],
) -> LayerTrace:
    """Return what a layer did, in the order of the model's inputs."""
    lengths, resets, reset_carry = boundaries
    valid, reverse = valid_steps(lengths, len(inputs)), place.layer.options.reverse
    read = Reading(
        fill_padding(valid, inputs), carries, valid, resets_in_direction(resets, valid, reverse)
    )
    gates = _gates(
        place.layer, params, carry, reset_carry, flip_within(None, read) if reverse else read
    )
    if reverse:
        gates = flip_within(None, gates)
    gates = jax.tree.map(functools.partial(zero_padding, valid), gates)
    if place.flipped:
        carries, gates = flip_within(lengths, (carries, gates))
    return LayerTrace(place.name, place.layer.cell, carries, gates, valid)


class Reading(NamedTuple):
    """The inputs and carries of a layer, in the order in which it reads the steps."""

    inputs: Any
    carries: Any
    valid: Any
    resets: Any


def _gates(
    layer: Recurrent, params: Any, carry: Any, reset_carry: Any, read: Reading
) -> dict[str, Gate]:
    """Return the gates at all steps, in the order in which the layer reads them."""
    cell, options, inputs = layer.cell, layer.options, read.inputs
    if not cell.gates:
        return {}
    if jnp.issubdtype(inputs.dtype, jnp.integer):
        inputs = widen_ids("inputs", inputs, params.w_ih.shape[0])
    input_gates = project_inputs(options, params, inputs)
    own = cast_w_hh(options, LoopParams(params.w_hh, params.b_hh, params.cell))
    if isinstance(cell, LinearCell):
        equations = functools.partial(_linear_equations, cell, own.cell)
        return gates_of(equations, cell.gates, (input_gates,), state_of(read.carries))
    if read.resets is not None and reset_carry is None:
        reset_carry = cell.initial_carry(inputs.shape[1], params.w_ih.dtype)
    starts = start_carries(carry, read.carries, read.resets, reset_carry)
    starts = fill_arguments(read.valid, starts)
    if isinstance(cell, StepCell):
        step = functools.partial(cell.step, own)
        return gates_of(step, cell.gates, (input_gates,), starts)
    assert isinstance(cell, Cell)
    hidden_gates = hidden_gates_of(cell, own, starts.hidden)
    update = functools.partial(cell.update, own.cell)
    return gates_of(update, cell.gates, (input_gates, hidden_gates), starts)


def _linear_equations(cell: LinearCell, params: Any, input_gates: Any, state: Any) -> Any:
    read = () if cell.readout is None else cell.readout(params, input_gates, state)
    return cell.coefficients(params, input_gates), read
