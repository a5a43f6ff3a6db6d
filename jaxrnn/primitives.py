"""Matrix products and gathers, whose gradients are computed as suits the number of devices.

The gradient of a product's kernel is a sum over time and batch.  On one device the two axes are
merged first, because for a sum over two axes XLA would transpose the larger operand in memory.  On
several devices, each with a part of the batch, merged rows could not stay in place: XLA would
gather all of them on every device.  On a CPU one operand is transposed first, too.

The number of devices is known when a program is lowered, but not when it is traced, possibly on
another machine.  Product and sum are therefore two primitives, whose lowering rules see that
number.  Both are bilinear and each is the other's transpose, which gives derivatives of any order.
The same holds for a gather of rows and the sum of rows into a table.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxrnn.typing import AnyArray, Array, Float, Integer


def rows_times_kernel(
    rows: Float[Array, "*batch K"], kernel: Float[Array, "K N"]
) -> Float[Array, "*batch N"]:
    """Return `rows @ kernel` of two arrays of one dtype.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jaxrnn.primitives import rows_times_kernel
        >>> rows_times_kernel(jnp.ones((5, 2, 3)), jnp.ones((3, 4))).shape
        (5, 2, 4)
    """
    if rows.ndim <= 2:
        return rows @ kernel
    # Read now, because the setting may have changed when the program is lowered.
    precision = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    return _matmul.bind(*match_varying_axes((rows, kernel)), precision=precision)


def _product(rows: Any, kernel: Any, *, precision: Any) -> Any:
    dimensions = (((rows.ndim - 1,), (0,)), ((), ()))
    return lax.dot_general(rows, kernel, dimensions, precision)


def _sum_over_axes(rows: Any, others: Any, *, precision: Any) -> Any:
    """Sum the outer products of rows `[*batch, K]` and `[*batch, N]`; return `[K, N]`."""
    axes = tuple(range(rows.ndim - 1))
    return lax.dot_general(others, rows, ((axes, axes), ((), ())), precision).T


def _sum_over_merged_axis(rows: Any, others: Any, *, precision: Any) -> Any:
    return _sum_over_axes(_merge_axes(rows), _merge_axes(others), precision=precision)


def _merge_axes(rows: Any) -> Any:
    return rows.reshape(math.prod(rows.shape[:-1]), rows.shape[-1])


def _sum_by_transposed_rows(rows: Any, others: Any, *, precision: Any) -> Any:
    """Sum the outer products of merged rows, of which the shorter ones are transposed first.

    XLA's fastest products on CPUs sum over the last axis of their first operand; without barriers
    it would undo the transposition.  Gradients of kernels take 0.3 to 0.9 times as long.
    """
    rows, others = _merge_axes(rows), _merge_axes(others)
    narrow, wide = sorted((rows, others), key=lambda array: array.shape[-1])
    product = _product(lax.optimization_barrier(narrow.T), wide, precision=precision)
    return product if narrow is rows else lax.optimization_barrier(product).T


def is_on_one_device(context: mlir.LoweringRuleContext) -> bool:
    """Return whether all rows that the program sees are on one device.

    In shard_map and pmap a program sees the part of its own device.
    """
    axes = context.module_context.axis_context
    if isinstance(axes, mlir.ShardingContext):
        return axes.num_devices == 1
    if isinstance(axes, mlir.SPMDAxisContext):
        return axes.manual_axes == frozenset(axes.mesh.axis_names)
    return True


def is_for_export(context: mlir.LoweringRuleContext) -> bool:
    """Return whether the program will run elsewhere, perhaps without this package."""
    return context.module_context.lowering_parameters.for_export


def _primitive(
    name: str,
    function: Callable[..., Any],
    on_one_device: Callable[..., Any] | None = None,
    on_one_cpu: Callable[..., Any] | None = None,
) -> Primitive:
    """Make a primitive with one result that computes `function`, and derive its rules.

    A program for one device computes `on_one_device` instead, if there is one, and a program for
    one CPU `on_one_cpu`, unless it is exported, where sizes may be symbols.
    """
    primitive = Primitive(name)
    primitive.def_impl(function)

    def output(*avals: Any, **params: Any) -> Any:
        # Tracing also determines the sharding and the varying axes.
        return jax.make_jaxpr(functools.partial(function, **params))(*avals).out_avals[0]

    def batch(arrays: Any, axes: Any, **params: Any) -> Any:
        return jax.vmap(functools.partial(function, **params), in_axes=tuple(axes))(*arrays), 0

    def lower(context: mlir.LoweringRuleContext, *operands: Any, **params: Any) -> Any:
        chosen = on_one_device if on_one_device and is_on_one_device(context) else function
        return mlir.lower_fun(chosen, multiple_results=False)(context, *operands, **params)

    def lower_for_cpu(context: mlir.LoweringRuleContext, *operands: Any, **params: Any) -> Any:
        if on_one_cpu is None or is_for_export(context) or not is_on_one_device(context):
            return lower(context, *operands, **params)
        return mlir.lower_fun(on_one_cpu, multiple_results=False)(context, *operands, **params)

    primitive.def_abstract_eval(output)
    batching.primitive_batchers[primitive] = batch
    mlir.register_lowering(primitive, lower)
    mlir.register_lowering(primitive, lower_for_cpu, platform="cpu")
    return primitive


_matmul = _primitive("rows_times_kernel", _product)
_outer_sum = _primitive(
    "sum_of_outer_products", _sum_over_axes, _sum_over_merged_axis, _sum_by_transposed_rows
)

# The cotangents of the first and of the second operand.
ad.defbilinear(
    _matmul,
    lambda cotangent, rows, kernel, **params: _matmul.bind(cotangent, kernel.T, **params),
    lambda cotangent, rows, kernel, **params: _outer_sum.bind(rows, cotangent, **params),
)
ad.defbilinear(
    _outer_sum,
    lambda cotangent, rows, others, **params: _matmul.bind(others, cotangent.T, **params),
    lambda cotangent, rows, others, **params: _matmul.bind(rows, cotangent, **params),
)


def take_rows(
    table: Float[Array, "V N"], ids: Integer[AnyArray, "*batch"]
) -> Float[Array, "*batch N"]:
    """Return `table[ids]` for ids in `0..V - 1`.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jaxrnn.primitives import take_rows
        >>> take_rows(jnp.arange(6.0).reshape(3, 2), jnp.array([2, 0])).tolist()
        [[4.0, 5.0], [0.0, 1.0]]
    """
    return _take.bind(*match_varying_axes((table, jnp.asarray(ids))))


def _rows_of(table: Any, ids: Any) -> Any:
    # XLA lowers the gather's bounds check to a separate loop, slower than reading the row.
    return jnp.asarray(table).at[ids].get(mode="promise_in_bounds", wrap_negative_indices=False)


def _sum_into_rows(rows: Any, ids: Any, *, num_rows: int, zero: Any = 0.0) -> Any:
    """Return the table whose row i is the sum of the rows with that id."""
    zeros = jnp.full((num_rows, rows.shape[-1]), zero, rows.dtype)
    return zeros.at[ids].add(rows, mode="promise_in_bounds", wrap_negative_indices=False)


def _sum_into_late_rows(rows: Any, ids: Any, *, num_rows: int) -> Any:
    """Do the same with zeros that wait for the rows, as no number is less than -inf.

    XLA would make constant zeros at the beginning of a program and keep them until their use.
    """
    zero = (rows.ravel()[:1] < -jnp.inf).any().astype(rows.dtype)
    return _sum_into_rows(rows, ids, num_rows=num_rows, zero=zero)


_take = _primitive("take_rows", _rows_of)
_sum_into = _primitive("sum_into_rows", _sum_into_rows, _sum_into_late_rows)

# Both are linear in the first operand, and each is the other's transpose.
ad.deflinear2(
    _take, lambda ct, table, ids: (_sum_into.bind(ct, ids, num_rows=table.aval.shape[0]), None)
)
ad.deflinear2(_sum_into, lambda ct, rows, ids, num_rows: (_take.bind(ct, ids), None))
ad.defjvp(_take, lambda tangent, table, ids: _take.bind(tangent, ids), None)
ad.defjvp(
    _sum_into, lambda tangent, rows, ids, **params: _sum_into.bind(tangent, ids, **params), None
)


def match_varying_axes(tree: Any) -> Any:
    """Let each array of a tree vary over the mesh axes of all of them, as JAX's own products do.

    Within shard_map a kernel is the same on all devices, but the rows differ.  The gradient of what
    is the same is a sum over the devices, which JAX adds where it is made to vary.

    Examples:
        >>> import jax.numpy as jnp
        >>> from jaxrnn.primitives import match_varying_axes
        >>> _ = match_varying_axes({"kernel": jnp.ones((3, 2)), "rows": jnp.ones((5, 3))})
    """
    structure: Any
    arrays, structure = jax.tree.flatten(tree)
    varying = [jax.typeof(array).mat.varying for array in arrays]
    missing = [tuple(frozenset().union(*varying) - own) for own in varying]
    return structure.unflatten(
        lax.pcast(array, axes, to="varying") if axes else array
        for array, axes in zip(arrays, missing, strict=True)
    )
