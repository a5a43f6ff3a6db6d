"""How a gradient flows back through time."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxrnn.layers import Layer
from jaxrnn.layers.layer import check_model
from jaxrnn.recurrence.arguments import check_sequence
from jaxrnn.typing import Array, Carry, Float, HostArray, Inputs, Params


def gradient_flow(
    model: Layer,
    params: Params,
    inputs: Inputs,
    loss: Callable[[Array], Array],
    carry: Carry | None = None,
) -> Carry:
    """Return the gradient of a loss with respect to the carry that each step hands to the next.

        g[t] = d loss / d carry[t],   of which output t is not a function, but all later ones are

    Where it vanishes on its way back, what happened there cannot be learnt from this loss.  It is
    for whole sequences read forward: without lengths, resets or a backward direction.

    Args:
        model: a causal Layer.
        params: its parameters.
        inputs: vectors `[T, B, D]`, or token ids `[T, B]`.
        loss: a function of the outputs `[T, B, F]` that returns a number.
        carry: the carry that the sequences start from; None means the initial one.

    Returns:
        The gradients, in the form of the model's carry with arrays `[T, B, ...]`.

    Raises:
        TypeError: `model` is not a Layer, or the inputs have the wrong type.
        ValueError: the model is not causal, or a size is wrong.

    Examples:
        >>> import jax, jaxrnn
        >>> from jaxrnn import probes
        >>> layer = jaxrnn.recurrent(jaxrnn.rnn(8))
        >>> params = layer.init(jax.random.key(0), 3)
        >>> inputs = jax.numpy.ones((20, 1, 3))
        >>> flow = probes.gradient_flow(layer, params, inputs, lambda outputs: outputs[-1].sum())
        >>> norms = probes.gradient_norms(flow)["hidden"][:, 0]
        >>> bool(norms[0] < norms[18] / 100)
        True
        >>> float(norms[19])  # nothing follows the last step
        0.0

    Reference:
        Bengio, Simard and Frasconi, Learning long-term dependencies with gradient descent is
        difficult, 1994.
    """
    check_model("model", model)
    check_sequence(inputs, None, None)
    if not model.causal:
        raise ValueError(
            f"model must be causal, so that its carry flows forward, got {model}; of a classifier,"
            " pass the body and a loss of its outputs"
        )
    if carry is None:
        carry = model.initial_carry(params, inputs.shape[1])
    if not jax.tree.leaves(carry):
        raise ValueError(f"model must carry something, got {model}")
    model.apply(params, inputs, carry)  # its errors are clearer than those of a loop
    return _gradient_flow(model, loss, params, jnp.asarray(inputs), carry)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _gradient_flow(model: Layer, loss: Any, params: Params, inputs: Any, carry: Carry) -> Carry:
    def step(carry: Carry, now: tuple[Any, Any]) -> tuple[Carry, Array]:
        inputs, noise = now
        outputs, carry = model.apply(params, inputs[None], carry)
        return jax.tree.map(lambda c, n: c if n is None else c + n, carry, noise), outputs[0]

    def run(noise: Carry) -> Array:
        _, outputs = lax.scan(step, carry, (inputs, noise))
        return loss(outputs)

    def zeros(leaf: Array) -> Array | None:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return None  # a counter has no gradient
        return jnp.zeros((len(inputs), *leaf.shape), leaf.dtype)

    return jax.grad(run)(jax.tree.map(zeros, carry))


def gradient_norms(gradients: Carry) -> dict[str, Float[HostArray, "T B"]]:
    """Return the norm of each array of a `gradient_flow` at every step and row.

    Args:
        gradients: what `gradient_flow` returned.

    Returns:
        The norms by the places of the arrays in the carry, such as "0.hidden".

    Examples:
        >>> import jax, jaxrnn
        >>> from jaxrnn import probes
        >>> cell = jaxrnn.recurrent(jaxrnn.lstm(8))
        >>> model = jaxrnn.stack([cell, cell])
        >>> params = model.init(jax.random.key(0), 3)
        >>> flow = probes.gradient_flow(model, params, jax.numpy.ones((5, 2, 3)), jax.numpy.sum)
        >>> list(probes.gradient_norms(flow))
        ['0.hidden', '0.memory', '1.hidden', '1.memory']
    """
    norms = {}
    for path, leaf in jax.tree.leaves_with_path(gradients):
        rows = np.asarray(leaf, np.float64).reshape(*leaf.shape[:2], -1)  # squares underflow else
        norms[jax.tree_util.keystr(path, simple=True, separator=".")] = np.linalg.norm(rows, axis=2)
    return norms
