"""Lyapunov exponents: how fast nearby states part or meet."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.checks import check_integer, check_positive_integer
from jaxrnn.layers import Layer
from jaxrnn.probes.one_row import system_of
from jaxrnn.recurrence.arguments import check_sequence
from jaxrnn.typing import Array, Carry, Float, Inputs, Params


def lyapunov_exponents(
    model: Layer,
    params: Params,
    inputs: Inputs,
    carry: Carry | None = None,
    *,
    num_exponents: int | None = None,
    skip: int = 0,
) -> Float[Array, "B K"]:
    """Return the largest Lyapunov exponents of a model that is driven by some inputs.

        lambda[k] = lim 1/T log |growth of the k-th direction over T steps|

    Above 0, small differences grow e-fold in 1 / lambda steps: chaos, and exploding gradients.
    Below 0 they vanish; the largest tells how long the memory lasts, in steps: -1 / lambda[0].  The
    tangents of K directions run along, and a QR decomposition keeps them apart at every step.

    Args:
        model: a causal Layer.
        params: its parameters.
        inputs: vectors `[T, B, D]`, or token ids `[T, B]`; the exponents are means over T.
        carry: the carry that the sequences start from; None means the initial one.
        num_exponents: K, the number of exponents; None means all, one per number in the carry.
        skip: steps at the start, on the way to the attractor, that do not count.

    Returns:
        The exponents of each row per step, in nats, the largest first.

    Raises:
        TypeError: `model` is not a Layer, or a number is not an integer.
        ValueError: the model is not causal, or a size is wrong.

    Examples:
        >>> import jax, jaxrnn
        >>> from jaxrnn import probes
        >>> layer = jaxrnn.recurrent(jaxrnn.gru(8))
        >>> params = layer.init(jax.random.key(0), 3)
        >>> inputs = jax.random.normal(jax.random.key(1), (200, 2, 3))
        >>> exponents = probes.lyapunov_exponents(layer, params, inputs, num_exponents=3)
        >>> exponents.shape, bool((exponents < 0).all())  # before training a GRU forgets
        ((2, 3), True)

    Reference:
        Benettin et al., Lyapunov characteristic exponents for smooth dynamical systems, 1980.
        Engelken, Wolf and Abbott, Lyapunov spectra of chaotic recurrent neural networks, 2023,
        arXiv:2006.02427.
    """
    check_sequence(inputs, None, None)
    if carry is None:
        carry = model.initial_carry(params, inputs.shape[1])
    system = system_of(model, params, carry)
    states = system.to_states(carry)
    size = states.shape[1]
    if num_exponents is not None:
        check_positive_integer("num_exponents", num_exponents, size)
    check_integer("skip", skip)
    if not 0 <= skip < len(inputs):
        raise ValueError(f"skip must be in 0..{len(inputs) - 1}, or no step counts, got {skip}")

    def step(now: tuple[Array, Array], inputs: Any) -> tuple[tuple[Array, Array], Array]:
        state, directions = now
        advance = functools.partial(system.advance, inputs=inputs)
        new, push = jax.linearize(advance, state)
        directions, triangle = jnp.linalg.qr(jax.vmap(push, 1, 1)(directions))
        return (new, directions), jnp.log(jnp.abs(jnp.diagonal(triangle)))

    def of_row(state: Array, inputs: Any) -> Array:
        directions = jnp.eye(size, num_exponents or size, dtype=state.dtype)
        _, growth = lax.scan(step, (state, directions), inputs)
        return jnp.sort(growth[skip:].mean(axis=0), descending=True)

    return jax.jit(jax.vmap(of_row, (0, 1)))(states, jnp.asarray(inputs))
