"""Matrix products in mixed precision, and gathers in place of products of one-hot rows."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.checks import is_concrete
from jaxrnn.primitives import rows_times_kernel, take_rows
from jaxrnn.typing import AnyArray, Array, DType, Float, Integer


def matmul(
    rows: Float[AnyArray, "*batch K"],
    kernel: Float[AnyArray, "*stack K N"],
    dtype: DType | None = None,
) -> Float[Array, "*batch N"]:
    """Return `rows @ kernel`, multiplied in the kernel's precision and summed in that of the rows.

    With a bfloat16 kernel and float32 rows, this is the product of mixed precision: bfloat16
    operands, float32 sums.  Its derivative works the same way and rounds its results to the
    kernel's precision once.  JAX's own derivative would multiply float32 cotangents, without tensor
    cores.

    Args:
        rows: the left operand.
        kernel: the right operand, a matrix or, with more axes, a stack of matrices.
        dtype: the dtype of the sums and of the result; None means that of the rows.

    Examples:
        >>> import jax.numpy as jnp, jaxrnn
        >>> product = jaxrnn.matmul(jnp.ones((2, 3)), jnp.ones((3, 4), jnp.bfloat16))
        >>> product.shape, product.dtype.name
        ((2, 4), 'float32')
    """
    dtype = rows.dtype if dtype is None else jnp.dtype(dtype)
    if rows.dtype == kernel.dtype == dtype:
        return _matmul(jnp.asarray(rows), jnp.asarray(kernel))
    return _mixed_matmul(dtype, rows.astype(kernel.dtype), kernel)


def at_least_float32(dtype: DType) -> DType:
    """Return the dtype in which to sum numbers of a dtype: float32 for halves, otherwise the same.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jaxrnn.matmul import at_least_float32
        >>> jnp.ones(1023, jnp.bfloat16).sum(dtype=at_least_float32(jnp.bfloat16)).tolist()
        1023.0
    """
    is_half = jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits < 32
    return jnp.dtype(jnp.float32 if is_half else dtype)


def round_to(array: Float[Array, "*shape"], dtype: DType | None) -> Float[Array, "*shape"]:
    """Round the values of an array to a dtype, but keep the array's own dtype.

    A gather that replaces a product in `dtype` reads such values.  XLA may remove a conversion to
    `dtype` and back, but not its own operation for rounding, nor the derivative of that.  None for
    `dtype` leaves the array unchanged.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jaxrnn.matmul import round_to
        >>> rounded = round_to(jnp.full(1, 257.0), jnp.bfloat16)
        >>> int(rounded[0]), rounded.dtype.name
        (256, 'float32')
    """
    if dtype is None or dtype == array.dtype:
        return array
    info = jnp.finfo(dtype)
    return lax.reduce_precision(array, exponent_bits=info.nexp, mantissa_bits=info.nmant)


def gather_rows(
    table: Float[AnyArray, "V N"], ids: Integer[AnyArray, "*batch"]
) -> Float[Array, "*batch N"]:
    """Return `one_hot(ids) @ table` by a gather.

    Traced ids out of range give NaN, where JAX would clamp them.  Concrete ids are checked on entry
    to the library, and their rows get no NaN: even an unused one would trip `jax_debug_nans`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jaxrnn.matmul import gather_rows
        >>> gather_rows(jnp.ones((5, 3)), jnp.array([[0, 4]])).shape
        (1, 2, 3)
    """
    in_range = (ids >= 0) & (ids < len(table))
    rows = take_rows(jnp.asarray(table), jnp.where(in_range, ids, 0))
    return rows if is_concrete(ids) else jnp.where(in_range[..., None], rows, jnp.nan)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def gather_row_parts(
    table: Float[AnyArray, "V N"], ids: Integer[AnyArray, "*batch"], num_parts: int
) -> list[Float[Array, "*batch M"]]:
    """Gather rows split into equal parts, one array per part.

    Each part is gathered separately.  Code that reads all parts of a gathered row would read one
    array at several offsets that depend on the id, which XLA's CPU back end does not vectorise.
    The derivative gathers undivided rows, so that their gradients are summed in one table of V
    rows; a gather per part would need one table per part.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jaxrnn.matmul import gather_row_parts
        >>> [part.shape for part in gather_row_parts(jnp.ones((5, 6)), jnp.array([0, 4]), 2)]
        [(2, 3), (2, 3)]
    """
    vocab_size = len(table)
    parts = jnp.asarray(table).reshape(vocab_size * num_parts, -1)
    first = jnp.clip(ids, -1, vocab_size) * num_parts  # out-of-range ids stay out of range
    return [gather_rows(parts, first + part) for part in range(num_parts)]


@gather_row_parts.defjvp
def _gather_row_parts_jvp(num_parts: int, primals: Any, tangents: Any) -> Any:
    (table, ids), (d_table, _) = primals, tangents
    _, d_rows = jax.jvp(lambda table: gather_rows(table, ids), (table,), (d_table,))
    return gather_row_parts(table, ids, num_parts), jnp.split(d_rows, num_parts, axis=-1)


def _matmul(rows: Array, kernel: Array) -> Array:
    return rows_times_kernel(rows, kernel) if kernel.ndim == 2 else rows @ kernel


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _mixed_matmul(dtype: DType, rows: Array, kernel: Array) -> Array:
    return jnp.matmul(rows, kernel, preferred_element_type=dtype)


@_mixed_matmul.defjvp
def _mixed_matmul_jvp(
    dtype: DType, primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    (rows, kernel), (d_rows, d_kernel) = primals, tangents
    # Cast first: the kernel's gradient sums over all rows, and some back ends sum in bfloat16.
    from_kernel = _matmul(rows.astype(dtype), d_kernel.astype(dtype))
    d_product = (d_rows @ kernel).astype(dtype) + from_kernel
    return _mixed_matmul(dtype, rows, kernel), d_product
