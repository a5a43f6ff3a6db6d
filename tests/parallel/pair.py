"""Two processes of two devices each on one machine, connected by JAX."""

import socket
import subprocess
import sys

from subprocesses import ROOT, environment, module_of


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_pair(*command, flags=lambda coordinator, process: (), variables=lambda process: {}):
    """The same command twice; each process is given flags and environment of its own."""
    coordinator = f"127.0.0.1:{free_port()}"
    return [
        subprocess.Popen(
            [str(word) for word in (*command, *flags(coordinator, process))],
            cwd=ROOT,
            env=environment() | {"JAX_NUM_CPU_DEVICES": "2"} | variables(process),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for process in (0, 1)
    ]


def start_worker(task, *arguments):
    """A task of `parallel.worker`."""
    variables = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "PYTHONPATH": str(ROOT / "tests")}
    return start_pair(
        *(sys.executable, "-m", "parallel.worker", task, *arguments),
        flags=lambda coordinator, process: (coordinator, process),
        variables=lambda process: variables,
    )


def start_experiment(name, *arguments, **more):
    """`python -m MODULE`, as docs/scaling.md has it."""

    def flags(coordinator, process):
        where = ("--coordinator", coordinator, "--num-processes", 2)
        return (*where, "--process-id", process)

    return start_pair(sys.executable, "-m", module_of(name), *arguments, flags=flags, **more)


def finish(pair, timeout=240):
    """[(exit code, output, errors)] of both; neither is left behind."""
    try:
        said = [process.communicate(timeout=timeout) for process in pair]
    finally:
        for process in pair:
            process.kill()
    return [(process.returncode, *texts) for process, texts in zip(pair, said, strict=True)]
