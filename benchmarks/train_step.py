"""Milliseconds per training step of jaxrnn and its peers, interleaved in one run.

    python -m benchmarks.train_step

Forward, backward, clipping by the global norm and SGD.  Prints a Markdown table of medians, and of
each peer's time over ours; "limit" is the step's own matrix products alone, and what part of it we
reach (benchmarks/peers/floor.py).  A peer that is not installed is left out with a line.

    --steps-per-call 16       as well as JAX can be used: many steps in one compiled call
    --one-hot                 the 10,000 words as one-hot rows, as those need it that cannot embed
    --peers "Flax nnx"        only this peer, and ours
"""

import functools
import math

from benchmarks.peers.steps import JAX_PEERS, TRAIN_STEP
from benchmarks.timing import OURS, arguments, compare
from benchmarks.workloads import ONE_HOT, WORKLOADS


def main() -> None:
    """Measure and print the table, and the geometric mean over it."""
    parser = arguments(__doc__, repetitions=30)
    parser.add_argument("--workloads", type=int, default=len(WORKLOADS), help="only the first N")
    parser.add_argument("--steps-per-call", type=int, default=1, help="steps in a compiled call")
    parser.add_argument("--one-hot", action="store_true", help="the one-hot workload alone")
    options = parser.parse_args()
    workloads = [ONE_HOT] if options.one_hot else WORKLOADS[: options.workloads]
    peers = {
        name: functools.partial(make, steps_per_call=options.steps_per_call)
        for name, make in TRAIN_STEP.items()
    }
    steps = options.steps_per_call
    results = compare(peers, workloads, options, limit="limit", per=lambda workload: steps)
    best = [
        min(times[name] for name in JAX_PEERS if name in times) / times[OURS]
        for times in results.values()
        if set(JAX_PEERS) & set(times)
    ]
    if best:
        print(
            f"\nbest JAX peer over ours, geometric mean: {math.prod(best) ** (1 / len(best)):.2f}"
        )


if __name__ == "__main__":
    main()
