"""Cost of data parallelism: measured on one device, predicted for many.

    python -m benchmarks.devices

Every device takes the workload's batch, and each step sums the gradients of all devices.  With the
ring algorithm, a device sends and receives 2 (N - 1) / N times the gradient's bytes in 2 (N - 1)
messages.  Communication is assumed not to overlap with computation.  Prints a Markdown table of the
share of time that a device spends computing.

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
    """A link between devices, with its maker's figures."""

    name: str
    bytes_per_second: float
    """Bandwidth of one device, in one direction."""
    latency: float
    """Seconds per message, an assumption."""


LINKS = (
    Link("NVLink 4 (H100), 450 GB/s, 2 us", 450e9, 2e-6),
    Link("TPU v5e ICI, 200 GB/s, 2 us", 200e9, 2e-6),
    Link("InfiniBand NDR, 50 GB/s, 5 us", 50e9, 5e-6),
    Link("Ethernet 10 Gb/s, 1.25 GB/s, 30 us", 1.25e9, 30e-6),
)


def seconds_of_all_reduce(num_bytes: float, num_devices: int, link: Link) -> float:
    """Return the seconds to sum the gradients of one step."""
    rounds = 2 * (num_devices - 1)
    return rounds * (num_bytes / num_devices / link.bytes_per_second + link.latency)


def gradient_bytes(workload: Workload) -> int:
    """Return the bytes of the gradient: one float32 per parameter."""
    model = jax_models.language_model(workload)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), workload.vocab_size))
    return sum(4 * leaf.size for leaf in jax.tree.leaves(shapes))


def main() -> None:
    """Measure one device, and print the table of predictions."""
    options = arguments(__doc__, repetitions=30).parse_args()
    print(f"{describe_machine()}; N = {' and '.join(map(str, NUM_DEVICES))} devices\n")
    print_head("workload", "ms per step", "MB of gradients", *(link.name for link in LINKS))
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
