"""Milliseconds per forward pass, from tokens to logits, of jaxrnn and its peers.

    python -m benchmarks.forward

Prints a Markdown table of medians, with the ratio of each peer's time to ours.
"""

from benchmarks.peers.steps import FORWARD
from benchmarks.timing import arguments, compare
from benchmarks.workloads import WORKLOADS


def main() -> None:
    """Measure and print the table."""
    parser = arguments(__doc__, repetitions=50)
    parser.add_argument("--workloads", type=int, default=len(WORKLOADS), help="only the first N")
    options = parser.parse_args()
    compare(FORWARD, WORKLOADS[: options.workloads], options)


if __name__ == "__main__":
    main()
