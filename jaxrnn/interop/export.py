"""Export of a layer's step as StableHLO bytes that run without this package."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import export

from jaxrnn.checks import check_positive_integer
from jaxrnn.interop.optional import import_optional
from jaxrnn.interop.weights import check_layer
from jaxrnn.layers import Layer, step
from jaxrnn.recurrence.boundaries import where_rows
from jaxrnn.typing import Params

PLATFORMS = {"cpu", "cuda", "rocm", "tpu"}
"""The platforms that jax.export can compile for, by JAX's names."""


def export_step(
    layer: Layer,
    params: Params,
    input_size: int | None,
    *,
    batch_size: int | None = None,
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
) -> bytes:
    """Serialise `jaxrnn.step` of a layer, with its parameters.

    Running the bytes takes only jax and flatbuffers:

        stream = jax.export.deserialize(bytearray(content))
        starts = np.ones(B, bool)  # rows that start from the initial carry
        carry = [np.zeros((B, *a.shape[1:]), a.dtype) for a in stream.in_avals[2:]]
        outputs, *carry = stream.call(inputs, starts, *carry)

    Args:
        layer: a causal Layer, such as a language model.
        params: its parameters, which become constants of the program.
        input_size: D, for inputs `[B, D]` of the params' type; None for token ids `[B]` of int32.
        batch_size: B; None accepts any.
        platforms: where the bytes can run, by JAX's names.

    Returns:
        Bytes to write to a file.  They hold a function that maps (inputs, starts bool `[B]`,
        leaves of the carry ...) to (outputs `[B, F]`, leaves of the carry ...).  The leaves are
        plain arrays, because the program that loads them does not know this package's tuples.

    Raises:
        ModuleNotFoundError: flatbuffers, which jax.export needs, is not installed.
        TypeError: a size is not an integer, or `layer` is not a Layer.
        ValueError: the layer is not causal, a size is below 1, or a platform is unknown.

    Examples:
        >>> import jax, jaxrnn
        >>> from jaxrnn.interop.export import export_step
        >>> model = jaxrnn.language_model(28, jaxrnn.recurrent(jaxrnn.gru(8)))
        >>> params = model.init(jax.random.key(0), 28)
        >>> content = export_step(model, params, None, batch_size=3)
        >>> stream = jax.export.deserialize(bytearray(content))
        >>> [str(array) for array in stream.in_avals]
        ['int32[3]', 'bool[3]', 'float32[3,8]']
    """
    import_optional("flatbuffers", "jax.export")
    check_layer("bytes", layer)
    if isinstance(platforms, str) or not set(platforms) <= PLATFORMS:
        known = ", ".join(sorted(PLATFORMS))
        raise ValueError(f"platforms must be a sequence of {known}, got {platforms!r}")
    for name, size in (("input_size", input_size), ("batch_size", batch_size)):
        if size is not None:
            check_positive_integer(name, size)
    rows: Any = export.symbolic_shape("b")[0] if batch_size is None else batch_size

    def flat_step(inputs: Any, starts: Any, *leaves: Any) -> tuple[Any, ...]:
        initial = layer.initial_carry(params, inputs.shape[0])
        carry = jax.tree.unflatten(jax.tree.structure(initial), leaves)
        outputs, carry = step(layer, params, inputs, where_rows(starts, initial, carry))
        return outputs, *jax.tree.leaves(carry)

    if input_size is None:
        inputs = jax.ShapeDtypeStruct((rows,), jnp.int32)
    else:
        floats = [leaf.dtype for leaf in jax.tree.leaves(params)]
        inputs = jax.ShapeDtypeStruct((rows, input_size), floats[0] if floats else jnp.float32)
    starts = jax.ShapeDtypeStruct((rows,), bool)
    carry = jax.eval_shape(lambda: layer.initial_carry(params, 1))
    leaves = [
        jax.ShapeDtypeStruct((rows, *leaf.shape[1:]), leaf.dtype) for leaf in jax.tree.leaves(carry)
    ]
    exported = export.export(jax.jit(flat_step), platforms=platforms)(inputs, starts, *leaves)
    return bytes(exported.serialize())
