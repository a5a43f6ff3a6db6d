"""One time step of a layer, for inputs that arrive one by one."""

from jaxrnn.checks import check_array
from jaxrnn.layers.layer import Layer, check_layer
from jaxrnn.typing import AnyArray, Array, Carry, Float, Integer, Params


def step(
    layer: Layer,
    params: Params,
    inputs: Float[AnyArray, "B D"] | Integer[AnyArray, "B"],
    carry: Carry,
) -> tuple[Float[Array, "B F"], Carry]:
    """What `layer.apply` does, for one step: the outputs of as many steps are those of one `apply`.

        carry = layer.initial_carry(params, B)
        outputs, carry = step(layer, params, inputs, carry)    # as often as inputs come

    Args:
        layer: a causal Layer; jit the call, or a function that makes it.
        params: its parameters.
        inputs: the step's vectors `[B, D]` or token ids `[B]`.
        carry: the layer's, from `layer.initial_carry` or from the step before.

    Returns:
        (outputs `[B, F]`, carry)

    Raises:
        TypeError: `layer` is not a Layer, or the inputs or the carry are of the wrong type.
        ValueError: the layer is not causal, or a size is wrong.
    """
    check_layer("layer", layer)
    if not layer.causal:
        raise ValueError(
            f"layer must be causal to run step by step: the outputs of {layer} depend on inputs"
            " still to come, as a bidirectional one's do"
        )
    check_array("inputs", inputs)
    if inputs.ndim not in (1, 2):
        raise ValueError(f"inputs must be [B, D] or ids [B], one step's, got shape {inputs.shape}")
    outputs, carry = layer.apply(params, inputs[None], carry)
    return outputs[0], carry
