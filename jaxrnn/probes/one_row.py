"""A layer as a dynamical system: the step of one row, whose state is a vector."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxrnn.layers import Layer
from jaxrnn.layers.layer import check_model
from jaxrnn.typing import Array, Carry, Params


class System(NamedTuple):
    """The dynamics of one row; static, so that functions can be jitted with it."""

    model: Layer
    unravel: Callable[[Array], Carry]
    """The carry of one row, without a batch axis, of a state `[N]`."""

    def advance(self, params: Params, state: Array, inputs: Any) -> Array:
        """Return the state `[N]` after a step."""
        rows = jax.tree.map(lambda c: c[None], self.unravel(state))
        _, new = self.model.apply(params, inputs[None, None], rows)
        return ravel_pytree(new)[0]

    def to_carry(self, states: Array) -> Carry:
        """Return the carry of B rows, given their states `[B, N]`."""
        return jax.vmap(self.unravel)(states)


def system_of(
    model: Layer, params: Params, inputs: Any, carry: Carry | None
) -> tuple[System, Array]:
    """Return the dynamics of a layer, and its states `[B, N]`.

    Args:
        model: the layer.
        params: its parameters.
        inputs: those of one step, `[B, D]` or ids `[B]`.
        carry: the carry of B rows; None means the initial one.

    Raises:
        TypeError: `model` is not a Layer, or its carry holds other things than floats.
        ValueError: it is not causal, carries nothing, or does not fit the inputs.
    """
    check_model("model", model)
    if not model.causal:
        raise ValueError(f"model must be causal, so that its carry flows forward, got {model}")
    if carry is None:
        carry = model.initial_carry(params, len(inputs))
    leaves = jax.tree.leaves_with_path(carry)
    if not leaves:
        raise ValueError(f"model must carry something, got {model}")
    for path, leaf in leaves:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            raise TypeError(f"the carry must hold floats alone, got {leaf.dtype} in {name}")
    model.apply(params, inputs[None], carry)  # its errors are clearer than those of a loop
    _, unravel = ravel_pytree(jax.tree.map(lambda c: c[0], carry))
    states = jax.vmap(lambda row: ravel_pytree(row)[0])(carry)
    return System(model, unravel), states
