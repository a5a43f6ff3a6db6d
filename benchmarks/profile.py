"""Time of a training step by XLA operation.

    python -m benchmarks.profile --workload 4

Prints the time of one step's operations, summed over all threads, separately for those in the loops
over time and those over all steps at once; then the slowest operations.  The profiler slows small
operations down, so compare shares, not sums.
"""

import argparse
import collections
import tempfile
from pathlib import Path

import jax

from benchmarks.peers.steps import ours
from benchmarks.timing import describe_machine
from benchmarks.workloads import WORKLOADS, Step
from experiments.shared.tables import print_head, print_row

NOT_OPERATIONS = ("Execute", "Await", "while", "Thunk", "end: ")


def operations(step: Step, repetitions: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return ({operation: milliseconds}, {operation: number of calls}) for one step."""
    step()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(repetitions):
                step()
        (file,) = Path(folder).rglob("*.xplane.pb")
        profile = jax.profiler.ProfileData.from_file(str(file))
    times: dict[str, float] = collections.defaultdict(float)
    counts: dict[str, float] = collections.defaultdict(float)
    for plane in profile.planes:
        for line in plane.lines:
            if line.name == "python":
                continue
            for event in line.events:
                if not any(word in event.name for word in NOT_OPERATIONS):
                    times[event.name] += event.duration_ns / 1e6 / repetitions
                    counts[event.name] += 1 / repetitions
    return times, counts


def main() -> None:
    """Profile one workload and print two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(f"{i} {workload.name}" for i, workload in enumerate(WORKLOADS, 1))
    parser.add_argument("--workload", type=int, default=4, help=names)
    parser.add_argument("--repetitions", type=int, default=20, help="profiled steps")
    parser.add_argument("--top", type=int, default=20, help="operations to list")
    options = parser.parse_args()
    workload = WORKLOADS[options.workload - 1]
    times, counts = operations(ours(workload), options.repetitions)
    shares: dict[tuple[str, str], float] = collections.defaultdict(float)
    for name, time in times.items():
        kind = "products" if "dot" in name or "ynn" in name else "other"
        where = "in the loops" if counts[name] > 1.5 else "over all steps at once"
        shares[where, kind] += time
    print(f"{workload.name}: {describe_machine()}\n")
    print_head("operations", "ms")
    for (where, kind), time in sorted(shares.items()):
        print_row(f"{kind} {where}", f"{time:.2f}")
    print()
    print_head("operation", "ms", "calls")
    for name, time in sorted(times.items(), key=lambda item: -item[1])[: options.top]:
        print_row(name, f"{time:.3f}", f"{counts[name]:.0f}")


if __name__ == "__main__":
    main()
