"""Matrix products in another precision than what surrounds them."""

import functools

import jax
import jax.numpy as jnp

from jaxrnn.typing import Array, DType, Float


def times(
    rows: Float[Array, "*batch K"], kernel: Float[Array, "*stack K N"], dtype: DType
) -> Float[Array, "*batch N"]:
    """`rows @ kernel`, multiplied in the kernel's precision; the sums are `dtype`.

    With a bfloat16 kernel and a float32 `dtype` it is the product that mixed precision means:
    bfloat16 operands, float32 accumulation.  Its derivative multiplies in the kernel's precision,
    too; JAX's own would multiply float32 cotangents by the kernel, out of reach of tensor cores.
    """
    if rows.dtype == kernel.dtype == dtype:
        return rows @ kernel
    return _mixed(jnp.dtype(dtype), rows.astype(kernel.dtype), kernel)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _mixed(dtype: DType, rows: Array, kernel: Array) -> Array:
    return jnp.matmul(rows, kernel, preferred_element_type=dtype)


@_mixed.defjvp
def _mixed_jvp(
    dtype: DType, primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    (rows, kernel), (d_rows, d_kernel) = primals, tangents
    d_product = (d_rows @ kernel + rows @ d_kernel).astype(dtype)
    return _mixed(dtype, rows, kernel), d_product
