"""One time step of a layer, for inputs that arrive one at a time."""

from jaxrnn.checks import check_array, check_mask
from jaxrnn.layers.layer import Layer, check_layer
from jaxrnn.typing import AnyArray, Array, Bool, Carry, Float, Integer, Params


def step(
    layer: Layer,
    params: Params,
    inputs: Float[AnyArray, "B D"] | Integer[AnyArray, "B"],
    carry: Carry,
    *,
    resets: Bool[AnyArray, "B"] | None = None,
) -> tuple[Float[Array, "B F"], Carry]:
    """Run a layer for one time step; T steps give the same outputs as one `apply` over T steps.

    Jit the call, or a function that makes it.

    Args:
        layer: a causal Layer.
        params: its parameters.
        inputs: the step's vectors `[B, D]` or token ids `[B]`.
        carry: the layer's carry, from `layer.initial_carry` or from the previous step.
        resets: rows that restart from the initial carry before this step; None means none.

    Returns:
        (outputs `[B, F]`, the carry after the step)

    Raises:
        TypeError: `layer` is not a Layer, or the inputs or the carry have the wrong type.
        ValueError: the layer is not causal or not time-major, or a size is wrong.

    Examples:
        >>> import jax, jaxrnn
        >>> layer = jaxrnn.recurrent(jaxrnn.gru(8))
        >>> params = layer.init(jax.random.key(0), 3)
        >>> carry = layer.initial_carry(params, 2)
        >>> run_step = jax.jit(jaxrnn.step, static_argnums=0)
        >>> for inputs in jax.numpy.ones((5, 2, 3)):
        ...     outputs, carry = run_step(layer, params, inputs, carry)
        >>> outputs.shape
        (2, 8)
    """
    check_layer("layer", layer)
    if not layer.causal:
        raise ValueError(
            f"layer must be causal to run step by step: the outputs of {layer} depend on later"
            " inputs, as those of reversed and bidirectional layers do"
        )
    check_array("inputs", inputs)
    if inputs.ndim not in (1, 2):
        raise ValueError(f"inputs must be one step, [B, D] or ids [B], got shape {inputs.shape}")
    if resets is not None:
        check_mask("resets", resets, inputs.shape[:1])
        resets = resets[None]
    outputs, carry = layer.apply(params, inputs[None], carry, resets=resets)
    return outputs[0], carry
