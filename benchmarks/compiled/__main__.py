r"""Compile our programs and Flax's for GPUs and TPUs without one, and count what they do.

    python -m benchmarks.compiled                       all targets; five minutes on two cores
    python -m benchmarks.compiled --targets H100 v5e    only these
    python -m benchmarks.compiled --check               exit with 1 where a bound is broken

Prints the Markdown tables of docs/compiled.md.  On GPUs it counts operations, each of which is a
launch of a kernel; for TPUs it adds up the cycles that the compiler expects.  Neither is a
measurement.  Needs the compilers, for which an environment of its own is best:

    pip install -e . 'jax[tpu]==0.10.2' jax-cuda12-plugin==0.10.2 jax-cuda12-pjrt==0.10.2 \
        nvidia-cuda-nvcc-cu12 flax==0.12.8
"""

import argparse
import functools
import sys
import time
import unittest.mock
from collections.abc import Iterable
from typing import Any, NamedTuple

from benchmarks.compiled.targets import TARGETS, Target  # first, as it sets what JAX reads

# isort: split
import jax

import jaxrnn
from benchmarks.compiled import bounds, programs
from benchmarks.compiled.hlo import Module
from benchmarks.compiled.programs import Program
from benchmarks.peers import jax_models
from benchmarks.workloads import WORKLOADS, Workload
from experiments.shared.tables import print_head, print_row

CELLS = {
    "rnn": jaxrnn.rnn(programs.SIZES.hidden_size),
    "gru": jaxrnn.gru(programs.SIZES.hidden_size),
    "lstm": jaxrnn.lstm(programs.SIZES.hidden_size),
    "gru, reset before": jaxrnn.gru(programs.SIZES.hidden_size, reset_after=False),
}
STEPS = tuple(workload for workload in WORKLOADS if workload.hidden_size != 512)
"""The workloads whose training steps are compiled."""


class Compiled(NamedTuple):
    """A program for a target."""

    module: Module
    megabytes: float
    """Its peak memory on each device."""
    seconds: float
    """That the compiler took."""

    def work(self, target: Target) -> float:
        """Return launches on a GPU, thousands of expected cycles on a TPU."""
        return self.module.operations if target.platform == "cuda" else self.module.cycles / 1000


def compile_for(target: Target, program: Program) -> Compiled:
    """Compile a program for a target."""
    jax.clear_caches()  # of what was traced for another target
    backend = "gpu" if target.platform == "cuda" else target.platform
    with unittest.mock.patch.object(jax, "default_backend", return_value=backend):
        lowered = jax.jit(program.function, **program.options).lower(*program.arguments)
    began = time.perf_counter()
    compiled = lowered.compile(compiler_options=target.compiler_options)
    seconds = time.perf_counter() - began
    analysis: Any = compiled.memory_analysis()
    return Compiled(Module(compiled.as_text() or ""), analysis.peak_memory_in_bytes / 1e6, seconds)


def training_steps(targets: Iterable[Target]) -> Iterable[str]:
    """Print training steps on one device; yield the bounds that they break."""
    print_head(
        "target", "training step", "launches or kcycles", "Flax nnx", "peak memory, MB", "Flax nnx",
        "compilation, s", "Flax nnx",
    )  # fmt: skip
    for target in targets:
        mesh = target.mesh(1)
        for workload in STEPS:
            ours = compile_for(target, programs.train_step(workload, mesh))
            flax = compile_for(target, programs.flax_train_step(workload, mesh))
            mine, theirs = ours.work(target), flax.work(target)
            print_row(
                target.name, workload.name, f"{mine:,.0f} ({mine / theirs:.2f})", f"{theirs:,.0f}",
                f"{ours.megabytes:.1f}", f"{flax.megabytes:.1f}",
                f"{ours.seconds:.1f}", f"{flax.seconds:.1f}",
            )  # fmt: skip
            yield from bounds.of_training_step(target, workload, ours, flax)


def on_eight_devices(targets: Iterable[Target]) -> Iterable[str]:
    """Print what eight devices send one another in a training step; yield broken bounds."""
    print_head("target", "training step", "messages", "floats", "parameters", "peak memory, MB")
    for target in targets:
        mesh = target.mesh(8)
        for workload in STEPS:
            ours = compile_for(target, programs.train_step(workload, mesh))
            sent = ours.module.collectives
            print_row(
                target.name, workload.name, ", ".join(each.operation for each in sent),
                f"{sum(each.num_floats for each in sent):,}", f"{num_params(workload):,}",
                f"{ours.megabytes:.1f}",
            )  # fmt: skip
            yield from bounds.of_messages(target, workload, sent, num_params(workload))


def loops(targets: Iterable[Target]) -> Iterable[str]:
    """Print the operations per time step of a layer's two loops; yield broken bounds."""
    print_head("target", "layer", "forward", "backward", "Flax nnx, forward", "backward")
    for target in targets:
        mesh = target.mesh(1)
        for name, cell in CELLS.items():
            found = per_step(compile_for(target, programs.gradient(cell, mesh)))
            row = [f"{operations:.1f}" for operations in found]
            if name in ("rnn", "gru", "lstm"):
                flax = per_step(compile_for(target, programs.flax_gradient(name, mesh)))
                row += [f"{operations:.1f}" for operations in flax]
            else:
                row += ["-", "-"]
            print_row(target.name, name, *row)
            yield from bounds.of_loops(target, name, found)


def generations(targets: Iterable[Target]) -> Iterable[str]:
    """Print the operations per generated token; yield broken bounds."""
    print_head("target", "generation", "operations per token", "peak memory, MB")
    for target in targets:
        for workload in STEPS:
            ours = compile_for(target, programs.generation(workload, target.mesh(1)))
            operations = per_token(ours)
            print_row(target.name, workload.name, operations, f"{ours.megabytes:.1f}")
            yield from bounds.of_generation(target, workload, operations)


def per_step(compiled: Compiled) -> list[float]:
    """Return the operations per time step of each loop, in the order of the program."""
    return [loop.per_step(programs.SIZES.num_steps) for loop in compiled.module.loops]


def per_token(compiled: Compiled) -> int:
    """Return the operations of the loop over tokens, which may end before the last one."""
    of_tokens = max(compiled.module.loops, key=lambda loop: loop.trips or programs.NUM_TOKENS)
    return of_tokens.operations


@functools.cache
def num_params(workload: Workload) -> int:
    """Return the number of parameters of a workload's model."""
    model = jax_models.language_model(workload)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), workload.vocab_size))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


TABLES = {
    "steps": training_steps,
    "devices": on_eight_devices,
    "loops": loops,
    "generation": generations,
}


def main() -> int:
    """Print the tables; return 1 if bounds are to be checked and one is broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--targets", nargs="*", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--tables", nargs="*", choices=TABLES, default=list(TABLES))
    parser.add_argument("--check", action="store_true", help="exit with 1 where a bound is broken")
    options = parser.parse_args()
    print(f"jax {jax.__version__}")
    broken = []
    for name in options.tables:
        print()
        broken += list(TABLES[name]([TARGETS[target] for target in options.targets]))
    print("\nAll bounds hold." if not broken else "")
    for line in broken:
        print(f"broken: {line}")
    return int(options.check and bool(broken))


if __name__ == "__main__":
    sys.exit(main())
