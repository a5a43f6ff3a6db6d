"""Messages of a process that is one of several: about its flags, and about lost processes."""

import jax
import pytest

from jaxrnn.commands import command_line
from jaxrnn.runs.processes import Processes
from jaxrnn.runs.settings import Settings


@pytest.mark.parametrize(
    ("message", "flags"),
    [
        ("must be given together", {"coordinator": "host:1", "num_processes": 2}),
        ("coordinator must be HOST:PORT, with a port of at most 65,535, got 'host'",
         {"coordinator": "host", "num_processes": 2, "process_id": 0}),
        ("a port of at most 65,535, got 'host:65536'",
         {"coordinator": "host:65536", "num_processes": 2, "process_id": 0}),
        (r"process_id must lie in 0\.\.1, got 2",
         {"coordinator": "host:1", "num_processes": 2, "process_id": 2}),
        ("give one of the two",
         {"distributed": True, "coordinator": "host:1", "num_processes": 2, "process_id": 0}),
        ("connect_seconds must be at least 1, got 0", {"connect_seconds": 0}),
    ],
)  # fmt: skip
def test_flags_that_do_not_fit_together_are_named(message, flags, as_users_run, survived):
    with pytest.raises(ValueError, match=message):
        Processes(**flags)
    survived("bad input", 1)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            "Gloo all-reduce failed: Connection closed by peer",
            "another process of this run is gone",
        ),
        ("RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes.", "Traceback"),
    ],
)
def test_an_end_of_its_own_is_not_laid_to_the_others(error, told, monkeypatch, capsys):
    def run(settings):
        print("said before")
        raise jax.errors.JaxRuntimeError(error)

    def leave(code):
        raise SystemExit(code)

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr("sys.argv", ["train.py"])
    monkeypatch.setattr("os._exit", leave)
    with pytest.raises(SystemExit, match="1"):
        command_line.main(run, Settings)
    said = capsys.readouterr()
    assert said.out == "said before\n"
    assert told in said.err
    assert error in said.err
    assert ("another process" in said.err) == ("another process" in told)
