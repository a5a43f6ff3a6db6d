"""The derivative of one update, in as few coefficients as its equations allow.

In most cells the update is elementwise: unit u of the new carry depends only on unit u of the gates
and of the carry.  The tangent of each new array is then a sum of tangents, each times one
coefficient, however long the equations are.  `jax.linearize` returns the derivative as a linear
program, from which `jaxrnn.recurrence.coefficients` extracts the coefficients: five per unit for a
GRU, and six for an LSTM, whose output reads the new memory.  Parameters of the cell with one number
per unit, such as peepholes, are sources like the others.

A cell that mixes units, for instance by a normalisation, keeps the program from JAX, and so do
parameters of other shapes.
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
    """Return the derivative of `cell.update` at these arguments, a function and a pytree.

    It maps (d_hidden_gates, d_start, d_input_gates, d_cell_params=...) to the new carry's tangent;
    the last two may be left out for zeros.  As a pytree it can be scanned over.
    """
    arguments = input_gates, hidden_gates, start
    push = _elementwise(cell.update, cell_params, *arguments)
    if push is not None:
        return push
    update = functools.partial(cell.update, cell_params)
    if not jax.tree.leaves(cell_params):
        return _as_jax_does(update, *arguments)
    push = _elementwise(lambda _, *arguments: update(*arguments), (), *arguments)
    _, push_params = jax.linearize(lambda params: cell.update(params, *arguments), cell_params)
    return _ParamsApart(push or _as_jax_does(update, *arguments), push_params)


def _as_jax_does(update: Callable[..., Any], *arguments: Any) -> Any:
    return Partial(_push_all, jax.linearize(update, *arguments)[1])


def shared_gates(push: Any, num_gates: int) -> tuple[bool, ...]:
    """Return for each gate whether the derivative reads its input and hidden part as one sum."""
    if isinstance(push, _ParamsApart):
        push = push.push
    if not isinstance(push, Elementwise):
        return (False,) * num_gates
    apart = {read.gate for read in push.reads if not read.summed}
    for terms in push.other_terms:
        apart |= {gate for kind, gate in terms if kind == "input"}
    return tuple(gate not in apart for gate in range(num_gates))


def _push_all(
    derivative: Any,
    d_hidden_gates: Any,
    d_start: Any,
    d_input_gates: Any = None,
    d_cell_params: Any = None,
) -> Any:
    del d_cell_params  # `_ParamsApart` adds what they cause
    if d_input_gates is None:
        d_input_gates = tuple(map(jnp.zeros_like, d_hidden_gates))
    return derivative(d_input_gates, d_hidden_gates, d_start)


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["push", "push_params"], meta_fields=[]
)
@dataclasses.dataclass(frozen=True)
class _ParamsApart:
    """A derivative for the gates and the start, and one for the cell's own parameters."""

    push: Callable[..., Any]
    push_params: Callable[..., Any]

    def __call__(self, *d_others: Any, d_cell_params: Any = None) -> Any:
        d_new = self.push(*d_others)
        if d_cell_params is None:
            return d_new
        return jax.tree.map(jnp.add, d_new, self.push_params(d_cell_params))


class Read(NamedTuple):
    """One dependence of an array of the new carry on a hidden gate."""

    gate: int
    new: int
    summed: bool  # the input gate has the same coefficient, so the two are added first


class Coefficients(NamedTuple):
    """An elementwise derivative: each array of the new carry has one coefficient per source."""

    hidden: tuple[Any, ...]
    """`[B, H]` for each of `reads`."""
    others: tuple[Terms, ...]
    """For each array of the new carry, its sources besides `reads`."""
    reads: tuple[Read, ...]
    """What the new carry's arrays read of the hidden gates."""
    order: tuple[int, ...]
    """In which to compute the new carry's arrays; later ones read earlier ones."""


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["hidden_coefficients", "other_terms"],
    meta_fields=["reads", "order"],
)
@dataclasses.dataclass(frozen=True)
class Elementwise:
    """The derivative that `Coefficients` describe, as a pytree and a function."""

    hidden_coefficients: Any  # [B, len(reads) * H], one array, so that the loop multiplies once
    other_terms: tuple[Terms, ...]
    reads: tuple[Read, ...]
    order: tuple[int, ...]

    def __call__(
        self,
        d_hidden_gates: Any,
        d_start: Any,
        d_input_gates: Any = None,
        d_cell_params: Any = None,
    ) -> Any:
        starts, structure = jax.tree.flatten(d_start)
        tangents = {("start", i): d for i, d in enumerate(starts)}
        tangents |= {("param", i): d for i, d in enumerate(jax.tree.leaves(d_cell_params))}
        d_gates = d_hidden_gates
        if d_input_gates is not None:
            tangents |= {("input", i): d for i, d in enumerate(d_input_gates)}
            d_gates = [h + i for h, i in zip(d_hidden_gates, d_input_gates, strict=True)]
        factors = [(d_gates if read.summed else d_hidden_gates)[read.gate] for read in self.reads]
        products = self.hidden_coefficients * jnp.concatenate(factors, axis=-1)
        products = jnp.split(products, len(factors), axis=-1)
        for new in self.order:
            terms = [p for p, read in zip(products, self.reads, strict=True) if read.new == new]
            for source, coefficient in self.other_terms[new].items():
                if source in tangents:
                    d = jnp.broadcast_to(tangents[source], coefficient.shape)
                    terms.append(coefficient * d)
            tangents["new", new] = sum(terms[1:], terms[0]) if terms else jnp.zeros_like(starts[0])
        return jax.tree.unflatten(structure, [tangents["new", i] for i in range(len(starts))])


def _elementwise(update: Any, cell_params: Any, *arguments: Any) -> Elementwise | None:
    try:
        found = coefficients(update, cell_params, *arguments)
    except Exception:  # jaxprs may change; JAX's own programs are always correct
        return None
    joined = jnp.concatenate(found.hidden, axis=-1)
    return Elementwise(joined, found.others, found.reads, found.order)


def coefficients(
    update: Callable[..., Any],
    cell_params: Any,
    input_gates: Gates,
    hidden_gates: Gates,
    start: Any,
) -> Coefficients:
    """Return the coefficients of the derivative of `update`, a function of the other arguments.

    Raises:
        NotElementwiseError: it may mix units, or a parameter has other shapes.
    """
    starts, own, like = jax.tree.leaves(start), jax.tree.leaves(cell_params), hidden_gates[0]
    if any(s.shape != like.shape or s.dtype != like.dtype for s in starts):
        raise NotElementwiseError("a carry that is not made of arrays [B, H]")
    if any(jnp.ndim(param) > like.ndim for param in own):
        raise NotElementwiseError("a parameter of more than two axes")
    arguments = cell_params, input_gates, hidden_gates, start
    _, push = jax.linearize(update, *arguments)
    program = jax.make_jaxpr(push)(*arguments)
    inputs: list[Terms] = [
        {(kind, index): 1.0}
        for kind, tree in zip(("param", "input", "hidden", "start"), arguments, strict=True)
        for index in range(len(jax.tree.leaves(tree)))
    ]
    sums = new_carry_terms(program, inputs)

    def broadcast(coefficient: Any) -> Any:
        return jnp.broadcast_to(jnp.asarray(coefficient, like.dtype), like.shape)

    reads, hidden = [], []
    for gate, new in itertools.product(range(len(hidden_gates)), sums):
        coefficient = sums[new].pop(("hidden", gate), None)
        if coefficient is None:
            continue
        summed = sums[new].get(("input", gate)) is coefficient
        if summed:
            del sums[new]["input", gate]
        reads.append(Read(gate, new, summed))
        hidden.append(broadcast(coefficient))
    if not reads:
        raise NotElementwiseError("an update that reads no hidden gate")
    others = tuple(jax.tree.map(broadcast, sums[new]) for new in range(len(sums)))
    return Coefficients(tuple(hidden), others, tuple(reads), tuple(sums))
