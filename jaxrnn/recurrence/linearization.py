"""The derivative of one step's update, in as few coefficients as its equations allow.

In most cells no unit reads another one: unit u of the new carry depends on unit u of the gates and
of the carry.  Then the tangent of each new array is a sum of tangents, each times one coefficient,
however long the equations are.  `jax.linearize` gives the derivative as a linear program;
`jaxrnn.recurrence.coefficients` follows it and finds them: six a unit for an LSTM, whose output
reads the new memory, and five for a GRU.

A cell whose units mix, as in a normalisation, keeps the program that JAX gave.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from jaxrnn.cells import Cell
from jaxrnn.recurrence.coefficients import NotElementwiseError, Terms, new_carry_terms
from jaxrnn.typing import Gates


def linearize(
    cell: Cell, cell_params: Any, input_gates: Gates, hidden_gates: Gates, start: Any
) -> Callable[..., Any]:
    """Return the derivative of `cell.update` there: a function that is a pytree, to scan over.

    It maps (d_input_gates, None for zero, d_hidden_gates, d_start) to the new carry's tangent.
    """
    update = functools.partial(cell.update, cell_params)
    _, push = jax.linearize(update, input_gates, hidden_gates, start)
    try:
        return _elementwise(push, input_gates, hidden_gates, start)
    except Exception:  # whatever a jaxpr may come to look like: JAX's own program is right, too
        return Partial(_push_all, push)


def _push_all(push: Any, d_input_gates: Any, d_hidden_gates: Any, d_start: Any) -> Any:
    if d_input_gates is None:
        d_input_gates = tuple(map(jnp.zeros_like, d_hidden_gates))
    return push(d_input_gates, d_hidden_gates, d_start)


class _Read(NamedTuple):
    """One dependence of an array of the new carry on a hidden gate."""

    gate: int
    new: int
    summed: bool  # with the input gate, which has the same coefficient


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["by_hidden", "by_others"],
    meta_fields=["reads", "order"],
)
@dataclasses.dataclass(frozen=True)
class _Elementwise:
    """The tangent of each array of the new carry as a sum of products with coefficients."""

    by_hidden: Any  # [B, len(reads) * H]: in one array, because the loop then multiplies once
    by_others: tuple[Terms, ...]  # of each array of the new carry
    reads: tuple[_Read, ...]
    order: tuple[int, ...]  # of the new carry's arrays, since some are read by later ones

    def __call__(self, d_input_gates: Any, d_hidden_gates: Any, d_start: Any) -> Any:
        starts, structure = jax.tree.flatten(d_start)
        tangents = {("start", i): d for i, d in enumerate(starts)}
        added = d_hidden_gates
        if d_input_gates is not None:
            tangents |= {("input", i): d for i, d in enumerate(d_input_gates)}
            added = [h + i for h, i in zip(d_hidden_gates, d_input_gates, strict=True)]
        gates = [(added if read.summed else d_hidden_gates)[read.gate] for read in self.reads]
        products = jnp.split(self.by_hidden * jnp.concatenate(gates, axis=-1), len(gates), axis=-1)
        for new in self.order:
            terms = [p for p, read in zip(products, self.reads, strict=True) if read.new == new]
            terms += [c * tangents[n] for n, c in self.by_others[new].items() if n in tangents]
            tangents["new", new] = sum(terms[1:], terms[0]) if terms else jnp.zeros_like(starts[0])
        return jax.tree.unflatten(structure, [tangents["new", i] for i in range(len(starts))])


def _elementwise(push: Any, input_gates: Gates, hidden_gates: Gates, start: Any) -> _Elementwise:
    """Return the coefficients of `push`, or raise a NotElementwiseError."""
    starts, like = jax.tree.leaves(start), hidden_gates[0]
    if any(s.shape != like.shape or s.dtype != like.dtype for s in starts):
        raise NotElementwiseError
    program = jax.make_jaxpr(push)(input_gates, hidden_gates, start)
    inputs: list[Terms] = [
        {(kind, index): 1.0}
        for kind, arrays in (("input", input_gates), ("hidden", hidden_gates), ("start", starts))
        for index in range(len(arrays))
    ]
    sums = new_carry_terms(program, inputs)

    def whole(coefficient: Any) -> Any:
        return jnp.broadcast_to(jnp.asarray(coefficient, like.dtype), like.shape)

    reads, by_hidden = [], []
    for gate, new in itertools.product(range(len(hidden_gates)), sums):
        coefficient = sums[new].pop(("hidden", gate), None)
        if coefficient is None:
            continue
        summed = sums[new].get(("input", gate)) is coefficient
        if summed:
            del sums[new]["input", gate]
        reads.append(_Read(gate, new, summed))
        by_hidden.append(whole(coefficient))
    if not reads:
        raise NotElementwiseError
    by_others = tuple(jax.tree.map(whole, sums[new]) for new in range(len(sums)))
    return _Elementwise(jnp.concatenate(by_hidden, axis=-1), by_others, tuple(reads), tuple(sums))
