"""A matrix product for rows of several axes, whose gradient depends on the number of devices.

The kernel's gradient is a sum over time and batch.  On one device the two axes are merged first,
because for a sum over two axes XLA would transpose the larger operand in memory.  On several
devices, each with a part of the batch, merged rows could not stay in place: XLA would gather all of
them on every device.

The number of devices is known when a program is lowered, but not when it is traced, possibly on
another machine.  Product and sum are therefore two primitives, whose lowering rules see that
number.  Both are bilinear and each is the other's transpose, which gives derivatives of any order.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxrnn.typing import Array, Float


def rows_times_kernel(
    rows: Float[Array, "*batch K"], kernel: Float[Array, "K N"]
) -> Float[Array, "*batch N"]:
    """Return `rows @ kernel` of two arrays of one dtype.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxrnn.primitives import rows_times_kernel
        >>> rows_times_kernel(jnp.ones((5, 2, 3)), jnp.ones((3, 4))).shape
        (5, 2, 4)
    """
    if rows.ndim <= 2:
        return rows @ kernel
    # Read now, because the setting may have changed when the program is lowered.
    precision = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    return _matmul.bind(*_match_varying_axes(rows, kernel), precision=precision)


def _product(rows: Any, kernel: Any, *, precision: Any) -> Any:
    dimensions = (((rows.ndim - 1,), (0,)), ((), ()))
    return lax.dot_general(rows, kernel, dimensions, precision)


def _sum_over_axes(rows: Any, others: Any, *, precision: Any) -> Any:
    """Sum the outer products of rows `[*batch, K]` and `[*batch, N]`; return `[K, N]`."""
    axes = tuple(range(rows.ndim - 1))
    return lax.dot_general(others, rows, ((axes, axes), ((), ())), precision).T


def _sum_over_merged_axis(rows: Any, others: Any, *, precision: Any) -> Any:
    merged = (array.reshape(-1, array.shape[-1]) for array in (rows, others))
    return _sum_over_axes(*merged, precision=precision)


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


def _primitive(name: str, function: Callable[..., Any]) -> Primitive:
    """Make a primitive with one result that computes `function`, and derive its rules."""
    primitive = Primitive(name)
    primitive.def_impl(function)

    def output(*avals: Any, **params: Any) -> Any:
        # Tracing also determines the sharding and the varying axes.
        return jax.make_jaxpr(functools.partial(function, **params))(*avals).out_avals[0]

    def batch(arrays: Any, axes: Any, **params: Any) -> Any:
        return jax.vmap(functools.partial(function, **params), in_axes=tuple(axes))(*arrays), 0

    primitive.def_abstract_eval(output)
    batching.primitive_batchers[primitive] = batch
    mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=False))
    return primitive


_matmul = _primitive("rows_times_kernel", _product)
_outer_sum = _primitive("sum_of_outer_products", _sum_over_axes)


def _lower_outer_sum(
    context: mlir.LoweringRuleContext, rows: Any, others: Any, **params: Any
) -> Any:
    function = _sum_over_merged_axis if is_on_one_device(context) else _sum_over_axes
    return mlir.lower_fun(function, multiple_results=False)(context, rows, others, **params)


mlir.register_lowering(_outer_sum, _lower_outer_sum)

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


def _match_varying_axes(*arrays: Any) -> list[Any]:
    """Let each array vary over the mesh axes of all of them, as JAX's own products do.

    Within shard_map a kernel is the same on all devices, but the rows differ.
    """
    varying = [jax.typeof(array).mat.varying for array in arrays]
    missing = [tuple(frozenset().union(*varying) - own) for own in varying]
    return [
        lax.pcast(array, axes, to="varying") if axes else array
        for array, axes in zip(arrays, missing, strict=True)
    ]
