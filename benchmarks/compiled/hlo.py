"""Read from the text of a compiled program what it does.

On a GPU an instruction that is not free is one launch of a kernel.  The TPU's compiler notes how
many cycles it expects each fusion to take.
"""

import functools
import math
import re
from typing import NamedTuple

FREE = {
    "parameter", "get-tuple-element", "tuple", "bitcast", "constant", "after-all", "opt-barrier",
    "optimization-barrier", "partition-id", "replica-id",
}  # fmt: skip
"""Instructions that only name a value."""
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")


class Instruction(NamedTuple):
    """One line of a computation."""

    shape: str
    """The type of the result, without layouts."""
    operation: str
    text: str
    """The operands and attributes."""

    @property
    def is_free(self) -> bool:
        """True if the instruction runs nothing, or only ends one that is counted at its start."""
        return self.operation in FREE or self.operation.endswith("-done")

    @property
    def cycles(self) -> int:
        """The TPU compiler's estimate; 0 where it gives none."""
        found = re.search(r'"estimated_cycles":"(\d+)"', self.text)
        return int(found[1]) if found else 0

    def called(self, role: str) -> str:
        """Return the name of the computation that is this one's `body`, for example."""
        found = re.search(rf"{role}=%?([\w.\-]+)", self.text)
        assert found is not None, f"no {role} in {self.text}"
        return found[1]


class Loop(NamedTuple):
    """A `while` over time."""

    trips: int | None
    """How often it runs; None where that depends on the data."""
    operations: int
    """Those of one iteration."""
    cycles: int
    """Those of one iteration, as the TPU's compiler expects."""

    def per_step(self, num_steps: int) -> float:
        """Return the operations per time step, of which an iteration may take several."""
        assert self.trips is not None
        return self.operations / (num_steps // self.trips)


class Collective(NamedTuple):
    """A message between devices."""

    operation: str
    num_floats: int


class Module:
    """The instructions of a program, by computation."""

    def __init__(self, text: str) -> None:
        self.computations: dict[str, list[Instruction]] = {}
        self.entry = ""
        name = ""
        for line in text.splitlines():
            if head := re.match(r"(ENTRY )?%?([\w.\-]+) .*\{\s*$", line):
                name = head[2]
                self.computations[name] = []
                self.entry = name if head[1] else self.entry
            elif found := re.match(r"\s+(?:ROOT )?%?[\w.\-]+ = (.*)$", line):
                self.computations[name].append(_instruction(found[1]))

    @functools.cached_property
    def loops(self) -> list[Loop]:
        """The loops in the order of the program."""
        return [
            Loop(self._trips(each), *self._totals(each.called("body")))
            for instructions in self.computations.values()
            for each in instructions
            if each.operation == "while"
        ]

    @property
    def operations(self) -> int:
        """How many operations the program runs, those in loops as often as they run."""
        return self._totals(self.entry)[0]

    @property
    def cycles(self) -> int:
        """How many cycles the TPU's compiler expects, loops included."""
        return self._totals(self.entry)[1]

    @property
    def collectives(self) -> list[Collective]:
        """All messages between devices, in the order of the program."""
        return [
            Collective(operation, _num_floats(each.shape, each.operation))
            for instructions in self.computations.values()
            for each in instructions
            if (operation := each.operation.removesuffix("-start")) in COLLECTIVES
        ]

    def _trips(self, loop: Instruction) -> int | None:
        """Return how often a loop runs: a note of the compiler, or what its condition compares."""
        if noted := re.search(r'known_trip_count"?:?\{"?n"?:"?(\d+)', loop.text):
            return int(noted[1])
        constants = (
            re.match(r"constant\((\d+)\)", each.text)
            for each in self.computations[loop.called("condition")]
        )
        return max((int(found[1]) for found in constants if found), default=None)

    def _totals(self, name: str) -> tuple[int, int]:
        """Return the operations and the cycles of a computation."""
        operations = cycles = 0
        for each in self.computations[name]:
            if each.operation == "while":
                inner, inner_cycles = self._totals(each.called("body"))
                trips = self._trips(each) or 1
                operations += trips * inner
                cycles += trips * inner_cycles
            elif each.operation == "call":
                inner, inner_cycles = self._totals(each.called("to_apply"))
                operations += inner
                cycles += inner_cycles
            elif not each.is_free:
                operations += 1
                cycles += each.cycles
        return operations, cycles


def _instruction(text: str) -> Instruction:
    """Split `f32[2]{0} add(...), ...`; the shape may be a tuple of shapes."""
    depth = end = 0
    while depth or text[end] != " ":
        depth += (text[end] in "({[") - (text[end] in ")}]")
        end += 1
    shape, rest = re.sub(r"\{[^}]*\}", "", text[:end]), text[end + 1 :]
    return Instruction(shape, rest.split("(", 1)[0], rest)


def _num_floats(shape: str, operation: str) -> int:
    if operation.endswith("-start") and shape.startswith("(("):  # ((operands), results)
        shape = shape.split("), ", 1)[1]
    sizes = re.findall(r"f32\[([\d,]*)\]", shape)
    return sum(math.prod(map(int, size.split(","))) if size else 1 for size in sizes)
