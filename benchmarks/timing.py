"""Timing of all benchmarks: interleaved peers in one run, medians, and ratios to ours."""

import argparse
import importlib.metadata
import json
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax

from benchmarks.workloads import Step
from experiments.shared.tables import print_head, print_row

OURS = "jaxrnn"
"""The peer whose times divide those of the others."""
STEPS_PER_TURN = 5
"""Timed steps of a peer before the next peer's turn."""


def arguments(description: str | None, repetitions: int) -> argparse.ArgumentParser:
    """Return a parser with the flags that every benchmark has."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--repetitions", type=int, default=repetitions, help="timed steps of each peer"
    )
    parser.add_argument("--peers", nargs="*", help="only these and ours")
    parser.add_argument("--json", type=Path, help="also write the times to this file")
    return parser


def measure(steps: Mapping[str, Step], repetitions: int) -> dict[str, float]:
    """Return the median milliseconds of each step, interleaved so that drift affects all alike.

    Each round visits the peers in a new random order.  Every turn starts with a pause and an
    untimed step, because PyTorch's threads keep spinning for a while and would take a core from the
    next peer.
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


def compare(
    peers: Mapping[str, Callable[[Any], Step]],
    workloads: Iterable[Any],
    options: argparse.Namespace,
    limit: str | None = None,
    unit: str = "ms",
    per: Callable[[Any], float] = lambda workload: 1,
) -> dict[str, dict[str, float]]:
    """Time all peers on all workloads, print a Markdown table, return {workload: {peer: time}}.

    Args:
        peers: makers of a step by name, including ours.
        workloads: each with a `name`.
        options: parsed flags of `arguments`.
        limit: the peer that is a lower bound; its column shows the share of it that we reach.
        unit: unit of the times.
        per: milliseconds of a workload's step per unit.
    """
    if options.peers is not None:
        peers = {name: peers[name] for name in peers if name in (OURS, limit, *options.peers)}
    print(f"{describe_machine()}; median of {options.repetitions} interleaved, {unit}\n")
    print_head("workload", *peers)
    results: dict[str, dict[str, float]] = {}
    left_out: list[str] = []
    for workload in workloads:
        times = measure(_prepare(peers, workload, left_out), options.repetitions)
        times = {name: time / per(workload) for name, time in times.items()}
        results[workload.name] = times
        print_row(workload.name, *(_cell(name, times, limit) for name in peers))
        if options.json:  # after each row: a run that is cut off keeps what it measured
            table = {"machine": describe_machine(), unit: results}
            options.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    for line in dict.fromkeys(left_out):
        print(line)
    return results


def describe_machine() -> str:
    """Return the machine and the library versions that the numbers belong to."""
    versions = []
    for name in ("jax", "flax", "dm-haiku", "equinox", "keras", "torch"):
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    device = jax.devices()[0]
    return (
        f"{platform.machine()}, {jax.device_count()} x {device.device_kind},"
        f" Python {platform.python_version()}, {', '.join(versions)}"
    )


def _prepare(
    peers: Mapping[str, Callable[[Any], Step]], workload: Any, left_out: list[str]
) -> dict[str, Step]:
    """Make the step of every peer that is installed and supports the workload."""
    steps = {}
    for name, make in peers.items():
        try:
            steps[name] = make(workload)
        except (ImportError, NotImplementedError) as error:
            left_out.append(f"{name} is left out: {error}")
    return steps


def _cell(name: str, times: dict[str, float], limit: str | None) -> str:
    if name not in times:
        return "-"
    if name == limit:
        return f"{times[name]:.1f} (reached: {times[name] / times[OURS]:.2f})"
    return f"{times[name]:.1f} ({times[name] / times[OURS]:.2f})"
