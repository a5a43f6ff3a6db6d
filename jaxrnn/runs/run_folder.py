"""A run's folder: marked as one, and locked while a run trains there.

The file `jaxrnn.json` does both.  That it is there says that the folder is a run's; whoever trains
there holds a lock on it (`flock`, which the system gives up for a process that dies) and writes
into it which process that is, on which machine, since when.
"""

import contextlib
import datetime
import json
import os
import secrets
import socket
import time
from pathlib import Path
from typing import Any

import jax

from jaxrnn.runs.step_folders import check_name
from jaxrnn.training.processes import (
    broadcast_from_first,
    is_first,
    max_over_processes,
    wait_for_all,
)

MARKER = "jaxrnn.json"

PARTS = (
    "checkpoints",
    "best",
    "damaged",
    "set_aside",
    "metrics.jsonl",
    "summary.json",
    "curve.png",
    "tensorboard",
)
"""What a run writes there."""

STALE_SECONDS = 600
"""After so long without a sign of life, a lock of another machine is not believed."""


class RunFolderError(ValueError):
    """A folder is another run's, or holds what no run wrote."""


class RunFolder:
    """The folder of a run that trains: made, marked and locked; a context manager.

    Of several processes the first one holds the lock; the others learn what it met.
    """

    def __init__(self, folder: Path) -> None:
        """Take the folder.

        Raises:
            RunFolderError: another run trains there, the folder holds files that have the names of
                a run's but is no run's, or it cannot be made or written to.
        """
        self.path = folder
        self._file: int | None = None
        self._last_sign = time.monotonic()
        problem = ""
        try:
            if is_first():
                self._take()
        except (OSError, ValueError) as error:
            problem = str(error)
        if problem := broadcast_from_first(problem):
            raise RunFolderError(problem)

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._write({})
            os.close(self._file)

    def give_sign(self) -> None:
        """Show other machines that this run is alive: to be called every few seconds."""
        if self._file is not None and time.monotonic() - self._last_sign > 1:
            self._last_sign = time.monotonic()
            with contextlib.suppress(OSError):
                os.utime(self._file)

    def _take(self) -> None:
        check_name(self.path.absolute(), read_only=False)
        check_own(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path / MARKER, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o644)
        try:
            locked = _lock(self._file)
            holder = _read_holder(self._file)
            if locked is False or (holder and _is_alive(self._file, holder, locked)):
                raise RunFolderError(f"{self.path} is in use by {_in_words(holder)}")
            now = datetime.datetime.now().isoformat(" ", "seconds")
            self._write({"process": os.getpid(), "host": socket.gethostname(), "since": now})
        except BaseException:
            os.close(self._file)
            self._file = None
            raise

    def _write(self, holder: dict[str, Any]) -> None:
        assert self._file is not None
        content = json.dumps({"what": "the folder of a run of jaxrnn", **holder}) + "\n"
        os.pwrite(self._file, content.encode(), 0)
        os.ftruncate(self._file, len(content.encode()))


def check_shared_folder(folder: Path) -> None:
    """Raise, in all processes, unless they all see the same folder.

    Raises:
        ValueError: it is not shared.
    """
    if jax.process_count() == 1:
        return
    name = broadcast_from_first(secrets.token_hex(8))
    if is_first():
        (folder / name).touch()
    wait_for_all("the file is there")
    (missing,) = max_over_processes(not (folder / name).exists())
    if is_first():
        (folder / name).unlink()
    if missing:
        raise ValueError(f"{folder} must be a folder that all processes share")


def check_own(folder: Path) -> None:
    """Raise unless a folder is a run's, or free of all that a run would write there.

    Raises:
        RunFolderError: it names what is there.
    """
    there = [name for name in PARTS if os.path.lexists(folder / name)]
    if there and not os.path.lexists(folder / MARKER) and not _has_checkpoints(folder):
        raise RunFolderError(
            f"{folder} holds {', '.join(there)}, but no run of jaxrnn: choose another --out"
        )


def check_no_run(folder: Path) -> None:
    """Raise if a folder is a run's.

    Raises:
        RunFolderError: it is.
    """
    if os.path.lexists(folder / MARKER) or _has_checkpoints(folder):
        raise RunFolderError(f"{folder} is the folder of a run: choose another --out")


def _has_checkpoints(folder: Path) -> bool:
    """Whether a run of an older version, which made no marker, has saved there."""
    return any(folder.glob("checkpoints/*/meta/metadata")) or any(
        folder.glob("best/*/meta/metadata")
    )


def _lock(file: int) -> bool | None:
    """Whether the lock could be had; None where the file system, or the system, has none."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


def _read_holder(file: int) -> dict[str, Any]:
    """Who wrote last that it holds the lock; empty where nobody did, or that cannot be read."""
    try:
        content = json.loads(os.pread(file, 4096, 0))
        return content if {"process", "host", "since"} <= content.keys() else {}
    except (ValueError, AttributeError, RecursionError):
        return {}


def _is_alive(file: int, holder: dict[str, Any], locked: bool | None) -> bool:
    """Whether to believe the text: locks of network file systems may be known to one machine alone.

    A process of this machine that has lost its lock is dead.
    """
    if holder["host"] == socket.gethostname():
        return locked is None and _process_exists(holder["process"])
    return time.time() - os.fstat(file).st_mtime < STALE_SECONDS


def _process_exists(process: Any) -> bool:
    try:
        os.kill(int(process), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, OverflowError, TypeError):
        return False
    return True


def _in_words(holder: dict[str, Any]) -> str:
    if not holder:
        return "another process"
    return f"process {holder['process']} on {holder['host']}, since {holder['since']}"
