"""The C++ code of a linear cell, from its equations.

The loops around them are the same for all linear cells: `linear_loops.h`.
"""

from collections.abc import Iterator

import jax

from jaxrnn.recurrence.linear_equations import LinearEquations
from jaxrnn.recurrence.native.source import indent, operand_text, statements

HEADERS = (
    *("interface.h", "vectors.h", "phases.h", "reader.h"),
    *("linear_loops.h", "linear_entries.h"),
)
"""What a linear cell's code includes."""

_TEMPLATE = """\
#include "linear_entries.h"

namespace {{  // libraries of several cells are loaded at once
struct Cell {{
  static constexpr int gates = {gates}, params = {params};
  static constexpr bool reads_out = {reads_out};

  static inline void update(const Vector* x, const Vector* p, Vector before, Vector& state,
                            Vector& output) {{
{update}
  }}

  static inline void pull_back(const Vector* x, const Vector* p, Vector before, Vector after,
                               Vector d_output, Vector& d_state, Vector* dx, Vector* dp) {{
{pull_back}
  }}
}};
}}  // namespace

JAXRNN_DEFINE_LINEAR_ENTRIES(Cell)
"""


def linear_cell_source(equations: LinearEquations) -> str:
    """Return the code of a linear cell."""
    gates, params = equations.num_gates, len(jax.tree.leaves(equations.params))
    inputs = [*(f"x[{i}]" for i in range(gates)), *(f"p[{i}]" for i in range(params)), "before"]
    update = statements(equations.update, inputs, ["state", "output"])
    return _TEMPLATE.format(
        gates=gates,
        params=params,
        reads_out=str(equations.reads_out).lower(),
        update=indent(4, update),
        pull_back=indent(4, _pull_back(equations, [*inputs, "after"])),
    )


def _pull_back(equations: LinearEquations, inputs: list[str]) -> Iterator[str]:
    """Write the transpose of the derivative: cotangents of the state before and of all inputs."""
    yield from statements(equations.slopes, inputs, [])
    a, output_by_state, *others = equations.slopes.results
    if equations.reads_out:
        yield f"d_state += {operand_text(output_by_state)} * d_output;"
    for number in range(len(inputs) - 2):
        place = inputs[number].replace("x[", "dx[").replace("p[", "dp[")
        new, output = others[2 * number : 2 * number + 2]
        terms = (
            [(new, "d_state"), (output, "d_output")] if equations.reads_out else [(new, "d_state")]
        )
        products = [
            f"{operand_text(slope)} * {cotangent}"
            for slope, cotangent in terms
            if slope != 0.0 or not isinstance(slope, float)
        ]
        yield f"{place} = {' + '.join(products) or 'Vector{}'};"
    yield f"d_state *= {operand_text(a)};"
