"""The real commands in processes of their own, as a user starts them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import preloaded

from jaxrnn.runs.metrics import read_metrics

ROOT = Path(__file__).parent.parent
SMALL = [
    "--corpus", "songs", "--max-chars", "2000", "--held-out-chars", "300", "--hidden-size", "16",
    "--batch-size", "4", "--num-steps", "20", "--prompts", "分开", "--sample-length", "7",
]  # fmt: skip
UNOPTIMISED = "JAXRNN_TEST_UNOPTIMISED"
"""The variable that `--matrix` sets to 0."""
STATEFUL = [
    *SMALL, "--windows", "sequential", "--random-offset", "--dropout", "0.2", "--optimizer",
    "adam", "--learning-rate", "0.01", "--sample-every", "1000", "--save-every", "0",
]  # fmt: skip
"""Whatever can be lost matters to such a run; it saves after every call."""


def environment():
    """Unlike that of the tests: one device, programs compiled once a worker.

    With `--matrix` code is optimised as a user's is; otherwise it compiles in half the time.
    """
    programs = {"JAX_COMPILATION_CACHE_DIR": programs_folder()}
    programs |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    flags = {"XLA_FLAGS": compiler_flags(), "JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "default"}
    flags |= {"JAX_DISABLE_MOST_OPTIMIZATIONS": os.environ.get(UNOPTIMISED, "1")}
    flags |= {"PYTHONUNBUFFERED": ""}
    return programs | os.environ | flags


def compiler_flags():
    """Those with which the tests compile fast, without the number of devices."""
    if os.environ.get(UNOPTIMISED) == "0":
        return ""
    flags = os.environ["XLA_FLAGS"].split()
    return " ".join(flag for flag in flags if "device_count" not in flag)


def programs_folder():
    """Where the commands of this worker keep their programs.

    No other worker writes there, because a user would see the warning of one that reads meanwhile.
    """
    return os.path.join(
        os.environ["JAXRNN_TEST_CACHE"], os.environ.get("PYTEST_XDIST_WORKER", "alone")
    )


def module_of(name):
    """Where a command is: in the library, or among the experiments."""
    in_library = (ROOT / "jaxrnn" / "commands" / f"{name}.py").is_file()
    return f"jaxrnn.commands.{name}" if in_library else f"experiments.{name}"


def start(name, *arguments, under=(), stdout=None):
    """`python -m MODULE`, under way; `under` is a command that runs a command."""
    if not under:
        arguments = [str(word) for word in arguments]
        return preloaded.Process(module_of(name), arguments, ROOT, environment(), stdout)
    command = (*under, sys.executable, "-m", module_of(name), *arguments)
    return subprocess.Popen(
        [str(word) for word in command],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, timeout=900):
    """(exit code, what it said, what it complained of)."""
    try:
        said, complained = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process.returncode, said, complained


def train(out, *arguments):
    """A training that ends well; what it said."""
    code, said, complained = finish(start("train", *STATEFUL, "--out", out, *arguments))
    assert code == 0, complained
    return said


def digest(out):
    """Of the last parameters."""
    return json.loads((out / "summary.json").read_text())["params_digest"]


def rows(out):
    """The metrics, but for times."""
    times = ("seconds", "tokens_per_second")
    return [{k: v for k, v in row.items() if k not in times} for row in read_metrics(out)]


def epochs(out):
    """Those of the metrics."""
    return [row["epoch"] for row in rows(out)]
