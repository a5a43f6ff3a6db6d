"""How the cost of a training step grows with its sizes.

    python -m benchmarks.scaling --cell lstm

Doubles one size after another around a base (one layer of 256 units, 28 tokens, batch 32, 35 steps)
and fits an exponent: 1 means that twice the size takes twice as long.

    --grid       instead all of H in 128, 256, 512, 1024, B in 1, 32, 128 and T in 35, 256, 1024, in
                 microseconds per time step; long on a CPU
"""

import itertools
import json
from typing import Any

import numpy as np

from benchmarks.peers import ours
from benchmarks.timing import arguments, describe_machine, measure
from benchmarks.workloads import Workload

SWEEPS: dict[str, tuple[int, ...]] = {
    "num_steps": (35, 70, 140, 280, 560),
    "batch_size": (1, 4, 16, 32, 64, 128),
    "hidden_size": (128, 256, 512, 1024),
    "vocab_size": (28, 256, 1024, 4096, 16384),
    "num_layers": (1, 2, 3, 4),
}
GRID = {
    "hidden_size": (128, 256, 512, 1024),
    "batch_size": (1, 32, 128),
    "num_steps": (35, 256, 1024),
}


def milliseconds(workload: Workload, repetitions: int) -> float:
    """The median of a training step."""
    return measure({"ours": ours(workload)}, repetitions)["ours"]


def sweep(base: Workload, repetitions: int) -> dict[str, dict[int, float]]:
    """Print a row for each size that is varied; return {size: {value: ms}}."""
    print("| size | milliseconds | exponent between the last two |\n|---|---|---|")
    results = {}
    for size, values in SWEEPS.items():
        times = {v: milliseconds(_resized(base, {size: v}), repetitions) for v in values}
        results[size] = times
        (a, b), told = values[-2:], ", ".join(f"{v}: {time:.1f}" for v, time in times.items())
        exponent = np.log(times[b] / times[a]) / np.log(b / a)
        print(f"| {size} | {told} | {exponent:.2f} |", flush=True)
    return results


def grid(base: Workload, repetitions: int) -> dict[str, float]:
    """Print microseconds per time step for all sizes of the grid."""
    print("| H | B | " + " | ".join(f"T {num_steps}" for num_steps in GRID["num_steps"]) + " |")
    print("|---" * (2 + len(GRID["num_steps"])) + "|")
    results = {}
    for hidden_size, batch_size in itertools.product(GRID["hidden_size"], GRID["batch_size"]):
        cells = []
        for num_steps in GRID["num_steps"]:
            sizes = {"hidden_size": hidden_size, "batch_size": batch_size, "num_steps": num_steps}
            per_step = 1000 * milliseconds(_resized(base, sizes), repetitions) / num_steps
            results[f"H {hidden_size}, B {batch_size}, T {num_steps}"] = per_step
            cells.append(f"{per_step:.1f}")
        print(f"| {hidden_size} | {batch_size} | {' | '.join(cells)} |", flush=True)
    return results


def _resized(base: Workload, sizes: dict[str, Any]) -> Workload:
    return base._replace(**sizes)


def main() -> None:
    """Measure and print the table."""
    parser = arguments(__doc__, repetitions=10)
    parser.add_argument("--cell", choices=("rnn", "gru", "lstm"), default="lstm")
    parser.add_argument("--grid", action="store_true", help="all sizes, per time step")
    options = parser.parse_args()
    base = Workload("", options.cell, 256, 1, 28, 32, 35)
    print(f"{describe_machine()}; {options.cell}, median of {options.repetitions}\n")
    results = (grid if options.grid else sweep)(base, options.repetitions)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
