"""Flags for a run of several processes, on one machine or on many."""

import os
import re
from dataclasses import dataclass

from jaxrnn.checks import check_positive_integer
from jaxrnn.training.processes import connect, is_first


@dataclass(frozen=True)
class Processes:
    """The flags by which the processes of a run find one another; by default there is only one."""

    distributed: bool = False
    """Join the processes that a cluster has started, one per GPU.  JAX finds them under SLURM, Open
    MPI and Kubernetes, and on Cloud TPU."""
    coordinator: str | None = None
    """Without such a cluster: HOST:PORT of process 0, the same for all processes."""
    num_processes: int | None = None
    """With --coordinator: the number of processes."""
    process_id: int | None = None
    """With --coordinator: the number of this process, counted from 0."""
    connect_seconds: int = 60
    """Seconds to wait for the other processes."""

    def __post_init__(self) -> None:
        explicit = (self.coordinator, self.num_processes, self.process_id)
        if any(part is not None for part in explicit) and None in explicit:
            raise ValueError("coordinator, num_processes and process_id must be given together")
        if self.distributed and self.coordinator is not None:
            raise ValueError("distributed finds the coordinator on its own: give one of the two")
        check_positive_integer("connect_seconds", self.connect_seconds, 86_400)
        if self.coordinator is not None:
            found = re.fullmatch(r".+:(\d{1,5})", self.coordinator, re.ASCII)
            if found is None or int(found[1]) > 65_535:
                raise ValueError(
                    "coordinator must be HOST:PORT, with a port of at most 65,535, got"
                    f" {self.coordinator!r}"
                )
        if self.num_processes is not None and self.process_id is not None:
            check_positive_integer("num_processes", self.num_processes)
            if not 0 <= self.process_id < self.num_processes:
                raise ValueError(
                    f"process_id must lie in 0..{self.num_processes - 1}, got {self.process_id}"
                )

    def join(self) -> None:
        """Join the other processes, if any; from then on only the first one prints."""
        if not (self.distributed or self.coordinator):
            return
        if self.process_id == 0:
            print(f"waiting up to {self.connect_seconds} s for the other processes", flush=True)
        connect(self.coordinator, self.num_processes, self.process_id, timeout=self.connect_seconds)
        if not is_first():
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # also what JAX's own libraries print
