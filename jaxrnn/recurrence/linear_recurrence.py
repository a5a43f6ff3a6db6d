"""The elementwise linear recurrence as a primitive with an adjoint of its own.

    forward    h[t] = a[t] * h[t-1] + b[t]          from h[-1] = start, upwards
    adjoint    u[t] = b[t] + m[t+1]                 from m[T] = start, downwards
               m[t] = a[t] * u[t]

Each is the transpose of the other in (b, start), and the derivative of either is one more of them,
to any order.  Of a run nothing but its result is stored.  At a reset, h[t-1] counts as zero.

On a CPU it is one loop, by default in compiled C++.  A program for a GPU or TPU evaluates the
recurrence as a tree (`lax.associative_scan`) of logarithmic depth; that has not been measured
there.  On a CPU the tree takes several times as long as the loop, and more memory.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxrnn.primitives import is_for_export, is_on_one_device
from jaxrnn.recurrence.native import linear as native


def linear_recurrence(
    a: Any, b: Any, start: Any, resets: Any = None, *, implementation: str | None = None
) -> tuple[Any, Any]:
    """Return all h of the forward recurrence, and the last.

    Args:
        a: the factors, with the axes of b; those along which they do not vary may have size 1.
        b: the terms `[T, ...]`.
        start: h before the first step, `[...]`.
        resets: bool, with the rank of b: where h before the step counts as zero; None for nowhere.
        implementation: as for `jaxrnn.unroll`.
    """
    if implementation == "autodiff":
        return _loop(False, a, b, start, resets)
    return _bind(False, implementation, a, b, start, resets)


def recurrence_tangent(
    a: Any,
    all_h: Any,
    start: Any,
    resets: Any,
    d_a: Any,
    d_b: Any,
    d_start: Any,
    implementation: str | None,
) -> tuple[Any, Any]:
    """Return the tangent of the forward recurrence, given its result `all_h`."""
    before = jnp.concatenate([start[None], all_h[:-1]])
    return _bind(False, implementation, a, d_b + _times(d_a, before, resets), d_start, resets)


def _bind(
    adjoint: bool, implementation: str | None, a: Any, b: Any, start: Any, resets: Any
) -> Any:
    masks = () if resets is None else (resets,)
    options = {"adjoint": adjoint, "implementation": implementation}
    all_h, last = _recurrence.bind(a, b, start, *masks, **options)
    return all_h, last


def _loop(adjoint: bool, a: Any, b: Any, start: Any, resets: Any = None) -> tuple[Any, Any]:
    """Evaluate the recurrence step by step."""
    factors, varying = (a[0], None) if len(a) == 1 else (None, a)

    def step(h: Any, now: Any) -> tuple[Any, Any]:
        factor, term, reset = now
        factor = factors if factor is None else factor
        if adjoint:
            u = term + h
            return _times(factor, u, reset), u
        h = _times(factor, h, reset) + term
        return h, h

    last, all_h = lax.scan(step, start, (varying, b, resets), reverse=adjoint, length=len(b))
    return all_h, last


def _tree(adjoint: bool, a: Any, b: Any, start: Any, resets: Any = None) -> tuple[Any, Any]:
    """Evaluate the recurrence in logarithmically many steps."""
    a = jnp.broadcast_to(a, b.shape)
    first_reset = None if resets is None else resets[0]
    if adjoint:  # u[t] = b[t] + a[t+1] * u[t+1]: the forward recurrence, backwards
        moved = jnp.concatenate([a[1:], jnp.ones_like(a[:1])])
        if resets is not None:
            resets = jnp.concatenate([resets[1:], jnp.zeros_like(resets[:1])])[::-1]
        all_u = _tree(False, moved[::-1], b[::-1], start, resets)[0][::-1]
        return all_u, _times(a[0], all_u[0], first_reset)
    terms = b.at[0].add(_times(a[0], start, first_reset))
    if resets is None:
        _, all_h = lax.associative_scan(_combine, (a, terms))
    else:
        _, all_h, _ = lax.associative_scan(_combine, (a, terms, jnp.broadcast_to(resets, b.shape)))
    return all_h, all_h[-1]


def _combine(before: Any, after: Any) -> Any:
    (a_before, b_before, *resets_before), (a_after, b_after, *resets_after) = before, after
    (reset,) = resets_after or [None]
    both = (a_before * a_after, _times(a_after, b_before, reset) + b_after)
    return (*both, *(one | other for one, other in zip(resets_before, resets_after, strict=True)))


def _times(factor: Any, h: Any, reset: Any) -> Any:
    """Return the product, where h before a reset counts as zero, even if it is not finite.

    To zero the product instead would let an h of NaN reach the gradient of the factor.
    """
    return factor * h if reset is None else factor * jnp.where(reset, 0, h)


_recurrence = Primitive("rnn_linear_recurrence")
_recurrence.multiple_results = True


def _portable(adjoint: bool, implementation: str | None) -> Callable[..., Any]:
    evaluate = _tree if implementation == "associative_scan" else _loop
    return functools.partial(evaluate, adjoint)


@functools.partial(jax.jit, static_argnames=("adjoint", "implementation"))
def _compiled(*operands: Any, adjoint: bool, implementation: str | None) -> Any:
    return _recurrence.bind(*operands, adjoint=adjoint, implementation=implementation)


_recurrence.def_impl(_compiled)


_recurrence.def_abstract_eval(lambda a, b, start, *resets, **options: (b, start))


def _jvp(primals: Any, tangents: Any, *, adjoint: bool, implementation: str | None) -> Any:
    a, b, start, *masks = primals
    (resets,) = masks or [None]
    d_a, d_b, d_start, *_ = tangents
    run = functools.partial(_bind, adjoint, implementation)
    results = all_h, _ = run(a, b, start, resets)
    d_b, d_start = ad.instantiate_zeros(d_b), ad.instantiate_zeros(d_start)
    if isinstance(d_a, ad.Zero):
        return results, run(a, d_b, d_start, resets)
    if not adjoint:
        return results, recurrence_tangent(
            a, all_h, start, resets, d_a, d_b, d_start, implementation
        )
    d_m = jnp.broadcast_to(_times(d_a, all_h, resets), all_h.shape)
    d_b += jnp.concatenate([d_m[1:], jnp.zeros_like(d_m[:1])])
    d_all, d_last = run(a, d_b, d_start, resets)
    return results, (d_all, d_last + d_m[0])


def _transpose(
    cotangents: Any, a: Any, b: Any, start: Any, *resets: Any, adjoint: bool, **options: Any
) -> Any:
    # Linear in b and start; if only one of them is, the other is a zero that JAX made.
    d_all, d_last = map(ad.instantiate_zeros, cotangents)
    d_b, d_start = _recurrence.bind(a, d_all, d_last, *resets, adjoint=not adjoint, **options)
    linear = (ad.is_undefined_primal(operand) for operand in (b, start))
    found = (d if each else None for d, each in zip((d_b, d_start), linear, strict=True))
    return None, *found, *(None for _ in resets)


def _batch(operands: Any, axes: Any, **options: Any) -> Any:
    (size,) = {x.shape[axis] for x, axis in zip(operands, axes, strict=True) if axis is not None}

    def moved(x: Any, axis: Any, to: int) -> Any:
        return jnp.expand_dims(x, to) if axis is None else jnp.moveaxis(x, axis, to)

    a, b, start, *resets = (
        moved(x, axis, 0 if position == 2 else 1)
        for position, (x, axis) in enumerate(zip(operands, axes, strict=True))
    )
    b = jnp.broadcast_to(b, (b.shape[0], size, *b.shape[2:]))
    start = jnp.broadcast_to(start, (size, *start.shape[1:]))
    return _recurrence.bind(a, b, start, *resets, **options), (1, 0)


ad.primitive_jvps[_recurrence] = _jvp
ad.primitive_transposes[_recurrence] = _transpose
batching.primitive_batchers[_recurrence] = _batch


def _lower(context: mlir.LoweringRuleContext, *operands: Any, **options: Any) -> Any:
    return mlir.lower_fun(_portable(**options), multiple_results=True)(context, *operands)


def _lower_to_tree(
    context: mlir.LoweringRuleContext, *operands: Any, adjoint: bool, implementation: str | None
) -> Any:
    chosen = implementation or "associative_scan"
    return _lower(context, *operands, adjoint=adjoint, implementation=chosen)


def _lower_for_cpu(
    context: mlir.LoweringRuleContext, *operands: Any, adjoint: bool, implementation: str | None
) -> Any:
    if is_on_one_device(context) and not is_for_export(context):
        function = native.find(adjoint, implementation, context.avals_in)
        if function is not None:
            return mlir.lower_fun(function, multiple_results=True)(context, *operands)
    return _lower(context, *operands, adjoint=adjoint, implementation=implementation)


mlir.register_lowering(_recurrence, _lower)
mlir.register_lowering(_recurrence, _lower_for_cpu, platform="cpu")
for _platform in ("cuda", "rocm", "tpu"):
    mlir.register_lowering(_recurrence, _lower_to_tree, platform=_platform)
