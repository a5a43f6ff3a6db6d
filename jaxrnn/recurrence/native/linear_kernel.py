"""Native code of linear cells: the choice, and calls in place of the primitives of a run.

Operands and results go by position (`linear_entries.h`); an array without elements stands for one
that is absent.
"""

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.cells import LinearCell
from jaxrnn.recurrence.calls import pack_cotangents, unpack_cotangents
from jaxrnn.recurrence.linear_equations import LinearEquations, trace
from jaxrnn.recurrence.native.build import SWITCH, BuildError, build, register
from jaxrnn.recurrence.native.kernel import all_of_dtype, same_shapes, sum_rows
from jaxrnn.recurrence.native.linear_source import HEADERS, linear_cell_source
from jaxrnn.recurrence.native.source import HANDLERS, file_text
from jaxrnn.recurrence.scan import split
from jaxrnn.recurrence.unit_programs import NotPerUnitError


class LinearKernel(NamedTuple):
    """A linear cell's compiled code."""

    equations: LinearEquations
    target: str
    """The prefix of the names that XLA knows its functions by."""


def kernel_of(cell: LinearCell, dtype: Any) -> LinearKernel | str:
    """Return the code of a linear cell, or why there is none."""
    if os.environ.get(SWITCH) == "0":
        return f"it is switched off by {SWITCH}=0"
    return _kernel_of(cell, np.dtype(dtype))


@functools.lru_cache(maxsize=256)
def _kernel_of(cell: LinearCell, dtype: Any) -> LinearKernel | str:
    try:
        equations = trace(cell, dtype)
        headers = {name: file_text(name) for name in HEADERS}
        flags = ("-DJAXRNN_FLOAT64",) if dtype == np.float64 else ()
        library = build(linear_cell_source(equations), file_text(HANDLERS), headers, flags)
    except NotPerUnitError as error:
        return f"the cell {cell.name} is not eligible: {error}"
    except BuildError as error:
        return str(error)
    return LinearKernel(equations, register(*library))


def forward(call: Any, avals: Sequence[Any], results: Sequence[Any]) -> Callable[..., Any] | None:
    """Serve a run; see `lowering.forward`."""
    del results
    params, steps, *_ = call.structure.unflatten(avals)
    kernel = _kernel_for(call.options, params, steps, avals)
    if kernel is None:
        return None
    with_states = call.options.return_carries or not kernel.equations.reads_out

    def function(*operands: Any) -> Any:
        params, steps, carry, reset_carry = call.structure.unflatten(operands)
        sizes, dtype = steps.input_gates[0].shape, steps.input_gates[0].dtype
        over_time, state = (jax.ShapeDtypeStruct(s, dtype) for s in (sizes, sizes[1:]))
        absent = jax.ShapeDtypeStruct((0,), dtype)
        reads_out = kernel.equations.reads_out
        shapes = (
            over_time if reads_out else absent,
            over_time if with_states else absent,
            state if reads_out else absent,
            state,
        )
        starts = (carry.hidden if reads_out else None, carry[-1])
        resets = None if reset_carry is None else reset_carry[-1]
        operands = (*_sequence(params, steps), *starts, resets)
        hidden, states, last_hidden, last = _call(kernel, "forward", sizes, operands, shapes)
        if reads_out:
            kept = (hidden, states) if with_states else (hidden,)
            return [*kept, last_hidden, last]
        return [states, last]

    return function


def backward(call: Any, avals: Sequence[Any], results: Sequence[Any]) -> Callable[..., Any] | None:
    """Serve the loop of cotangents; see `lowering.backward`."""
    del results
    (params, steps, *_), *_ = unpack_cotangents(call, avals)
    kernel = _kernel_for(call.options, params, steps, avals)
    if kernel is None:
        return None

    def function(*operands: Any) -> Any:
        found = _run_backward(kernel, call.options, *unpack_cotangents(call, operands))
        return pack_cotangents(call, found)

    return function


def _run_backward(
    kernel: LinearKernel, options: Any, tangent_arguments: Any, d_kept: Any, d_last: Any
) -> tuple[Any, Any, Any, Any]:
    """Return the cotangents of the last four arguments of `linear.run_tangent`."""
    params, steps, carries, carry, reset_carry, *_ = tangent_arguments
    sizes, dtype = steps.input_gates[0].shape, steps.input_gates[0].dtype
    reads_out = kernel.equations.reads_out
    if options.return_carries:
        d_hidden, d_states = (d_kept.hidden, d_kept[-1]) if reads_out else (None, d_kept.hidden)
    else:
        d_hidden, d_states = (d_kept, None) if reads_out else (None, d_kept)
    own = jax.tree.leaves(params.cell)
    state = jax.ShapeDtypeStruct(sizes[1:], dtype)
    absent = jax.ShapeDtypeStruct((0,), dtype)
    shapes = (
        jax.ShapeDtypeStruct((*sizes[:2], len(steps.input_gates) * sizes[2]), dtype),
        *(state for _ in own),
        state if reads_out else absent,
        state,
        absent if reset_carry is None else state,
    )
    operands = (
        *(*_sequence(params, steps), carry[-1], carries[-1]),
        None if reset_carry is None else reset_carry[-1],
        *(d_hidden, d_states, d_last.hidden if reads_out else None, d_last[-1]),
    )
    d_gates, *d_own, d_hidden, d_start, d_reset = _call(kernel, "backward", sizes, operands, shapes)
    summed = map(sum_rows, d_own, own)
    carry_type = type(carry)
    d_carry = carry_type(*([d_hidden] if reads_out else []), d_start)
    if reset_carry is not None:
        d_reset = carry_type(*([jnp.zeros_like(d_start)] if reads_out else []), d_reset)
    structure: Any = jax.tree.structure(params.cell)
    return (
        params._replace(cell=structure.unflatten(summed)),
        split(options.cell, d_gates),
        d_carry,
        None if reset_carry is None else d_reset,
    )


def _kernel_for(options: Any, params: Any, steps: Any, avals: Sequence[Any]) -> LinearKernel | None:
    """Return the code that a program should use for a run, or None for the portable loops."""
    gate = steps.input_gates[0]
    dtype, sizes = gate.dtype, gate.shape
    asked = options.implementation == "native" or os.environ.get(SWITCH) == "1"
    if options.implementation not in (None, "native") or steps.zoneout is not None:
        return None
    if dtype != np.float32 and not (asked and dtype == np.float64):
        return None
    if not all(isinstance(size, int) for size in sizes) or 0 in sizes:
        return None
    if sizes[0] == 1 and not asked:  # a step of a stream is as fast without
        return None
    kernel = kernel_of(options.cell, dtype)
    if isinstance(kernel, str) or not all_of_dtype(avals, dtype, steps.valid, steps.resets):
        return None
    return kernel if same_shapes(params.cell, kernel.equations.params) else None


def _sequence(params: Any, steps: Any) -> tuple[Any, ...]:
    size = steps.input_gates[0].shape[-1]
    own = [jnp.broadcast_to(p.reshape(-1), (size,)) for p in jax.tree.leaves(params.cell)]
    gates = jnp.concatenate(steps.input_gates, axis=-1)
    return *own, gates, steps.valid, steps.resets


def _call(kernel: LinearKernel, name: str, sizes: Any, operands: Any, shapes: Any) -> Any:
    num_steps, batch_size, size = (np.int64(each) for each in sizes)
    absent = jnp.zeros(0, shapes[0].dtype)
    arrays = [absent if operand is None else operand for operand in operands]
    call = jax.ffi.ffi_call(f"{kernel.target}_{name}", list(shapes))
    return call(*arrays, T=num_steps, B=batch_size, H=size)
