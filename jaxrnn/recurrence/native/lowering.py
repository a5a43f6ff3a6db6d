"""Replace the primitives of a run by native code where it serves them.

Each function returns a function of a primitive's operands, or None for the portable loop.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxrnn.recurrence.calls import pack_cotangents, unpack_cotangents
from jaxrnn.recurrence.native.choice import kernel_for
from jaxrnn.recurrence.native.kernel import (
    all_of_dtype,
    run_backward,
    run_forward,
    same_shapes,
)
from jaxrnn.recurrence.scan import Linearized


def forward(call: Any, avals: Sequence[Any], results: Sequence[Any]) -> Callable[..., Any] | None:
    """Serve `run` and `run_and_linearize`.

    Args:
        call: the static parameters of the primitive.
        avals: the shapes and dtypes of its operands.
        results: those of its results.
    """
    params, steps, *_ = call.structure.unflatten(avals)
    done = call.results.unflatten(results)
    linearize = isinstance(done, Linearized)
    if steps.zoneout is not None:
        return None
    kernel = kernel_for(call.options, params.w_hh, steps.input_gates[0].shape, linearize)
    if kernel is None or not same_shapes(params.cell, kernel.equations.params):
        return None
    if not all_of_dtype(avals, params.w_hh.dtype, steps.valid, steps.resets):
        return None
    if linearize and not kernel.fits(done.push):
        return None

    def function(*operands: Any) -> Any:
        arguments = call.structure.unflatten(operands)
        return jax.tree.leaves(run_forward(kernel, call.options, linearize, *arguments))

    return function


def backward(call: Any, avals: Sequence[Any], results: Sequence[Any]) -> Callable[..., Any] | None:
    """Serve the loop of cotangents; the arguments are those of `forward`."""
    del results
    tangent_arguments, d_kept, _ = unpack_cotangents(call, avals)
    w_hh, push, *masks, zoneout, _, _, _ = tangent_arguments
    if zoneout is not None:
        return None
    kernel = kernel_for(call.options, w_hh, jax.tree.leaves(d_kept)[0].shape, True)
    if kernel is None or not kernel.fits(push) or not all_of_dtype(avals, w_hh.dtype, *masks):
        return None

    def function(*operands: Any) -> Any:
        found = run_backward(kernel, call.options, *unpack_cotangents(call, operands))
        return pack_cotangents(call, found)

    return function
