"""A run's folder: marked as one, and locked while a run trains there.

The file `jaxrnn.json` does both.  Its presence marks the folder as a run's.  The process that
trains there holds a lock on it (`flock`, which the system releases when a process dies) and writes
its process id, its machine and its start time into it.
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
"""The files and folders that a run writes."""

STALE_SECONDS = 600
"""A lock held by another machine expires after this long without a sign of life."""


class RunFolderError(ValueError):
    """A folder is in use by another run, or holds files that no run wrote."""


class RunFolder:
    """The folder of a run that trains: created, marked and locked; a context manager.

    With several processes, the first one holds the lock; the others raise the same errors.
    """

    def __init__(self, folder: Path) -> None:
        """Create the folder if need be, and lock it.

        Raises:
            RunFolderError: another run trains there, the folder is not a run's but holds files with
                the names of a run's, or it cannot be created or written to.
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
        """Show other machines that this run is alive; call it every few seconds."""
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
        ValueError: the folder is not shared.
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
    """Raise unless a folder is a run's, or has none of the files that a run would write.

    Raises:
        RunFolderError: it has some; the message names them.
    """
    found = [name for name in PARTS if os.path.lexists(folder / name)]
    if found and not os.path.lexists(folder / MARKER) and not _has_checkpoints(folder):
        raise RunFolderError(
            f"{folder} holds {', '.join(found)}, but is not a jaxrnn run: choose another folder"
        )


def check_no_run(folder: Path) -> None:
    """Raise if a folder is a run's.

    Raises:
        RunFolderError: it is a run's.
    """
    if os.path.lexists(folder / MARKER) or _has_checkpoints(folder):
        raise RunFolderError(
            f"{folder} already holds a run or parameters: choose another folder, or delete it"
        )


def _has_checkpoints(folder: Path) -> bool:
    """Return whether a run of an older version, which wrote no marker, has saved there."""
    return any(folder.glob("checkpoints/*/meta/metadata")) or any(
        folder.glob("best/*/meta/metadata")
    )


def _lock(file: int) -> bool | None:
    """Return whether the lock was free; None if the system or its file system has no locks."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


def _read_holder(file: int) -> dict[str, Any]:
    """Return who last claimed the lock; empty if nobody did or the file is unreadable."""
    try:
        content = json.loads(os.pread(file, 4096, 0))
        return content if {"process", "host", "since"} <= content.keys() else {}
    except (ValueError, AttributeError, RecursionError):
        return {}


def _is_alive(file: int, holder: dict[str, Any], locked: bool | None) -> bool:
    """Return whether the process that claimed the lock is alive.

    A network file system may hide a lock from other machines, so what the file says decides.  A
    process of this machine that has lost its lock is dead.
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
