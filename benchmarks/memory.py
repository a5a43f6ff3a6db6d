"""Peak memory of training on one long sequence, with and without `remat_every`.

    python -m benchmarks.memory --num-steps 100000

An LSTM of 128 units reads T steps of a batch of 4 with 16 features and takes one gradient of a loss
on all its outputs.  Each row is measured in its own process: the temporaries that XLA plans, the
peak of resident memory beyond what the process and its data took before the step, and the time of
the second call.  On a GPU the resident memory is the host's, so only the plan is meaningful.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import time

import jax
import jax.numpy as jnp

import jaxrnn
from experiments.shared.tables import print_head, print_row
from jaxrnn.model_config import CELLS

HIDDEN_SIZE, BATCH_SIZE, INPUT_SIZE = 128, 4, 16


def measure(cell_name: str, num_steps: int, remat_every: int | None) -> dict[str, float]:
    """Return the megabytes and seconds of one gradient."""
    layer = jaxrnn.recurrent(CELLS[cell_name](HIDDEN_SIZE), remat_every=remat_every)
    params = layer.init(jax.random.key(0), INPUT_SIZE)
    inputs = jax.random.normal(jax.random.key(1), (num_steps, BATCH_SIZE, INPUT_SIZE))

    @jax.jit
    def grad(params: jaxrnn.RecurrentParams, inputs: jax.Array) -> jaxrnn.RecurrentParams:
        def loss(params: jaxrnn.RecurrentParams) -> jax.Array:
            outputs, _ = layer.apply(params, inputs, layer.initial_carry(params, BATCH_SIZE))
            return jnp.square(outputs).mean()

        return jax.grad(loss)(params)

    compiled = grad.lower(params, inputs).compile()
    analysis = compiled.memory_analysis()
    planned = math.nan if analysis is None else analysis.temp_size_in_bytes
    before = _peak()
    jax.block_until_ready(compiled(params, inputs))
    began = time.perf_counter()
    jax.block_until_ready(compiled(params, inputs))
    return {
        "planned": planned / 1e6,
        "resident": (_peak() - before) / 1e6,
        "seconds": time.perf_counter() - began,
    }


def _peak() -> float:
    """Return the peak resident memory of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    """Print the table, measuring each row in its own process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--num-steps", type=int, default=100_000, help="T")
    parser.add_argument("--cell", choices=["rnn", "gru", "lstm"], default="lstm")
    parser.add_argument("--remat-every", type=int, help="measure only this value, and print JSON")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.alone or flags.remat_every:
        print(json.dumps(measure(flags.cell, flags.num_steps, flags.remat_every)))
        return
    root = math.isqrt(flags.num_steps)
    print(f"{flags.cell} of {HIDDEN_SIZE} units, B {BATCH_SIZE}, T {flags.num_steps:,},", end=" ")
    print(f"on {jax.devices()[0].device_kind}")
    print_head("remat_every", "temporaries (MB)", "resident (MB)", "time (s)")
    for remat_every in (None, root // 4, root, 4 * root):
        command = [sys.executable, "-m", "benchmarks.memory", "--alone", "--cell", flags.cell]
        command += ["--num-steps", str(flags.num_steps)]
        command += [] if remat_every is None else ["--remat-every", str(remat_every)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        row = json.loads(run.stdout)
        sizes = (f"{row[name]:,.0f}" for name in ("planned", "resident"))
        print_row(remat_every, *sizes, f"{row['seconds']:.2f}")


if __name__ == "__main__":
    main()
