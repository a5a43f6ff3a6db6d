"""Products with a matrix: in a precision of its own, and of one-hot rows that are never built."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxrnn.checks import is_concrete
from jaxrnn.primitives import rows_times_kernel
from jaxrnn.typing import AnyArray, Array, DType, Float, Integer


def matmul(
    rows: Float[Array, "*batch K"], kernel: Float[Array, "*stack K N"], dtype: DType | None = None
) -> Float[Array, "*batch N"]:
    """`rows @ kernel`, multiplied in the kernel's precision; the sums are in that of the rows.

    With a bfloat16 kernel and float32 rows it is the product that mixed precision means: bfloat16
    operands, float32 sums.  So is its derivative, whose results are rounded to the kernel's
    precision once; JAX's own would multiply float32 cotangents, out of reach of tensor cores.

    Args:
        rows: what is multiplied.
        kernel: by this, or, with more axes, by a stack of matrices.
        dtype: of the sums; None means that of the rows.
    """
    dtype = rows.dtype if dtype is None else jnp.dtype(dtype)
    if rows.dtype == kernel.dtype == dtype:
        return _matmul(rows, kernel)
    return _mixed(dtype, rows.astype(kernel.dtype), kernel)


def round_to(array: Float[Array, "*shape"], dtype: DType | None) -> Float[Array, "*shape"]:
    """The array in its own dtype, each value rounded to another one; None leaves it as it is.

    What a product in `dtype` reads, for a gather that takes the place of one.  XLA may drop a pair
    of conversions there and back; its own operation for this stays, and so does its derivative.
    """
    if dtype is None or dtype == array.dtype:
        return array
    form = jnp.finfo(dtype)
    return lax.reduce_precision(array, exponent_bits=form.nexp, mantissa_bits=form.nmant)


def gather_rows(
    table: Float[AnyArray, "V N"], ids: Integer[AnyArray, "*batch"]
) -> Float[Array, "*batch N"]:
    """`one_hot(ids) @ table`, as a gather: NaN for an id out of range, where JAX would clamp it.

    Concrete ids were checked where they came in; a NaN that nobody reads would stop whoever looks
    for one with jax_debug_nans.
    """
    there = (ids >= 0) & (ids < len(table))
    rows: Any = jnp.asarray(table).at[jnp.where(there, ids, 0)]
    # The gather's own check is a loop of its own, which takes longer than to read one row.
    rows = rows.get(mode="promise_in_bounds", wrap_negative_indices=False)
    return rows if is_concrete(ids) else jnp.where(there[..., None], rows, jnp.nan)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def gather_row_parts(
    table: Float[AnyArray, "V N"], ids: Integer[AnyArray, "*batch"], num_parts: int
) -> list[Float[Array, "*batch M"]]:
    """`gather_rows`, each row cut into equal parts, an array per part.

    Each part is gathered by itself: what reads all parts of a row at once would read it at several
    offsets that depend on the id, and XLA's CPU back end does not vectorise that.  The derivative
    gathers whole rows, so that their gradients are added up once, in one table of V rows; a gather
    per part would take a table for each.
    """
    vocab_size = len(table)
    parts = jnp.asarray(table).reshape(vocab_size * num_parts, -1)
    first = jnp.clip(ids, -1, vocab_size) * num_parts  # what is out of range stays so
    return [gather_rows(parts, first + part) for part in range(num_parts)]


@gather_row_parts.defjvp
def _gather_row_parts_jvp(num_parts: int, primals: Any, tangents: Any) -> Any:
    (table, ids), (d_table, _) = primals, tangents
    _, d_rows = jax.jvp(lambda table: gather_rows(table, ids), (table,), (d_table,))
    return gather_row_parts(table, ids, num_parts), jnp.split(d_rows, num_parts, axis=-1)


def _matmul(rows: Array, kernel: Array) -> Array:
    return rows_times_kernel(rows, kernel) if kernel.ndim == 2 else rows @ kernel


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _mixed(dtype: DType, rows: Array, kernel: Array) -> Array:
    return jnp.matmul(rows, kernel, preferred_element_type=dtype)


@_mixed.defjvp
def _mixed_jvp(
    dtype: DType, primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    (rows, kernel), (d_rows, d_kernel) = primals, tangents
    # The kernel's gradient sums over all rows, which some back ends would do in bfloat16.
    by_kernel = _matmul(rows.astype(dtype), d_kernel.astype(dtype))
    d_product = (d_rows @ kernel).astype(dtype) + by_kernel
    return _mixed(dtype, rows, kernel), d_product
