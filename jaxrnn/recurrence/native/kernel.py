"""Calls of a cell's native code, with the arguments and results of the portable loops.

Operands and results go by position (`entries.h`); an array without elements stands for one that
is absent.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.recurrence.equations import Equations
from jaxrnn.recurrence.linearization import Elementwise
from jaxrnn.recurrence.native.source import hidden_position
from jaxrnn.recurrence.options import Options
from jaxrnn.recurrence.scan import FromOutside, split


def same_shapes(tree: Any, other: Any) -> bool:
    """Return whether two trees have one structure and arrays of the same shapes."""
    shapes, others = (jax.tree.map(lambda array: array.shape, each) for each in (tree, other))
    return jax.tree.flatten(shapes) == jax.tree.flatten(others)


def all_of_dtype(avals: Sequence[Any], dtype: Any, *masks: Any) -> bool:
    """Return whether all arrays but the masks have the dtype that the code was compiled for."""
    others = sum(aval.dtype != dtype for aval in avals)
    return others == sum(mask is not None for mask in masks)


class Kernel(NamedTuple):
    """A cell's compiled code."""

    equations: Equations
    target: str
    """The prefix of the names that XLA knows its functions by."""
    library: Any
    """The loaded code."""

    def fits(self, push: Any) -> bool:
        """Return whether its coefficients are those of a derivative from `linearize`."""
        if not isinstance(push, Elementwise):
            return False
        others = tuple(tuple(sorted(terms)) for terms in push.other_terms)
        equations = self.equations
        return (push.reads, others, push.order) == (
            equations.reads,
            equations.others,
            equations.order,
        )


def run_forward(
    kernel: Kernel,
    options: Options,
    linearize: bool,
    params: Any,
    steps: Any,
    carry: Any,
    reset_carry: Any,
) -> tuple[Any, ...]:
    """Run like `scan.run`, or like `scan.run_and_linearize` with the same leaves in the result."""
    arrays, sizes = jax.tree.leaves(carry), steps.input_gates[0].shape
    result = _Results(sizes, params.w_hh.dtype)
    own = [jnp.broadcast_to(p.reshape(-1), sizes[-1:]) for p in jax.tree.leaves(params.cell)]
    operands = (
        *(params.w_hh, params.b_hh, *own),
        *(*steps.input_gates, steps.valid, steps.resets),
        *(*arrays, *(jax.tree.leaves(reset_carry) or [None] * len(arrays))),
    )
    hidden, reads = hidden_position(carry), kernel.equations.reads
    shapes = (
        [result(1, options.return_carries or i == hidden) for i in range(len(arrays))],
        [jax.ShapeDtypeStruct(sizes[1:], result.dtype) for _ in arrays],
        result(len(reads), linearize),
        [result(1, linearize) for terms in kernel.equations.others for _ in terms],
    )
    kept, last, *coefficients = _call(kernel, "forward", sizes, operands, shapes)
    kept = kept if options.return_carries else kept[hidden]
    return (kept, last, coefficients) if linearize else (kept, last)


def run_backward(
    kernel: Kernel, options: Options, tangent_arguments: Any, d_kept: Any, d_last: Any
) -> tuple[FromOutside, Any, Any]:
    """Run the loop of `scan.run_tangent` backward.

    Args:
        kernel: the cell's code.
        options: the static options.
        tangent_arguments: those of `scan.run_tangent`, with avals for the last three.
        d_kept: the cotangent of its first result.
        d_last: that of its second.

    Returns:
        The cotangents of the last three arguments.
    """
    w_hh, push, valid, resets, _, from_outside, _, d_reset_carry = tangent_arguments
    arrays, hidden = jax.tree.leaves(d_last), hidden_position(d_last)
    own = jax.tree.leaves(from_outside.cell_params)
    num_gates, sizes = len(options.cell.gates), jax.tree.leaves(d_kept)[0].shape
    result = _Results(sizes, w_hh.dtype)
    over_time = [d_kept if i == hidden else None for i in range(len(arrays))]
    if options.return_carries:
        over_time = jax.tree.leaves(d_kept)
    operands = (
        *(w_hh, *jax.tree.leaves(push), valid, resets),
        *(*over_time, *arrays),
    )
    state = jax.ShapeDtypeStruct(sizes[1:], result.dtype)
    shapes = (
        result(num_gates),
        [result(1, apart is not None) for apart in from_outside.hidden_gates],
        [state for _ in arrays],
        [state for _ in own],
        [state if resets is not None else result(0) for _ in arrays],
    )
    results = _call(kernel, "backward", sizes, operands, shapes)
    d_gates, d_apart, d_start, d_own, d_reset = results
    d_gates = split(options.cell, d_gates)
    gates = zip(d_gates, d_apart, from_outside.hidden_gates, strict=True)
    d_inputs, d_hidden = zip(
        *((both, None) if apart is None else (d_input, both) for both, d_input, apart in gates),
        strict=True,
    )
    structure: Any = jax.tree.structure(d_last)
    d_reset = None if d_reset_carry is None else structure.unflatten(d_reset)
    own_structure: Any = jax.tree.structure(from_outside.cell_params)
    d_params = own_structure.unflatten(map(sum_rows, d_own, own))
    return FromOutside(d_inputs, d_hidden, d_params), structure.unflatten(d_start), d_reset


def sum_rows(d_param: Any, param: Any) -> Any:
    """Return the cotangent of a parameter, given that of each row, `[B, H]`."""
    sums = d_param.sum(axis=0)
    return (sums if param.size == sums.size else sums.sum()).reshape(param.shape)


class _Results:
    """The shapes of results over time, in multiples of H columns."""

    def __init__(self, sizes: tuple[int, int, int], dtype: Any) -> None:
        self.sizes, self.dtype = sizes, dtype

    def __call__(self, multiple: int, present: bool = True) -> jax.ShapeDtypeStruct:
        num_steps, batch_size, size = self.sizes
        shape = (num_steps, batch_size, multiple * size) if present and multiple else (0,)
        return jax.ShapeDtypeStruct(shape, self.dtype)


def _call(kernel: Kernel, name: str, sizes: Any, operands: Any, shapes: Any) -> Any:
    """Call a function of the code; return its results in the structure of their shapes."""
    dtype = operands[0].dtype
    num_steps, batch_size, size = sizes
    packed = getattr(kernel.library, f"{name}_packed_size")(size)
    structure: Any
    leaves, structure = jax.tree.flatten(shapes)
    *results, _ = jax.ffi.ffi_call(
        f"{kernel.target}_{name}", [*leaves, jax.ShapeDtypeStruct((packed,), dtype)]
    )(
        *(jnp.zeros(0, dtype) if operand is None else operand for operand in operands),
        T=np.int64(num_steps),
        B=np.int64(batch_size),
        H=np.int64(size),
    )
    return structure.unflatten(results)
