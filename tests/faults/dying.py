"""The real command in a process that is killed before its n-th change to its folder."""

import itertools
import os
import signal
import sys
from pathlib import Path

from called import begin, end

CHANGES = {
    "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate",
    "os.chmod", "os.utime",
}  # fmt: skip


def train(out, arguments, deadly=None):
    """Train in a process of its own, killed before its n-th change; (exit code, steps saved)."""
    log = Path(out).with_name("log")
    log.write_text("")
    process = begin(log.with_suffix(".call"), _train, str(out), arguments, deadly, log)
    code, _ = end(process, timeout=120)
    return code, [int(step) for step in log.read_text().split()]


def kill_before_change(out, deadly):
    """Kill this process before its n-th change to a folder; None never does."""
    changes = itertools.count(1)

    def watch(event, arguments):
        if _changes(event, arguments, out) and next(changes) == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def _train(out, arguments, deadly, log):
    from jaxrnn.commands import command_line
    from jaxrnn.commands.train import train
    from jaxrnn.runs import Checkpoints
    from jaxrnn.runs.settings import Settings

    file = os.open(log, os.O_WRONLY | os.O_APPEND)

    def save(checkpoints, state, record):
        original(checkpoints, state, record)
        os.write(file, f"{int(state.step)}\n".encode())

    original, Checkpoints.save = Checkpoints.save, save
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    kill_before_change(out, deadly)
    sys.argv = ["train", *arguments, "--out", out]
    command_line.main(train, Settings)


def _changes(event, arguments, out):
    """Return whether an audited event of Python is about to change something below `out`."""
    if event == "open":
        path, _, flags = arguments
        if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return False
    elif event in CHANGES:
        path = arguments[0]
        if event in ("os.remove", "os.rmdir") and arguments[-1] != -1:
            return True  # relative to a folder that is being deleted
    else:
        return False
    return isinstance(path, str | os.PathLike) and os.fspath(path).startswith(out)
