"""Bounds that compiled programs must keep to.

They are a few per cent above what was found.  Other versions of XLA differ in little things; a
gather or a copy in each time step, or rows that are sent from device to device, do not pass.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.compiled.hlo import Collective
from benchmarks.compiled.targets import Target
from benchmarks.workloads import WORKLOADS, Workload

RNN, _, GRU, LSTM, WORDS = (workload.name for workload in WORKLOADS)

LAUNCHES = {RNN: 225, GRU: 270, LSTM: 480, WORDS: 325}
"""The most launches of a training step on a GPU."""
CYCLES = {
    "v5e": {RNN: 0.75, GRU: 0.65, LSTM: 0.78, WORDS: 0.90},
    "v5p": {RNN: 0.78, GRU: 0.40, LSTM: 0.52, WORDS: 0.60},
}
"""The most cycles that a TPU's compiler expects of a training step, as a part of Flax's."""
MEMORY = 1.25
"""The most peak memory of a training step, as a part of Flax's."""
MESSAGES = 3
"""The most messages of a training step on eight devices."""
PER_STEP = {
    "tpu": {"rnn": (4.4, 5.5), "gru": (4.4, 5.5), "lstm": (5.5, 7.5)},
    "cuda": {"rnn": (2.6, 2.4), "gru": (2.6, 3.7), "lstm": (2.8, 2.8)},
}
"""The most operations per time step of a layer's two loops, forward and backward."""
PER_TOKEN = {
    "tpu": {RNN: 50, GRU: 65, LSTM: 73, WORDS: 58},
    "cuda": {RNN: 14, GRU: 13, LSTM: 16, WORDS: 21},
}
"""The most operations per generated token."""


def of_training_step(target: Target, workload: Workload, ours: Any, flax: Any) -> Iterator[str]:
    """Yield the bounds that a training step on one device breaks."""
    where = f"a training step of {workload.name} on {target.name}"
    if ours.module.collectives:
        yield f"{where} sends messages, though there is one device"
    work, its = ours.work(target), flax.work(target)
    if target.platform == "cuda":
        yield from _above(f"{where}: launches", work, LAUNCHES[workload.name])
    else:
        most = CYCLES[target.name][workload.name]
        yield from _above(f"{where}: cycles, as a part of Flax's", work / its, most)
    relative = ours.megabytes / flax.megabytes
    yield from _above(f"{where}: peak memory, as a part of Flax's", relative, MEMORY)


def of_messages(
    target: Target, workload: Workload, sent: Sequence[Collective], num_params: int
) -> Iterator[str]:
    """Yield the bounds that a training step on eight devices breaks."""
    where = f"a training step of {workload.name} on 8 x {target.name}"
    kinds = sorted({each.operation for each in sent})
    if kinds != ["all-reduce"]:
        yield f"{where} sends {', '.join(kinds)}, not only all-reduce"
    yield from _above(f"{where}: messages", len(sent), MESSAGES)
    floats = sum(each.num_floats for each in sent)
    if not num_params <= floats <= num_params + 8:
        yield f"{where} sends {floats:,} floats for {num_params:,} parameters"


def of_loops(target: Target, name: str, found: Sequence[float]) -> Iterator[str]:
    """Yield the bounds that the loops of a layer break."""
    if len(found) != 2:
        yield f"a layer of {name} on {target.name} has {len(found)} loops, not 2"
    most = PER_STEP[target.platform].get(name)  # a step cell is JAX's to differentiate
    if most is not None and len(found) == 2:
        for way, operations, limit in zip(("forward", "backward"), found, most, strict=True):
            where = f"a layer of {name} on {target.name}, {way}: operations per time step"
            yield from _above(where, operations, limit)


def of_generation(target: Target, workload: Workload, operations: int) -> Iterator[str]:
    """Yield the bounds that generation breaks."""
    where = f"generation with {workload.name} on {target.name}: operations per token"
    yield from _above(where, operations, PER_TOKEN[target.platform][workload.name])


def _above(what: str, value: float, most: float) -> Iterator[str]:
    if value > most:
        yield f"{what} {value:.5g}, at most {most:.5g}"
