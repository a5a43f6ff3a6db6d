"""Fixed points: states that a layer stays in, and what happens next to them."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.checks import check_number, check_positive_integer
from jaxrnn.layers import Layer
from jaxrnn.probes.one_row import System, system_of
from jaxrnn.typing import AnyArray, Array, Carry, Complex, Float, HostArray, Integer, Params


class FixedPoints(NamedTuple):
    """Fixed points of a model under constant inputs."""

    carries: Carry
    """The states, in the form of the model's carry, a row for each of the K points."""
    speeds: Float[HostArray, "K"]
    """The distance that a step still moves each of them."""
    jacobians: Float[HostArray, "K N N"]
    """The derivative of a step, where N is the number of values in a row of the carry."""
    eigenvalues: Complex[HostArray, "K N"]
    """Their eigenvalues, the largest first.  A point attracts its surroundings if all are inside
    the unit circle; a mode of modulus r fades to 1/e in -1 / log(r) steps."""


def fixed_points(
    model: Layer,
    params: Params,
    inputs: Float[AnyArray, "D"] | Integer[AnyArray, ""] | int,
    carries: Carry,
    *,
    tolerance: float = 1e-4,
    min_distance: float = 1e-2,
    max_steps: int = 200,
) -> FixedPoints:
    """Find fixed points of a model under inputs that stay the same: step(carry) = carry.

    The squared distance that a step moves a state is minimised from each start by SciPy's
    Levenberg-Marquardt method.  Saddles are found as well as attractors.

    Args:
        model: a causal Layer.
        params: its parameters.
        inputs: the inputs of every step: a vector `[D]`, or a token id.
        carries: the starts, in the form of the model's carry with a row for each, such as the carry
            after some texts.
        tolerance: the distance a step may move a point; slower points are kept, others dropped.
            With products in bfloat16 no step is as exact as the default.
        min_distance: points that are nearer to each other are the same one; the slowest stays.
        max_steps: evaluations of the step and its Jacobian from each start, at most.

    Returns:
        The distinct points, the slowest first; there may be none.

    Raises:
        TypeError: `model` is not a Layer, or an argument has the wrong type.
        ValueError: the model is not causal, or a number is out of range.

    Examples:
        >>> import jax, jaxrnn
        >>> from jaxrnn import probes
        >>> layer = jaxrnn.recurrent(jaxrnn.gru(4))
        >>> params = layer.init(jax.random.key(0), 2)
        >>> starts = layer.initial_carry(params, 1)
        >>> found = probes.fixed_points(layer, params, jax.numpy.zeros(2), starts)
        >>> found.carries.hidden.shape, bool((abs(found.eigenvalues) < 1).all())
        ((1, 4), True)

    Reference:
        Sussillo and Barak, Opening the black box: low-dimensional dynamics in high-dimensional
        recurrent neural networks, 2013.
    """
    check_number("tolerance", tolerance, low=0.0)
    check_number("min_distance", min_distance, low=0.0)
    check_positive_integer("max_steps", max_steps)
    now = jnp.asarray(inputs)
    rows = len(jax.tree.leaves(carries)[0]) if jax.tree.leaves(carries) else 1
    system, states = system_of(model, params, jnp.broadcast_to(now, (rows, *now.shape)), carries)
    advance, jacobian = (
        functools.partial(f, system, params, inputs=now) for f in (_advance, _slope)
    )
    starts = np.asarray(states)
    ends = [_minimise(advance, jacobian, start, max_steps) for start in starts]
    speeds = [float(np.linalg.norm(np.asarray(advance(end)) - end)) for end in ends]
    kept: list[int] = []
    for k in np.argsort(speeds):
        far = all(np.linalg.norm(ends[k] - ends[other]) >= min_distance for other in kept)
        if speeds[k] <= tolerance and far:
            kept.append(int(k))
    found = np.stack([ends[k] for k in kept]) if kept else starts[:0]
    size = starts.shape[1]
    jacobians = np.array([jacobian(state) for state in found], float).reshape(-1, size, size)
    eigenvalues = np.linalg.eigvals(jacobians).astype(complex)
    order = np.argsort(-abs(eigenvalues), axis=1)
    return FixedPoints(
        system.to_carry(jnp.asarray(found)),
        np.array([speeds[k] for k in kept]),
        jacobians,
        np.take_along_axis(eigenvalues, order, axis=1),
    )


@functools.partial(jax.jit, static_argnums=0)
def _advance(system: System, params: Params, state: Array, *, inputs: Any) -> Array:
    return system.advance(params, state, inputs)


@functools.partial(jax.jit, static_argnums=0)
def _slope(system: System, params: Params, state: Array, *, inputs: Any) -> Array:
    return jax.jacfwd(lambda state: system.advance(params, state, inputs))(state)


def _minimise(advance: Any, jacobian: Any, start: HostArray, max_steps: int) -> HostArray:
    from scipy.optimize import least_squares  # jax needs SciPy, too

    def moved(state: HostArray) -> HostArray:
        state = state.astype(start.dtype)
        return np.asarray(advance(state), np.float64) - state

    def slope(state: HostArray) -> HostArray:
        return np.asarray(jacobian(state.astype(start.dtype)), np.float64) - np.eye(len(state))

    # Rounding in float32 ends the search; the default tolerances would end it before.
    end = least_squares(
        moved, start, slope, method="lm", xtol=1e-12, ftol=1e-12, gtol=1e-12, max_nfev=max_steps
    )
    return end.x.astype(start.dtype)
