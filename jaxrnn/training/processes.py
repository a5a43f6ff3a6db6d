"""Runs of several processes, on one machine or on many.

Each process runs the same program, and JAX connects them.  They have to agree on every decision
that depends on clocks or signals.
"""

import itertools
import json
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxrnn.training.config import flat_settings
from jaxrnn.typing import HostArray

HEARTBEAT_SECONDS = 20
"""Seconds without a heartbeat after which a process counts as dead, and the others stop."""

SHUTDOWN_SECONDS = 60
"""Seconds that a process which has ended waits for the others to end, too, before it gives up."""

WAIT_SECONDS = 3600
"""Seconds to wait for a process that is alive but busy, with a download or a compilation."""

_barriers = itertools.count()


class ConnectionFailedError(ValueError):
    """The processes of a run could not connect to one another."""


def connect(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    timeout: int = 60,
) -> None:
    """Join the other processes; call this before anything that asks JAX for its devices.

    Args:
        coordinator: HOST:PORT of process 0; None if JAX detects the cluster, the number of
            processes and this one's id (SLURM, Open MPI, Cloud TPU, Kubernetes).
        num_processes: the number of processes in the run.
        process_id: the index of this process, from 0.
        timeout: seconds to wait for the others.

    Raises:
        ConnectionFailedError: process 0 did not answer in time, its port is taken, no cluster was
            found, or the processes have different numbers of devices.  If other processes do not
            join in time, JAX itself ends this one with "DEADLINE_EXCEEDED".
    """
    where = coordinator or "the cluster that JAX looks for"
    try:
        if coordinator is not None:  # JAX would abort instead of raising
            if process_id == 0:
                socket.create_server(("", int(coordinator.rpartition(":")[2]))).close()
            else:
                _wait_for_listener(coordinator, timeout)
        # It would intercept SIGTERM; instead, processes agree on signals at the end of each call.
        jax.config.update("jax_enable_preemption_service", False)
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            initialization_timeout=timeout,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=SHUTDOWN_SECONDS,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise ConnectionFailedError(
            f"this process could not join the run at {where} within {timeout} s: {error}"
        ) from error
    devices = Counter(device.process_index for device in jax.devices())
    if len(set(devices.values())) > 1:
        differing = ", ".join(f"{number} in process {i}" for i, number in sorted(devices.items()))
        raise ConnectionFailedError(
            f"every process must have the same number of devices: {differing}"
        )


def _wait_for_listener(coordinator: str, timeout: float) -> None:
    host, _, port = coordinator.rpartition(":")
    deadline = time.monotonic() + timeout
    while True:
        try:
            left = max(0.1, deadline - time.monotonic())
            socket.create_connection((host.strip("[]"), int(port)), timeout=left).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def is_first() -> bool:
    """Return whether this process is the one that prints and writes.

    Examples:
        >>> from jaxrnn.training.processes import is_first
        >>> is_first()
        True
    """
    return jax.process_index() == 0


def max_over_processes(*values: int) -> tuple[int, ...]:
    """Return the largest of each value over all processes.

    Examples:
        >>> from jaxrnn.training.processes import max_over_processes
        >>> max_over_processes(3, 5)
        (3, 5)
    """
    if jax.process_count() == 1:
        return values
    everywhere = multihost_utils.process_allgather(np.array(values, np.int32))
    return tuple(int(value) for value in everywhere.max(axis=0))


def to_host(array: Any) -> HostArray:
    """Return a complete array on the host, whichever devices and processes have its parts."""
    if not isinstance(array, jax.Array) or array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


def broadcast_from_first(content: Any) -> Any:
    """Return the first process's content, which must be JSON."""
    return _gather_json(content)[0] if jax.process_count() > 1 else content


def wait_for_all(what: str) -> None:
    """Wait until every process has reached this call.

    Call it wherever a process may be late: the first collective between devices gives up after half
    a minute.
    """
    if jax.process_count() > 1:
        from orbax.checkpoint import multihost  # a second to import

        wait, key = multihost.get_barrier_sync_fn(), f"{what} ({next(_barriers)})"
        thread = ThreadPoolExecutor(1)  # otherwise Ctrl-C would have to wait
        try:
            thread.submit(wait, key=key, timeout_ms=1000 * WAIT_SECONDS).result()
        finally:
            thread.shutdown(wait=False)


def check_alike(content: dict[str, Any]) -> None:
    """Raise in all processes unless they have the same content.

    Raises:
        ValueError: the message names what process 0 and another process have.
    """
    if jax.process_count() == 1:
        return
    first, *others = map(flat_settings, _gather_json(content))
    for number, other in enumerate(others, 1):
        names = {**first, **other}
        if different := [name for name in names if first.get(name) != other.get(name)]:
            differing = "; ".join(
                f"{name}: {first.get(name)} there, {other.get(name)} here" for name in different
            )
            raise ValueError(
                f"process {number} (here) belongs to a different run than process 0 (there):"
                f" {differing}"
            )


def _gather_json(content: Any) -> list[Any]:
    """Return the content of each process."""
    mine = np.frombuffer(json.dumps(content, default=str).encode(), np.uint8)
    (most,) = max_over_processes(len(mine))
    padded = multihost_utils.process_allgather(np.pad(mine, (0, most - len(mine))))
    return [json.loads(row.tobytes().rstrip(b"\0")) for row in padded]
