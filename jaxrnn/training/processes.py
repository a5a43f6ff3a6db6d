"""Runs of several processes, on one machine or on many: each runs the same program, and JAX
connects them.  What they decide from clocks and signals, they have to agree on.
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

HEARTBEAT_SECONDS = 10
"""Without a sign of life for so long, a process counts as dead, and the others stop."""

WAIT_SECONDS = 3600
"""How long processes wait for one that does something alone, a download or a compilation, and whose
heart beats."""

_barriers = itertools.count()


class ConnectionFailedError(ValueError):
    """The processes of a run did not find one another."""


def connect(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    timeout: int = 60,
) -> None:
    """Join the other processes; to be called before anything that asks JAX for its devices.

    Args:
        coordinator: HOST:PORT of process 0; None where JAX finds cluster, number and place of the
            process by itself (SLURM, Open MPI, Cloud TPU, Kubernetes).
        num_processes: of the run.
        process_id: this one's place among them, from 0.
        timeout: seconds to wait for the others.

    Raises:
        ConnectionFailedError: process 0 was not there in time, its port is taken, no cluster could
            be found, or the processes have unlike numbers of devices.  For other processes that do
            not come, JAX itself ends this one, "DEADLINE_EXCEEDED".
    """
    where = coordinator or "the cluster that JAX looks for"
    try:
        if coordinator is not None:  # in either case JAX would be aborted
            if process_id == 0:
                socket.create_server(("", int(coordinator.rpartition(":")[2]))).close()
            else:
                _wait_for_listener(coordinator, timeout)
        # It would take SIGTERM for itself; the processes agree on signals at the end of each call.
        jax.config.update("jax_enable_preemption_service", False)
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            initialization_timeout=timeout,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise ConnectionFailedError(
            f"this process could not join the run at {where} within {timeout} s: {error}"
        ) from error
    devices = Counter(device.process_index for device in jax.devices())
    if len(set(devices.values())) > 1:
        differing = ", ".join(f"{number} in process {i}" for i, number in sorted(devices.items()))
        raise ConnectionFailedError(f"every process must have as many devices: {differing}")


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
    """Whether this process is the one that prints and writes."""
    return jax.process_index() == 0


def max_over_processes(*values: int) -> tuple[int, ...]:
    """The largest of each value over all processes."""
    if jax.process_count() == 1:
        return values
    everywhere = multihost_utils.process_allgather(np.array(values, np.int32))
    return tuple(int(value) for value in everywhere.max(axis=0))


def to_host(array: Any) -> HostArray:
    """All of an array, whichever devices of whichever processes have its parts."""
    if not isinstance(array, jax.Array) or array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


def broadcast_from_first(content: Any) -> Any:
    """What the first process has, all of it JSON."""
    return _gather_json(content)[0] if jax.process_count() > 1 else content


def wait_for_all(what: str) -> None:
    """Until every process has come to this place, whenever that is.

    To be called wherever one may be late: collectives of devices wait half a minute at most for
    those that have not met before.
    """
    if jax.process_count() > 1:
        from orbax.checkpoint import multihost  # a second to import

        wait, key = multihost.get_barrier_sync_fn(), f"{what} ({next(_barriers)})"
        thread = ThreadPoolExecutor(1)  # or Ctrl-C would have to wait, too
        try:
            thread.submit(wait, key=key, timeout_ms=1000 * WAIT_SECONDS).result()
        finally:
            thread.shutdown(wait=False)


def check_alike(content: dict[str, Any]) -> None:
    """Raise, in all processes, unless they all have the same content.

    Raises:
        ValueError: it names what process 0 has and what another one has.
    """
    if jax.process_count() == 1:
        return
    first, *others = map(flat_settings, _gather_json(content))
    for number, other in enumerate(others, 1):
        if different := [name for name in first if first[name] != other.get(name)]:
            differing = "; ".join(
                f"{name}: {first[name]} there, {other[name]} here" for name in different
            )
            raise ValueError(
                f"process {number} (here) is of another run than process 0 (there): {differing}"
            )


def _gather_json(content: Any) -> list[Any]:
    """What each process has."""
    mine = np.frombuffer(json.dumps(content, default=str).encode(), np.uint8)
    (most,) = max_over_processes(len(mine))
    padded = multihost_utils.process_allgather(np.pad(mine, (0, most - len(mine))))
    return [json.loads(row.tobytes().rstrip(b"\0")) for row in padded]
