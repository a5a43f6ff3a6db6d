"""Functions called in a process of their own, which is forked from one that has imported all."""

import pickle
import subprocess
import sys
from pathlib import Path

import preloaded
from subprocesses import ROOT, environment


def begin(path, function, *arguments, **variables):
    """A process that calls a function, under way; both are told each other by a file."""
    with open(path, "wb") as file:
        pickle.dump(sys.path, file)  # which finds the function's module
        pickle.dump((function, arguments), file)
    return preloaded.Process("called", [str(path)], ROOT, environment() | variables)


def end(process, timeout):
    """(exit code, what it complained of); None is the code of one that had to be killed."""
    try:
        _, complained = process.communicate(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None, ""
    return process.returncode, complained


def call(path, function, *arguments, timeout=1800):
    """What a function returns; an AssertionError where its process does not end well."""
    code, complained = end(begin(path, function, *arguments), timeout)
    assert code == 0, complained
    return pickle.loads(Path(path).read_bytes())


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:
        sys.path[:] = pickle.load(file)
        function, arguments = pickle.load(file)
    result = function(*arguments)
    Path(sys.argv[1]).write_bytes(pickle.dumps(result))
