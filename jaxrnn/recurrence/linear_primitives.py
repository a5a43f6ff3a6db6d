"""A run of a linear cell as primitives, so that native code can serve all of it.

The derivative of a run is a loop of tangents, which is linear and can therefore be transposed: the
primitive of cotangents is the backward pass.  Both hold programs of `linear.py`, in which the
recurrence is a primitive of its own.
"""

import dataclasses
import functools
from typing import Any

from jax.interpreters import ad, mlir

from jaxrnn.recurrence import linear
from jaxrnn.recurrence.calls import (
    bind,
    jvp_by,
    loop_jvp,
    lower,
    lower_for_cpu,
    make_primitive,
    portable,
    transpose_tangent,
)
from jaxrnn.recurrence.native import linear_kernel as native
from jaxrnn.recurrence.options import Options

_run = make_primitive("rnn_linear_run", portable)
_run_tangent = make_primitive("rnn_linear_run_tangent", portable)
_run_cotangent = make_primitive("rnn_linear_run_cotangent", portable)


def run(options: Options, params: Any, steps: Any, carry: Any, reset_carry: Any) -> tuple[Any, Any]:
    """Run a `LinearCell` like `linear.run`, by the fastest implementation there is."""
    arguments = (params, steps, carry, reset_carry)
    if options.implementation == "autodiff":
        return linear.run(options, *arguments)
    return bind(_run, linear.run, options, arguments)


def _jvp(options: Options, primals: Any, tangents: Any) -> tuple[Any, Any]:
    params, steps, *starts = primals
    d_params, d_steps, *d_starts = tangents
    stored = dataclasses.replace(options, return_carries=True)
    carries, last = bind(_run, linear.run, stored, primals)
    arguments = (params, steps, carries, *starts, d_params, d_steps.input_gates, *d_starts)
    d_results = bind(_run_tangent, linear.run_tangent, options, arguments)
    return (options.kept(carries), last), d_results


ad.primitive_jvps[_run] = functools.partial(jvp_by, _jvp)
ad.primitive_jvps[_run_tangent] = loop_jvp
ad.primitive_jvps[_run_cotangent] = loop_jvp
ad.primitive_transposes[_run_tangent] = functools.partial(transpose_tangent, _run_cotangent)

for _each in (_run, _run_tangent, _run_cotangent):
    mlir.register_lowering(_each, lower)
for _each, _find in ((_run, native.forward), (_run_cotangent, native.backward)):
    mlir.register_lowering(_each, functools.partial(lower_for_cpu, _find), platform="cpu")
