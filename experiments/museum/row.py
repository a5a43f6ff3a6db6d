"""A row of the museum: a published result, and the numbers that were reached here."""

import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxrnn.runs.files import write_json

RESULTS = Path(__file__).parent / "results"
"""The folder of the numbers: a JSON file a row."""


@dataclass(frozen=True)
class Row:
    """A result of the literature, and how it is reproduced here."""

    name: str
    """The name on the command line."""
    task: str
    """The task in a few words."""
    measure: str
    """What the number is, and on what."""
    published: str
    """Published numbers, with their source."""
    bar: float
    """The number that this library should reach in the median of seeds."""
    higher_is_better: bool
    """Whether the number should be at least or at most the bar."""
    recipe: str
    """The network and its training in a line."""
    run: Callable[[int], float]
    """Trains with a seed, and returns the number."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """The seeds of the table."""

    def is_met(self, number: float) -> bool:
        """Return whether a number reaches the bar."""
        return number >= self.bar if self.higher_is_better else number <= self.bar

    def numbers(self) -> dict[int, dict[str, Any]]:
        """Return the numbers so far, by seed."""
        path = RESULTS / f"{self.name}.json"
        if not path.exists():
            return {}
        content = json.loads(path.read_text(encoding="utf-8"))
        return {int(seed): numbers for seed, numbers in content["seeds"].items()}

    def reproduce(self, seed: int) -> float:
        """Train with a seed, and keep the number and the seconds."""
        began = time.perf_counter()
        number = self.run(seed)
        seconds = time.perf_counter() - began
        kept = self.numbers() | {seed: {"number": round(number, 5), "seconds": round(seconds)}}
        RESULTS.mkdir(exist_ok=True)
        content = {"machine": platform.machine(), "seeds": dict(sorted(kept.items()))}
        write_json(RESULTS / f"{self.name}.json", content)
        return number
