"""Two processes of two devices each on one machine, connected by JAX."""

import socket

import preloaded
from subprocesses import ROOT, environment, module_of


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_pair(
    module, *arguments, flags=lambda coordinator, process: (), variables=lambda process: {}
):
    """`python -m MODULE` twice; each process is given flags and environment of its own."""
    coordinator = f"127.0.0.1:{free_port()}"
    two_devices = {"JAX_NUM_CPU_DEVICES": "2", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    return [
        preloaded.Process(
            module,
            [str(word) for word in (*arguments, *flags(coordinator, process))],
            ROOT,
            environment() | two_devices | variables(process),
        )
        for process in (0, 1)
    ]


def start_worker(task, *arguments):
    """A task of `parallel.worker`."""
    return start_pair(
        "parallel.worker",
        task,
        *arguments,
        flags=lambda coordinator, process: (coordinator, process),
    )


def start_experiment(name, *arguments, **more):
    """`python -m MODULE`, as docs/scaling.md has it."""

    def flags(coordinator, process):
        where = ("--coordinator", coordinator, "--num-processes", 2)
        return (*where, "--process-id", process)

    return start_pair(module_of(name), *arguments, flags=flags, **more)


def finish(pair, timeout=240):
    """[(exit code, output, errors)] of both; neither is left behind."""
    try:
        said = [process.communicate(timeout=timeout) for process in pair]
    finally:
        for process in pair:
            process.kill()
    return [(process.returncode, *texts) for process, texts in zip(pair, said, strict=True)]
