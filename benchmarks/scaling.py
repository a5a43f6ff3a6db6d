"""Cost of a training step as its sizes grow.

    python -m benchmarks.scaling --cell lstm

Varies one size after another around a base (one layer of 256 units, 28 tokens, batch 32, 35 steps)
and prints an exponent: 1 means that twice the size takes twice as long.

    --grid       instead H in 128, 256, 512, 1024, B in 1, 8, 32, 128 and T in 35, 256, 1024, for
                 layers over vectors of size H, compared to Flax and PyTorch, in microseconds per
                 time step; on a CPU only H up to 512 and T up to 256
    --steps-per-call 16       many steps in one compiled call, for the grid
"""

import argparse
import functools
import itertools
import json
from typing import Any

import jax
import numpy as np

from benchmarks.peers.steps import TRAIN_STEP, ours
from benchmarks.timing import OURS, arguments, compare, describe_machine, measure
from benchmarks.workloads import Workload
from experiments.shared.tables import print_head, print_row

SWEEPS: dict[str, tuple[int, ...]] = {
    "num_steps": (35, 70, 140, 280, 560),
    "batch_size": (1, 4, 16, 32, 64, 128),
    "hidden_size": (128, 256, 512, 1024),
    "vocab_size": (28, 256, 1024, 4096, 16384),
    "num_layers": (1, 2, 3, 4),
}
GRID: tuple[tuple[int, ...], ...] = ((128, 256, 512, 1024), (1, 8, 32, 128), (35, 256, 1024))
GRID_OF_A_CPU: tuple[tuple[int, ...], ...] = ((128, 256, 512), (1, 8, 32, 128), (35, 256))
PEERS_IN_GRID = (OURS, "jaxrnn, cuDNN", "Flax nnx", "PyTorch")


def sweep(cell: Any, options: argparse.Namespace) -> None:
    """Print the milliseconds of a training step, with one row per size that is varied."""
    base = Workload("", cell, 256, 1, 28, 32, 35)
    print(f"{describe_machine()}; {cell}, median of {options.repetitions}\n")
    print_head("size", "milliseconds", "exponent between the last two")
    results = {}
    for size, values in SWEEPS.items():
        resized: dict[int, Any] = {value: {size: value} for value in values}
        times = {
            value: measure({OURS: ours(base._replace(**sizes))}, options.repetitions)[OURS]
            for value, sizes in resized.items()
        }
        results[size] = times
        (a, b), cell_text = values[-2:], ", ".join(f"{v}: {t:.1f}" for v, t in times.items())
        exponent = np.log(times[b] / times[a]) / np.log(b / a)
        print_row(size, cell_text, f"{exponent:.2f}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def grid(cell: Any, options: argparse.Namespace) -> None:
    """Print the microseconds per time step of training, for all sizes of the grid."""
    sizes = GRID_OF_A_CPU if jax.default_backend() == "cpu" else GRID
    workloads = [
        Workload(f"H {h}, B {b}, T {t}", cell, h, 1, 28, b, t, embedding_size=h)
        for h, b, t in itertools.product(*sizes)
    ]
    steps = options.steps_per_call
    peers = {
        name: functools.partial(TRAIN_STEP[name], steps_per_call=steps) for name in PEERS_IN_GRID
    }
    compare(peers, workloads, options, unit="us", per=lambda w: steps * w.num_steps / 1000)


def main() -> None:
    """Measure and print the table."""
    parser = arguments(__doc__, repetitions=10)
    parser.add_argument("--cell", choices=("rnn", "gru", "lstm"), default="lstm")
    parser.add_argument("--steps-per-call", type=int, default=1, help="steps per compiled call")
    parser.add_argument("--grid", action="store_true", help="all sizes, per time step")
    options = parser.parse_args()
    (grid if options.grid else sweep)(options.cell, options)


if __name__ == "__main__":
    main()
