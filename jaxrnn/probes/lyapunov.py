"""Lyapunov exponents: how fast nearby states part or meet."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.checks import check_integer, check_positive_integer
from jaxrnn.layers import Layer
from jaxrnn.layers.layer import check_model
from jaxrnn.probes.one_row import System, system_of
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
        The exponents of each row per step, in nats, the largest first; -inf in directions that a
        step ends, as those that no later step reads.

    Raises:
        TypeError: `model` is not a Layer, a number is not an integer, or the carry has a dtype of
            16 bits, in which directions cannot be kept apart.
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
    check_model("model", model)
    check_sequence(inputs, None, None)
    check_integer("skip", skip)
    if not 0 <= skip < len(inputs):
        raise ValueError(f"skip must be in 0..{len(inputs) - 1}, or no step counts, got {skip}")
    system, states = system_of(model, params, inputs[0], carry)
    if jnp.finfo(states.dtype).bits < 32:
        raise TypeError(f"the carry must be float32 or float64, got {states.dtype}")
    model.apply(params, inputs, carry)  # finds ids out of range at any step
    size = states.shape[1]
    if num_exponents is not None:
        check_positive_integer("num_exponents", num_exponents, size)
    count = num_exponents or size
    return _exponents(system, count, params, states, jnp.asarray(inputs), jnp.int32(skip))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _exponents(
    system: System, count: int, params: Params, states: Array, inputs: Any, skip: Any
) -> Array:
    # In any direction of the axes, a unit that reads no other would hide all others.
    drawn = jax.random.normal(jax.random.key(0), (states.shape[1], count), states.dtype)
    first, _ = jnp.linalg.qr(drawn)
    rounding = states.shape[1] * jnp.finfo(states.dtype).eps

    def step(so_far: tuple[Any, ...], now: tuple[Any, Any]) -> tuple[tuple[Any, ...], None]:
        (state, directions, total), (counts, inputs) = so_far, now
        advance = functools.partial(system.advance, params, inputs=inputs)
        new, push = jax.linearize(advance, state)
        directions, triangle = jnp.linalg.qr(jax.vmap(push, 1, 1)(directions))
        growth = jnp.abs(jnp.diagonal(triangle))
        growth = jnp.where(growth <= rounding * growth.max(), 0, growth)  # a direction that ends
        return (new, directions, total + jnp.where(counts, jnp.log(growth), 0)), None

    def of_row(state: Array, inputs: Any) -> Array:
        counts = jnp.arange(len(inputs), dtype=jnp.int32) >= skip
        start = state, first, jnp.zeros(count, state.dtype)
        (_, _, total), _ = lax.scan(step, start, (counts, inputs))
        return jnp.sort(total / counts.sum(dtype=state.dtype), descending=True)

    return jax.vmap(of_row, (0, 1))(states, inputs)
