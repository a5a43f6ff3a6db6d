"""Milliseconds and memory of linear cells, forward and backward, by ways to run them.

    python -m benchmarks.linear

The gates of 1,024 steps of 16 rows of 256 units are given, as one product makes them; one call
computes the outputs and the gradients of the gates and of the cell's own parameters.  Beside the
default stand the same without native code, `lax.associative_scan`, and what a user would write: a
`lax.scan` of the cell's equations, step by step, that JAX differentiates.  Prints the times, and
the temporary memory that XLA plans.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import lax

import jaxrnn
from benchmarks.timing import OURS, arguments, compare
from benchmarks.workloads import Step
from experiments.shared.tables import print_head, print_row
from jaxrnn.cells import LinearCell, LoopParams
from jaxrnn.recurrence import linear, linear_primitives
from jaxrnn.recurrence.options import Options
from jaxrnn.recurrence.scan import Steps, split


def given(hidden_size: int) -> LinearCell:
    """Return the recurrence alone: its coefficients are the gates as they come."""
    return jaxrnn.linear_cell("given", hidden_size, gates=("a", "b"), coefficients=_gates)


def _gates(cell_params: Any, input_gates: Any) -> Any:
    return input_gates


CELLS = {
    "a and b given": given,
    "min_gru": jaxrnn.min_gru,
    "min_lstm": jaxrnn.min_lstm,
    "rg_lru": jaxrnn.rg_lru,
    "sru": jaxrnn.sru,
    "lru": jaxrnn.lru,
}
NUM_STEPS, BATCH_SIZE, HIDDEN_SIZE = 1024, 16, 256


class Workload(NamedTuple):
    """A cell and its sizes."""

    name: str
    cell: LinearCell
    num_steps: int
    batch_size: int


def by_engine(implementation: str | None, cell: LinearCell, params: Any, gates: Any) -> Any:
    """Return the outputs of our engine."""
    options = Options(cell, implementation)
    start = cell.initial_carry(gates[0].shape[1])
    steps = Steps(gates, None, None)
    return linear_primitives.run(options, LoopParams(None, None, params), steps, start, None)[0]


def by_plain_scan(cell: LinearCell, params: Any, gates: Any) -> Any:
    """Return the outputs of the equations in a loop, as a user would write them."""
    one_step = Options(cell, "autodiff")

    def step(carry: Any, gates: Any) -> tuple[Any, Any]:
        now = Steps(tuple(gate[None] for gate in gates), None, None)
        hidden, carry = linear.run(one_step, LoopParams(None, None, params), now, carry, None)
        return carry, hidden[0]

    return lax.scan(step, cell.initial_carry(gates[0].shape[1]), gates)[1]


def gradient_of(run: Callable[..., Any], workload: Workload) -> tuple[Any, tuple[Any, ...]]:
    """Return the compiled gradient and its arguments."""
    cell, shape = workload.cell, (workload.num_steps, workload.batch_size)
    key = jax.random.key(0)
    gates = jax.random.normal(key, (*shape, len(cell.gates) * cell.hidden_size))
    weights = jax.random.normal(key, (*shape, cell.hidden_size))

    def loss(params: Any, gates: Any, weights: Any) -> jax.Array:
        return (run(cell, params, split(cell, gates)) * weights).sum()

    given = cell.init_params(key), gates, weights
    return jax.jit(jax.grad(loss, (0, 1))).lower(*given).compile(), given


def make(run: Callable[..., Any], workload: Workload) -> Step:
    """Return a call of the gradient."""
    gradient, given = gradient_of(run, workload)
    return lambda: jax.block_until_ready(gradient(*given))


RUNS: dict[str, Callable[..., Any]] = {
    OURS: functools.partial(by_engine, None),
    "scan": functools.partial(by_engine, "scan"),
    "associative_scan": functools.partial(by_engine, "associative_scan"),
    "a loop that JAX differentiates": by_plain_scan,
}


def main() -> None:
    """Print both tables."""
    options = arguments(__doc__, repetitions=15).parse_args()
    workloads = [
        Workload(name, cell(HIDDEN_SIZE), NUM_STEPS, BATCH_SIZE) for name, cell in CELLS.items()
    ]
    peers = {name: functools.partial(make, run) for name, run in RUNS.items()}
    compare(peers, workloads, options)
    print("\nTemporary memory, MB (over ours)\n")
    print_head("cell", *RUNS)
    for workload in workloads:
        planned = [planned_memory(run, workload) for run in RUNS.values()]
        print_row(workload.name, *(f"{m:.0f} ({m / planned[0]:.2f})" for m in planned))


def planned_memory(run: Callable[..., Any], workload: Workload) -> float:
    """Return the megabytes of temporaries that XLA plans, besides arguments and gradients."""
    analysis = gradient_of(run, workload)[0].memory_analysis()
    return analysis.temp_size_in_bytes / 1e6


if __name__ == "__main__":
    main()
