"""The derivative of one step's update, in as few coefficients as its equations allow.

In most cells no unit reads another one: unit u of the new carry depends on unit u of the gates and
of the carry.  Then the tangent of each new array is a sum of tangents, each times one coefficient,
however long the equations are.  `jax.linearize` gives the derivative as a linear program;
`jaxrnn.recurrence.units` follows it and finds the coefficients: six a unit for an LSTM, whose
hidden reads the new memory, and five for a GRU.

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
from jaxrnn.recurrence.units import Blocks, MixedUnitsError, Sum, blocks_of, new_carry_sums


def linearize(
    cell: Cell, cell_params: Any, input_gates: Any, hidden_gates: Any, start: Any
) -> Callable[..., Any]:
    """The derivative of `cell.update` there: a function that is a pytree, to scan over.

    It maps (d_input_gates, None for zero, d_hidden_gates, d_start) to the new carry's tangent.
    """
    update = functools.partial(cell.update, cell_params)
    _, push = jax.linearize(update, input_gates, hidden_gates, start)
    try:
        return _unit_by_unit(cell.hidden_size, push, input_gates, hidden_gates, start)
    except MixedUnitsError:
        return Partial(_push_all, push)


def _push_all(push: Any, d_input_gates: Any, d_hidden_gates: Any, d_start: Any) -> Any:
    if d_input_gates is None:
        d_input_gates = jnp.zeros_like(d_hidden_gates)
    return push(d_input_gates, d_hidden_gates, d_start)


class _Read(NamedTuple):
    """That an array of the new carry reads a block of the hidden gates."""

    block: int
    new: int
    summed: bool  # with the block of the input gates, which has the same coefficient


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["by_hidden", "by_others"],
    meta_fields=["reads", "order"],
)
@dataclasses.dataclass(frozen=True)
class _UnitByUnit:
    """The tangent of each array of the new carry as a sum of products with coefficients."""

    by_hidden: Any  # [B, len(reads) * H]: in one array, because the loop then multiplies once
    by_others: tuple[Sum, ...]  # of each array of the new carry
    reads: tuple[_Read, ...]
    order: tuple[int, ...]  # of the new carry's arrays, since some are read by later ones

    def __call__(self, d_input_gates: Any, d_hidden_gates: Any, d_start: Any) -> Any:
        starts, structure = jax.tree.flatten(d_start)
        size = starts[0].shape[-1]
        hidden = blocks_of(d_hidden_gates, size)
        tangents = {("start", i): d for i, d in enumerate(starts)}
        if d_input_gates is not None:
            inputs = blocks_of(d_input_gates, size)
            tangents |= {("input", i): d for i, d in enumerate(inputs)}
            added = [h + i for h, i in zip(hidden, inputs, strict=True)]
        else:
            added = hidden
        gates = [(added if read.summed else hidden)[read.block] for read in self.reads]
        products = blocks_of(self.by_hidden * jnp.concatenate(gates, axis=-1), size)
        for new in self.order:
            terms = [p for p, read in zip(products, self.reads, strict=True) if read.new == new]
            terms += [c * tangents[n] for n, c in self.by_others[new].items() if n in tangents]
            tangents["new", new] = sum(terms[1:], terms[0]) if terms else jnp.zeros_like(starts[0])
        return jax.tree.unflatten(structure, [tangents["new", i] for i in range(len(starts))])


def _unit_by_unit(
    size: int, push: Any, input_gates: Any, hidden_gates: Any, start: Any
) -> _UnitByUnit:
    """The coefficients of `push`, or MixedUnitsError."""
    starts = jax.tree.leaves(start)
    alike = all(s.shape == starts[0].shape and s.dtype == hidden_gates.dtype for s in starts)
    if not alike or starts[0].shape != (len(hidden_gates), size):
        raise MixedUnitsError
    program = jax.make_jaxpr(push)(input_gates, hidden_gates, start)
    num_gates = hidden_gates.shape[-1] // size
    inputs: list[Blocks] = [
        [{("input", block): 1.0} for block in range(num_gates)],
        [{("hidden", block): 1.0} for block in range(num_gates)],
        *([{("start", index): 1.0}] for index in range(len(starts))),
    ]
    sums = new_carry_sums(program, inputs, size)

    def whole(coefficient: Any) -> Any:
        return jnp.broadcast_to(jnp.asarray(coefficient, hidden_gates.dtype), starts[0].shape)

    reads = []
    by_hidden = []
    for block, new in itertools.product(range(num_gates), sums):
        coefficient = sums[new].pop(("hidden", block), None)
        if coefficient is None:
            continue
        summed = sums[new].get(("input", block)) is coefficient
        if summed:
            del sums[new]["input", block]
        reads.append(_Read(block, new, summed))
        by_hidden.append(whole(coefficient))
    if not reads:
        raise MixedUnitsError
    by_others = tuple(jax.tree.map(whole, sums[new]) for new in range(len(sums)))
    return _UnitByUnit(jnp.concatenate(by_hidden, axis=-1), by_others, tuple(reads), tuple(sums))
