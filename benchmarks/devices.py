"""What data parallelism costs: a training step measured on one device, many devices predicted.

    python -m benchmarks.devices

Every device takes the workload's batch, and each step adds up the gradients of all: by the ring
algorithm a device sends, and receives, 2 (N - 1) / N times the gradient's bytes in 2 (N - 1)
messages.  Nothing is assumed to overlap.  Prints a Markdown table: the part of its time that a
device computes.

Reference: Patarasuk and Yuan, Bandwidth optimal all-reduce algorithms for clusters of workstations,
    2009.
"""

from typing import NamedTuple

import jax

from benchmarks.peers import jax_models
from benchmarks.peers.steps import ours
from benchmarks.timing import OURS, arguments, describe_machine, measure
from benchmarks.workloads import WORKLOADS, Workload
from experiments.shared.tables import print_head, print_row

STEPS_PER_CALL = 16
NUM_DEVICES = (8, 64)


class Link(NamedTuple):
    """What joins the devices; figures of the makers."""

    name: str
    bytes_per_second: float
    """Of one device, in one direction."""
    latency: float
    """Seconds of a message, an assumption."""


LINKS = (
    Link("NVLink 4 (H100), 450 GB/s, 2 us", 450e9, 2e-6),
    Link("TPU v5e ICI, 200 GB/s, 2 us", 200e9, 2e-6),
    Link("InfiniBand NDR, 50 GB/s, 5 us", 50e9, 5e-6),
    Link("Ethernet 10 Gb/s, 1.25 GB/s, 30 us", 1.25e9, 30e-6),
)


def seconds_of_all_reduce(num_bytes: float, num_devices: int, link: Link) -> float:
    """Of the gradients of one step."""
    rounds = 2 * (num_devices - 1)
    return rounds * (num_bytes / num_devices / link.bytes_per_second + link.latency)


def gradient_bytes(workload: Workload) -> int:
    """Float32, as many as parameters."""
    model = jax_models.language_model(workload)
    form = jax.eval_shape(lambda: model.init(jax.random.key(0), workload.vocab_size))
    return sum(4 * leaf.size for leaf in jax.tree.leaves(form))


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, repetitions=30).parse_args()
    print(f"{describe_machine()}; N = {' and '.join(map(str, NUM_DEVICES))} devices\n")
    print_head("workload", "ms a step", "MB of gradients", *(link.name for link in LINKS))
    for workload in WORKLOADS:
        step = {OURS: ours(workload, STEPS_PER_CALL)}
        seconds = measure(step, options.repetitions)[OURS] / STEPS_PER_CALL / 1000
        num_bytes = gradient_bytes(workload)
        cells = [
            ", ".join(
                f"{seconds / (seconds + seconds_of_all_reduce(num_bytes, n, link)):.1%}"
                for n in NUM_DEVICES
            )
            for link in LINKS
        ]
        print_row(workload.name, f"{1000 * seconds:.1f}", f"{num_bytes / 1e6:.2f}", *cells)


if __name__ == "__main__":
    main()
