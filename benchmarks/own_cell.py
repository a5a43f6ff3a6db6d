"""Custom cells, as written in docs/own_cell.md, timed against the built-in ones.

    python -m benchmarks.own_cell

A training step of a language model, as in `benchmarks.train_step`; ratios of medians in one run.
"""

import argparse
import contextlib
import re
from pathlib import Path
from typing import Any, Literal

from benchmarks.peers.steps import ours
from benchmarks.timing import describe_machine, measure
from benchmarks.workloads import Workload
from experiments.shared.tables import print_head, print_row

PAGE = Path(__file__).parent.parent / "docs" / "own_cell.md"


def cells_of_the_page() -> dict[str, Any]:
    """Return everything that the page's Python defines, by name."""
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(None):
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S):
            exec(block, names)
    return names


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=60, help="timed steps of each cell")
    arguments = parser.parse_args()
    page = cells_of_the_page()
    print(f"{describe_machine()}; median of {arguments.repetitions} interleaved steps, ms\n")
    print_head("workload", "built in", "as a user writes it")
    names: tuple[Literal["lstm", "gru"], ...] = ("lstm", "gru")
    for name in names:
        own = page[f"my_{name}"]
        for size in (128, 256):
            workload = Workload(f"{name} {size}, V 28, B 32, T 35", name, size, 1, 28, 32, 35)
            times = measure(
                {
                    "built in": ours(workload),
                    "own": ours(workload, cell=own(size)),
                },
                arguments.repetitions,
            )
            ratio = times["own"] / times["built in"]
            own_time = f"{times['own']:.1f} ({ratio:.2f})"
            print_row(workload.name, f"{times['built in']:.1f}", own_time)


if __name__ == "__main__":
    main()
