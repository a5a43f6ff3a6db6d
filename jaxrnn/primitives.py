"""`rows @ kernel` for rows of several axes, with the gradient that suits a program's devices.

The kernel's gradient is a sum over time and batch.  On one device these are merged into one axis
first: for a sum over two, XLA would transpose the larger operand in memory.  On several devices,
each of which holds a part of the batch, merged rows could not stay where they are, and XLA would
gather all of them on every device.

The number of devices is known where a program is lowered, and not where it is traced, which may be
another machine.  So the product and the sum are two primitives, whose lowering rules see it.  Both
are bilinear and each is the other's transpose, which gives all derivatives, of any order.
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
    """`rows @ kernel`, both of one dtype."""
    if rows.ndim <= 2:
        return rows @ kernel
    # Of now: it may be another one when the program is lowered.
    precision = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    return _matmul.bind(*_vary_over_the_same_axes(rows, kernel), precision=precision)


def _product(rows: Any, kernel: Any, *, precision: Any) -> Any:
    dimensions = (((rows.ndim - 1,), (0,)), ((), ()))
    return lax.dot_general(rows, kernel, dimensions, precision)


def _sum_over_axes(rows: Any, others: Any, *, precision: Any) -> Any:
    """`[*batch, K]` and `[*batch, N]` to `[K, N]`: the sum of the outer products of their rows."""
    axes = tuple(range(rows.ndim - 1))
    return lax.dot_general(others, rows, ((axes, axes), ((), ())), precision).T


def _sum_over_merged_axis(rows: Any, others: Any, *, precision: Any) -> Any:
    merged = (array.reshape(-1, array.shape[-1]) for array in (rows, others))
    return _sum_over_axes(*merged, precision=precision)


def _on_one_device(context: mlir.LoweringRuleContext) -> bool:
    """Whether all rows are on one device: whole, or as the part that shard_map or pmap gives it."""
    axes = context.module_context.axis_context
    if isinstance(axes, mlir.ShardingContext):
        return axes.num_devices == 1
    if isinstance(axes, mlir.SPMDAxisContext):
        return axes.manual_axes == frozenset(axes.mesh.axis_names)
    return True


def _primitive(name: str, function: Callable[..., Any]) -> Primitive:
    """Make a primitive of one result whose meaning is `function`, from which its rules are made."""
    primitive = Primitive(name)
    primitive.def_impl(function)

    def output(*avals: Any, **params: Any) -> Any:
        # Traced, because that gives its sharding and varying axes, too.
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
    form = _sum_over_merged_axis if _on_one_device(context) else _sum_over_axes
    return mlir.lower_fun(form, multiple_results=False)(context, rows, others, **params)


mlir.register_lowering(_outer_sum, _lower_outer_sum)

# The cotangent of the first operand, and that of the second.
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


def _vary_over_the_same_axes(*arrays: Any) -> list[Any]:
    """Let each array vary over the mesh axes of any of them, as JAX's own products do.

    Within shard_map a kernel is the same on all devices and the rows are not.
    """
    varying = [jax.typeof(array).mat.varying for array in arrays]
    missing = [tuple(frozenset().union(*varying) - own) for own in varying]
    return [
        lax.pcast(array, axes, to="varying") if axes else array
        for array, axes in zip(arrays, missing, strict=True)
    ]
