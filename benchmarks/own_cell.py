"""Milliseconds per training step of cells that no library has kernels for.

    python -m benchmarks.own_cell

Six cells (benchmarks/peers/own_cells.py) in language models of one layer over embedded tokens,
trained as in `benchmarks.train_step`: 32 rows of 256 units, where products take most of the time,
and one row of 128, where they do not.  Prints a Markdown table of medians, with the ratio of each
peer's time to ours, and compares the time per gate to that of the built-in LSTM.  "limit" is the
time of the products alone, as in `benchmarks.train_step`, with the share of it that we reach.

    --steps-per-call 16       many steps in one compiled call
    --cells MGU "CIFG LSTM"   only these
"""

import functools
import itertools
from collections.abc import Callable

from benchmarks.peers.own_cells import OWN_CELLS
from benchmarks.peers.steps import TRAIN_STEP
from benchmarks.timing import OURS, arguments, compare
from benchmarks.workloads import Step, Workload

LSTM = "built-in LSTM"
SIZES = ((256, 32), (128, 1))
"""H and B."""


def built_in_lstm(workload: Workload, steps_per_call: int) -> Step:
    """Make our training step of an LSTM of the same sizes."""
    return TRAIN_STEP[OURS](workload._replace(cell="lstm"), steps_per_call=steps_per_call)


PEERS: dict[str, Callable[..., Step]] = {
    OURS: TRAIN_STEP[OURS],
    "limit": TRAIN_STEP["limit"],
    LSTM: built_in_lstm,
    "jaxrnn, scan": TRAIN_STEP["jaxrnn, scan"],
    "Flax nnx": TRAIN_STEP["Flax nnx"],
    "Haiku": TRAIN_STEP["Haiku"],
    "PyTorch loop": TRAIN_STEP["PyTorch"],
    "torch.compile": TRAIN_STEP["torch.compile"],
}


def main() -> None:
    """Measure, and print the table and each cell's time per gate."""
    parser = arguments(__doc__, repetitions=20)
    parser.add_argument("--steps-per-call", type=int, default=1, help="steps per compiled call")
    parser.add_argument(
        "--cells", nargs="*", default=list(OWN_CELLS), choices=list(OWN_CELLS), help="only these"
    )
    options = parser.parse_args()
    steps = options.steps_per_call
    peers = {name: functools.partial(make, steps_per_call=steps) for name, make in PEERS.items()}
    workloads = [
        Workload(f"{name}, H {h}, B {b}", name, h, 1, 28, b, num_steps=35, embedding_size=h)
        for (h, b), name in itertools.product(SIZES, options.cells)
    ]
    results = compare(peers, workloads, options, limit="limit", per=lambda workload: steps)
    print("\nTime per gate over the LSTM's:\n")
    for workload in workloads:
        times, num_gates = results[workload.name], len(OWN_CELLS[workload.cell].gates)
        if LSTM in times:
            per_gate = (times[OURS] / num_gates) / (times[LSTM] / 4)
            print(f"- {workload.name}: {per_gate:.2f}")


if __name__ == "__main__":
    main()
