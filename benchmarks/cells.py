"""The table of cells in docs/cells.md: papers, equations, parameters, and times against the LSTM.

    python -m benchmarks.cells              measure, then write the page
    python -m benchmarks.cells --write      write the page, with the times measured last

A step is the outputs and all gradients of a layer of 256 units over 35 steps of 32 rows of 256
inputs.  Papers and equations come from the docstrings of the cells, the matrix of features from
`benchmarks/cell_features.py`, and the times from `benchmarks/cells.json`.
"""

import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import jaxrnn
from benchmarks import cell_features
from benchmarks.timing import arguments, describe_machine, measure
from benchmarks.workloads import Step
from jaxrnn.cells import LinearCell
from jaxrnn.model_config import CELLS
from jaxrnn.runs.files import replace_text

TIMES = Path(__file__).parent / "cells.json"
PAGE = Path(__file__).parents[1] / "docs" / "cells.md"
SIZE, NUM_STEPS, BATCH_SIZE = 256, 35, 32


def make_step(name: str) -> Step:
    """Return a call that computes the outputs and gradients of a layer."""
    layer = jaxrnn.recurrent(CELLS[name](SIZE))
    params = layer.init(jax.random.key(0), SIZE)
    inputs = jax.random.normal(jax.random.key(1), (NUM_STEPS, BATCH_SIZE, SIZE))

    @jax.jit
    def gradients(params: jaxrnn.RecurrentParams, inputs: jax.Array) -> jaxrnn.RecurrentParams:
        def loss(params: jaxrnn.RecurrentParams, inputs: jax.Array) -> jax.Array:
            return jnp.square(layer.apply(params, inputs)[0]).sum()

        return jax.grad(loss, (0, 1))(params, inputs)

    return lambda: jax.block_until_ready(gradients(params, inputs))


def text() -> str:
    """Return the page with its generated parts as they should be."""
    page = PAGE.read_text(encoding="utf-8")
    page = _replace(page, "table", "\n".join([*_table(), "", *_equations()]))
    return _replace(page, "matrix", cell_features.matrix())


def read_times() -> dict[str, Any]:
    """Return the times measured last, with the machine."""
    found: dict[str, Any] = json.loads(TIMES.read_text(encoding="utf-8"))
    return found


def _replace(page: str, name: str, content: str) -> str:
    """Replace what stands between two markers of the page."""
    start, end = f"<!-- {name}: python -m benchmarks.cells -->", f"<!-- end of {name} -->"
    before, rest = page.split(start)
    return f"{before}{start}\n\n{content}\n\n{end}{rest.split(end)[1]}"


def _table() -> Iterator[str]:
    measured = read_times()
    times = measured["ms"]
    yield "| cell | paper | kind | parameters | on one CPU | time over the LSTM's |"
    yield "|---|---|---|---|---|---|"
    for name, factory in CELLS.items():
        cell = factory(SIZE)
        params = jax.eval_shape(lambda c=cell: jaxrnn.recurrent(c).init(jax.random.key(0), SIZE))
        count = sum(leaf.size for leaf in jax.tree.leaves(params))
        kind = "linear" if isinstance(cell, LinearCell) else "gates"
        native = jaxrnn.implementations(cell)["native"]
        link = f"[`{name}`](#{name})"
        ratio = times[name] / times["lstm"]
        runs = "native" if native == "available" else "scan"
        paper = _reference(inspect.getdoc(factory) or "")
        yield f"| {link} | {paper} | {kind} | {count:,} | {runs} | {ratio:.2f} |"
    yield ""
    yield (
        f"Parameters and times are those of {SIZE} units that read {SIZE} inputs. A time is that of"
        f" the outputs and all gradients over {NUM_STEPS} steps of {BATCH_SIZE} rows, as the median"
        f" of {measured['repetitions']} ({measured['machine']}); the LSTM takes"
        f" {times['lstm']:.1f} ms. Cells of the kind *gates* have one product in each step, and"
        " *linear* ones have none: the longer the sequence, the greater their advantage. The matrix"
        " below says what else each cell can do, and why not."
    )


def _equations() -> Iterator[str]:
    for name, factory in CELLS.items():
        documentation = inspect.getdoc(factory) or ""
        first, *_ = documentation.splitlines()
        blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", documentation, re.MULTILINE)
        yield f"### `{name}`"
        yield ""
        yield f"{first.removeprefix('Return ')[:1].upper()}{first.removeprefix('Return ')[1:]}"
        yield ""
        yield "```text"
        yield textwrap.dedent(blocks[0]).strip()
        yield "```"
        yield ""


def _reference(documentation: str) -> str:
    """Return the reference of a docstring in one line, with a link to arXiv."""
    section = documentation.split("Reference:\n")[1]
    line = " ".join(section.split("\n\n")[0].split())
    return re.sub(r"arXiv:(\d+\.\d+)", r"[arXiv:\1](https://arxiv.org/abs/\1)", line)


def main() -> None:
    """Measure unless told not to, and write the page."""
    parser = arguments(__doc__, repetitions=30)
    parser.add_argument("--write", action="store_true", help="do not measure")
    options = parser.parse_args()
    if not options.write:
        times = measure({name: make_step(name) for name in CELLS}, options.repetitions)
        found = {
            "machine": describe_machine(),
            "repetitions": options.repetitions,
            "ms": {name: round(time, 2) for name, time in times.items()},
        }
        TIMES.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    replace_text(PAGE, text())


if __name__ == "__main__":
    main()
