"""Published results, reproduced: lists the rows of the museum, and runs them.

    python -m experiments.museum                       lists the rows
    python -m experiments.museum vowels --seed 1       one row, one seed
    python -m experiments.museum all                   what is missing: hours

The numbers go to experiments/museum/results, and the table to docs/museum.md.
"""

from dataclasses import dataclass
from typing import Annotated

import tyro

from experiments.museum import page
from experiments.museum.rows import ROWS
from experiments.shared.tables import print_head, print_row
from jaxrnn.checks import check_seed
from jaxrnn.commands import command_line


@dataclass(frozen=True)
class Settings:
    """The flags of `python -m experiments.museum`."""

    row: Annotated[str, tyro.conf.Positional] = ""
    """A row by name, or "all" for what is missing; nothing lists them."""
    seed: int | None = None
    """One seed; by default those of the table that are missing."""

    def __post_init__(self) -> None:
        if self.row not in ("", "all", *ROWS):
            raise ValueError(f"row must be all or one of {', '.join(ROWS)}, got {self.row}")
        if self.seed is not None:
            check_seed("seed", self.seed)


def museum(settings: Settings) -> None:
    """List the rows, or run some of them and write the page anew."""
    if not settings.row:
        print_head("row", "task", "seeds here", "seconds a seed")
        for row in ROWS.values():
            numbers = row.numbers()
            seconds = max((each["seconds"] for each in numbers.values()), default="")
            print_row(row.name, row.task, f"{len(numbers)} of {len(row.seeds)}", seconds)
        return
    for row in ROWS.values() if settings.row == "all" else [ROWS[settings.row]]:
        missing = [seed for seed in row.seeds if seed not in row.numbers()]
        for seed in missing if settings.seed is None else [settings.seed]:
            print(f"{row.name}, seed {seed}: {row.recipe}", flush=True)
            number = row.reproduce(seed)
            met = "reached" if row.is_met(number) else "missed"
            verdict = "for comparison" if row.bar is None else f"bar {row.bar:g} {met}"
            print(f"{row.name}, seed {seed}: {row.measure} {number:.4f}, {verdict}")
            page.write()


if __name__ == "__main__":
    command_line.main(museum, Settings, description=__doc__)
