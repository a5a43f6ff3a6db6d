"""A layer as a dynamical system: the step of one row, whose state is a vector."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.flatten_util import ravel_pytree

from jaxrnn.layers import Layer
from jaxrnn.layers.layer import check_model
from jaxrnn.typing import Array, Carry, Params


class System(NamedTuple):
    """The dynamics of one row."""

    advance: Callable[[Array, Any], Array]
    """(state `[N]`, inputs of one step) -> the state after it."""
    to_states: Callable[[Carry], Array]
    """carry of B rows -> their states `[B, N]`."""
    to_carry: Callable[[Array], Carry]
    """states `[B, N]` -> the carry of B rows."""


def system_of(model: Layer, params: Params, carry: Carry) -> System:
    """Return the dynamics of a layer, given a carry of its form.

    Raises:
        TypeError: `model` is not a Layer.
        ValueError: it is not causal, or carries nothing.
    """
    check_model("model", model)
    if not model.causal:
        raise ValueError(f"model must be causal, so that its carry flows forward, got {model}")
    row, unravel = ravel_pytree(jax.tree.map(lambda c: c[0], carry))
    if row.size == 0:
        raise ValueError(f"model must carry something, got {model}")

    def advance(state: Array, inputs: Any) -> Array:
        rows = jax.tree.map(lambda c: c[None], unravel(state))
        _, new = model.apply(params, inputs[None, None], rows)
        return ravel_pytree(new)[0]

    return System(
        advance,
        lambda carry: jax.vmap(lambda row: ravel_pytree(row)[0])(carry),
        jax.vmap(unravel),
    )
