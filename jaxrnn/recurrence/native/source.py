"""The C++ code of a cell, from its equations.

The equations become functions on one vector of units.  The loops around them are the same for all
cells: `loops.h`.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from jaxrnn.recurrence.equations import Equations
from jaxrnn.recurrence.native.build import BuildError
from jaxrnn.recurrence.unit_programs import Operand, Operation, Program, Value

HEADERS = (
    "interface.h",
    "vectors.h",
    "phases.h",
    "sums.h",
    "loops.h",
    "reader.h",
    "entries.h",
)
"""What a cell's code includes."""
HANDLERS = "handlers.cc"
"""What XLA calls, the same for all cells."""

_TEMPLATE = """\
#include "entries.h"

namespace {{  // libraries of several cells are loaded at once
struct Cell {{
  static constexpr int gates = {gates}, arrays = {arrays}, hidden = {hidden}, params = {params};
  static constexpr int hidden_coefficients = {reads}, other_coefficients = {others};

  template <bool Linearize>
  static inline void update(const Vector* x, const Vector* h, const Vector* c, const Vector* p,
                            Vector* n, Vector* k) {{
    if constexpr (!Linearize) {{
{update}
    }} else {{
{linearized}
    }}
  }}

  static inline void pull_back(const Vector* k, Vector* n, Vector* dh, Vector* dx, Vector* dc,
                               Vector* dp) {{
{pull_back}
  }}
}};
}}  // namespace

JAXRNN_DEFINE_ENTRIES(Cell)
"""

_INFIX = {"add": "+", "add_any": "+", "sub": "-", "mul": "*", "div": "/"}
_COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_LOGIC = {"and": "&", "or": "|", "xor": "^"}
_RENAMED = {"max": "maximum", "min": "minimum"}
_MASKS = {*_COMPARISONS, *_LOGIC, "not", "is_finite"}


def cell_source(equations: Equations) -> str:
    """Return the code of a cell."""
    arrays, params = (len(jax.tree.leaves(tree)) for tree in (equations.carry, equations.params))
    gates = (equations.update.num_inputs - arrays - params) // 2
    inputs = [
        *(f"x[{i}]" for i in range(gates)),
        *(f"h[{i}]" for i in range(gates)),
        *(f"c[{i}]" for i in range(arrays)),
        *(f"p[{i}]" for i in range(params)),
    ]
    coefficients = len(equations.linearized.results) - arrays
    new = [f"n[{i}]" for i in range(arrays)]
    return _TEMPLATE.format(
        gates=gates,
        arrays=arrays,
        hidden=hidden_position(equations.carry),
        params=params,
        reads=len(equations.reads),
        others=coefficients - len(equations.reads),
        update=indent(6, statements(equations.update, inputs, new)),
        linearized=indent(
            6,
            statements(
                equations.linearized, inputs, [*new, *(f"k[{i}]" for i in range(coefficients))]
            ),
        ),
        pull_back=indent(4, _pull_back(equations)),
    )


def hidden_position(carry: Any) -> int:
    """Return the position of the hidden state among the arrays of a carry."""
    before = carry[: type(carry)._fields.index("hidden")]
    return len(jax.tree.leaves(before))


def file_text(name: str) -> str:
    """Return the text of `HANDLERS` or of one of `HEADERS`.

    Raises:
        BuildError: it was not installed.
    """
    try:
        return (Path(__file__).parent / name).read_text()
    except OSError as error:
        raise BuildError(f"a file of the package is missing ({error})") from error


def indent(spaces: int, lines: Iterator[str]) -> str:
    """Return the lines of code as one text."""
    return "\n".join(" " * spaces + line for line in lines)


def statements(program: Program, inputs: list[str], results: list[str]) -> Iterator[str]:
    """Write a program; of its results, those that have names are assigned."""
    for number, name in enumerate(inputs):
        yield f"const Vector v{number} = {name};"
    masks: set[Value] = set()
    for operation in program.operations:
        if _is_mask(operation, masks):
            masks.add(operation.result)
        kind = "Mask" if operation.result in masks else "Vector"
        yield f"const {kind} {operation.result} = {_expression(operation)};"
    for name, operand in zip(results, program.results, strict=False):
        yield f"{name} = {operand_text(operand)};"


def _is_mask(operation: Operation, masks: set[Value]) -> bool:
    if operation.name == "select_n":
        return all(o in masks or isinstance(o, bool) for o in operation.operands[1:])
    return operation.name in _MASKS


def operand_text(operand: Operand) -> str:
    """Write an operand of an operation."""
    if isinstance(operand, Value):
        return str(operand)
    if isinstance(operand, bool):
        return f"(Mask{{}} == {int(not operand)})"
    if math.isfinite(operand):
        return f"splat({operand.hex()})"
    return f"splat({'NAN' if math.isnan(operand) else 'INFINITY' if operand > 0 else '-INFINITY'})"


def _expression(operation: Operation) -> str:
    name, operands = operation.name, [operand_text(operand) for operand in operation.operands]
    infix = _INFIX.get(name) or _COMPARISONS.get(name) or _LOGIC.get(name)
    if infix:
        return f"{operands[0]} {infix} {operands[1]}"
    if name == "neg":
        return f"-{operands[0]}"
    if name == "not":
        return f"~{operands[0]}"
    if name == "square":
        return f"{operands[0]} * {operands[0]}"
    if name == "select_n":  # of two cases, the second where the mask is True
        return f"{operands[0]} ? {operands[2]} : {operands[1]}"
    if name == "clamp":
        low, x, high = operands
        return f"minimum(maximum({x}, {low}), {high})"
    if operation.parameter is not None:
        operands.append(str(operation.parameter))
    return f"{_RENAMED.get(name, name)}({', '.join(operands)})"


def _pull_back(equations: Equations) -> Iterator[str]:
    """Write the transpose of the derivative, in the opposite order.

    `n` holds the cotangents of the new arrays; those that others read are added to in turn.
    """
    sources = {"start": "dc", "input": "dx", "new": "n", "param": "dp"}
    first = len(equations.reads)
    numbers: dict[Any, int] = {}
    for new, others in enumerate(equations.others):
        for source in others:
            numbers[new, source] = first + len(numbers)
    for new in reversed(equations.order):
        for number, read in enumerate(equations.reads):
            if read.new == new:
                yield f"dh[{read.gate}] += k[{number}] * n[{new}];"
                if read.summed:
                    yield f"dx[{read.gate}] += k[{number}] * n[{new}];"
        for kind, index in equations.others[new]:
            number = numbers[new, (kind, index)]
            yield f"{sources[kind]}[{index}] += k[{number}] * n[{new}];"
