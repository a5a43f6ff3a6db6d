"""Milliseconds per training step of jaxrnn and its peers, interleaved in one run.

    python -m benchmarks.train_step

Prints a Markdown table of medians, and of each peer's time over ours.  A peer that is not installed
is left out with a line: `pip install dm-haiku`, and PyTorch as its site says.
"""

import argparse
import importlib.metadata
import platform
import random
import statistics
import time
from collections.abc import Callable

import jax

from benchmarks.peers import PEERS
from benchmarks.workloads import WORKLOADS, Workload

STEPS_PER_TURN = 5


def measure(steps: dict[str, Callable[[], None]], repetitions: int) -> dict[str, float]:
    """The median milliseconds of each step; the peers take turns, so that drift meets all alike.

    Their order is drawn anew each time, before each turn is a pause, and its first step is not
    counted: PyTorch's threads go on spinning for a while, and take a core from whoever comes next.
    """
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()  # compiles
    order, shuffle = list(steps), random.Random(0).shuffle
    for _ in range(-(-repetitions // STEPS_PER_TURN)):
        shuffle(order)
        for name in order:
            step = steps[name]
            time.sleep(0.1)
            step()
            for _ in range(STEPS_PER_TURN):
                began = time.perf_counter()
                step()
                times[name].append(1000 * (time.perf_counter() - began))
    return {name: statistics.median(values) for name, values in times.items()}


def prepare(workload: Workload) -> dict[str, Callable[[], None]]:
    """The step of every peer that is installed."""
    steps = {}
    for name, make in PEERS.items():
        try:
            steps[name] = make(workload)
        except ImportError as error:
            print(f"{name} is left out: {error}")
    return steps


def describe_machine() -> str:
    """The machine and the versions that the numbers are of."""
    names = ("jax", "flax", "dm-haiku", "torch")
    versions = []
    for name in names:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    device = jax.devices()[0]
    return (
        f"{platform.machine()}, {jax.device_count()} x {device.device_kind},"
        f" Python {platform.python_version()}, {', '.join(versions)}"
    )


def main() -> None:
    """Measure all workloads and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=30, help="timed steps of each peer")
    parser.add_argument("--workloads", type=int, default=len(WORKLOADS), help="only the first N")
    arguments = parser.parse_args()
    print(f"{describe_machine()}; median of {arguments.repetitions} interleaved steps, ms\n")
    names = list(PEERS)
    print("| workload | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for workload in WORKLOADS[: arguments.workloads]:
        times = measure(prepare(workload), arguments.repetitions)
        cells = [
            f"{times[name]:.1f} ({times[name] / times['jaxrnn']:.2f})" if name in times else "-"
            for name in names
        ]
        print(f"| {workload.name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
