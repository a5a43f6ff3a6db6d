"""Milliseconds per training step of jaxrnn and its peers, interleaved in one run.

    python -m benchmarks.train_step

Times forward, backward, clipping by the global norm and SGD.  Prints a Markdown table of medians,
with the ratio of each peer's time to ours.  "limit" is the time of the step's matrix products alone
(benchmarks/peers/floor.py), with the share of it that we reach.  A peer that is not installed is
left out, which a line reports.

    --steps-per-call 16       many steps in one compiled call, JAX's best case
    --one-hot                 the 10,000 words as one-hot rows, for peers without an embedding
    --peers "Flax nnx"        only this peer and ours
"""

import functools
import math

from benchmarks.peers.steps import JAX_PEERS, TRAIN_STEP
from benchmarks.timing import OURS, arguments, compare
from benchmarks.workloads import ONE_HOT, WORKLOADS


def main() -> None:
    """Measure, and print the table and the geometric mean over it."""
    parser = arguments(__doc__, repetitions=30)
    parser.add_argument("--workloads", type=int, default=len(WORKLOADS), help="only the first N")
    parser.add_argument("--steps-per-call", type=int, default=1, help="steps per compiled call")
    parser.add_argument("--one-hot", action="store_true", help="only the one-hot workload")
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
