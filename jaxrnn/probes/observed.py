"""The recurrent layers inside a model, and copies of them that take notes of what they do."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax

from jaxrnn.layers import Bidirectional, Layer, Recurrent
from jaxrnn.recurrence.boundaries import Context
from jaxrnn.typing import Params


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
        """The name of the layer in traces."""
        return f"layer {self.number}{self.direction}"


def places_of(
    layer: Layer, params: Params, number: int = 1, direction: str = "", flipped: bool = False
) -> list[Place]:
    """Return the recurrent layers inside a layer, in the order in which they run."""
    if isinstance(layer, Recurrent):
        return [Place(number, direction, layer, flipped)]
    found: list[Place] = []
    for k, (part, part_params) in enumerate(layer.parts(params)):
        if isinstance(layer, Bidirectional):
            own = direction + (" forward", " backward")[k]
            found += places_of(part, part_params, number, own, flipped ^ (k == 1))
        else:
            above = max((place.number + 1 for place in found), default=number)
            found += places_of(part, part_params, above, direction, flipped)
    return found


class Note(NamedTuple):
    """The arguments of a recurrent layer's run, and its carry after every step."""

    layer: Recurrent
    params: Any
    inputs: Any
    carry: Any
    carries: Any
    context: Context


@dataclass(frozen=True, repr=False)
class Observed(Recurrent):
    """A recurrent layer that takes notes of what it read and carried."""

    observed: Recurrent | None = field(default=None, compare=False)
    """The layer itself."""
    notes: list[Note] = field(default_factory=list, compare=False)
    """One for each run."""

    def run(self, params: Any, inputs: Any, carry: Any, context: Context) -> tuple[Any, Any]:
        """Run the layer, as `Layer.run` does."""
        assert self.observed is not None
        every = context._replace(return_carries=True)
        outputs, carries = super().run(params, inputs, carry, every)
        self.notes.append(Note(self.observed, params, inputs, carry, carries, context))
        if context.return_carries:
            return outputs, carries
        last = 0 if self.options.reverse else -1
        return outputs, jax.tree.map(lambda c: c[last], carries)


def observed(layer: Any, notes: list[Note]) -> Any:
    """Return a layer, or a tuple of layers, whose recurrent layers take notes."""
    if isinstance(layer, tuple):
        each = [observed(one, notes) for one in layer]
        return type(layer)(*each) if hasattr(layer, "_fields") else tuple(each)
    if not isinstance(layer, Layer):
        return layer
    values = {each.name: getattr(layer, each.name) for each in dataclasses.fields(layer)}
    if isinstance(layer, Recurrent):
        if layer.options.implementation == "cudnn":  # which returns no carries
            values["options"] = dataclasses.replace(layer.options, implementation=None)
        return Observed(**values, observed=layer, notes=notes)
    return dataclasses.replace(layer, **{name: observed(v, notes) for name, v in values.items()})
