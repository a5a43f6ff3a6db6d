"""Functions called in a process of their own, which is forked from one that has imported all."""

import pickle
import subprocess
import sys
from pathlib import Path

import preloaded
from subprocesses import ROOT, environment


def begin(path, function, *arguments, **variables):
    """Start a process that reads a function and its arguments from a file, and calls it."""
    with open(path, "wb") as file:
        pickle.dump(sys.path, file)  # which finds the function's module
        pickle.dump((function, arguments), file)
    return preloaded.Process("called", [str(path)], ROOT, environment() | variables)


def end(process, timeout):
    """Wait for a process; return its exit code, None if it had to be killed, and its errors."""
    try:
        _, complained = process.communicate(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None, ""
    return process.returncode, complained


def call(path, function, *arguments, timeout=1800):
    """Call a function in such a process; return its result, or fail with the process's errors."""
    code, complained = end(begin(path, function, *arguments), timeout)
    assert code == 0, complained
    return pickle.loads(Path(path).read_bytes())


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:
        sys.path[:] = pickle.load(file)
        function, arguments = pickle.load(file)
    result = function(*arguments)
    Path(sys.argv[1]).write_bytes(pickle.dumps(result))
