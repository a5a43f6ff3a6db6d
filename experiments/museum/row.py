"""A row of the museum: a published result, and the numbers that were reached here."""

import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxrnn.runs.files import replace_text
from jaxrnn.typing import HostArray

RESULTS = Path(__file__).parent / "results"
"""The folder of the numbers: a JSON file a row."""

Points = list[tuple[float, float]]
"""A curve of a picture: pairs of x and y."""


class Outcome(NamedTuple):
    """The number and the curves that a training gives."""

    number: float
    """The number of the table."""
    curves: dict[str, Points]
    """The curves of the picture, by their names in its legend."""


def curve(ys: Sequence[float] | HostArray, first: float = 1, step: float = 1) -> Points:
    """Return at most fifty points of a curve, the means of as many parts, for x = first, ..."""
    parts = np.array_split(np.asarray(ys, float), min(50, len(ys)))
    xs = np.array_split(first + step * np.arange(len(ys)), len(parts))
    return [
        (round(float(x.mean()), 2), round(float(y.mean()), 4))
        for x, y in zip(xs, parts, strict=True)
    ]


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
    bar: float | None
    """The number that this library should reach in the median of seeds; None for comparison."""
    higher_is_better: bool
    """Whether the number should be at least or at most the bar."""
    recipe: str
    """The network and its training in a line."""
    run: Callable[[int], Outcome]
    """Trains with a seed."""
    picture: str
    """The name of the picture, which several rows may share."""
    axes: tuple[str, str]
    """The labels of its axes."""
    reason: str = ""
    """Why the bar is missed, if it is."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """The seeds of the table."""

    def is_met(self, number: float) -> bool:
        """Return whether a number reaches the bar, if there is one."""
        if self.bar is None:
            return True
        return number >= self.bar if self.higher_is_better else number <= self.bar

    def numbers(self) -> dict[int, dict[str, Any]]:
        """Return the numbers so far, by seed."""
        return {int(seed): numbers for seed, numbers in self._kept()["seeds"].items()}

    def curves(self) -> dict[str, Points]:
        """Return the curves of the first seed."""
        return self._kept()["curves"]

    def _kept(self) -> dict[str, Any]:
        path = RESULTS / f"{self.name}.json"
        if not path.exists():
            return {"seeds": {}, "curves": {}}
        return json.loads(path.read_text(encoding="utf-8"))

    def reproduce(self, seed: int) -> float:
        """Train with a seed; keep the number and the seconds, and the curves of the first seed."""
        began = time.perf_counter()
        number, curves = self.run(seed)
        seconds = time.perf_counter() - began
        kept = self.numbers() | {seed: {"number": round(number, 5), "seconds": round(seconds)}}
        RESULTS.mkdir(exist_ok=True)
        content = {
            "machine": platform.machine(),
            "seeds": dict(sorted(kept.items())),
            "curves": curves if seed == self.seeds[0] else self.curves(),
        }
        lines = (f'  "{key}": {json.dumps(value)}' for key, value in content.items())
        replace_text(RESULTS / f"{self.name}.json", "{\n" + ",\n".join(lines) + "\n}\n")
        return number
