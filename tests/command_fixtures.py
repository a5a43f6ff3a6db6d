"""The commands in this process, as their modules are run."""

import runpy
import sys

import pytest
from subprocesses import SMALL, module_of


@pytest.fixture
def run(capsys, monkeypatch):
    """(name, arguments) -> (exit code, standard output, standard error) of a command."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        module = module_of(name)
        monkeypatch.delitem(sys.modules, module, raising=False)
        with pytest.raises(SystemExit) as stop:
            runpy.run_module(module, run_name="__main__")
        said = capsys.readouterr()
        return stop.value.code or 0, said.out, said.err

    return run


@pytest.fixture
def small(tmp_path):
    """(folder, its settings) of a run on a corpus of its own."""
    path = tmp_path / "a.txt"
    path.write_text("abcd efgh\nhgfe dcba\n" * 60)
    out = tmp_path / "run"
    return out, [*SMALL, "--corpus", path, "--prompts", "ab", "--max-chars", 700, "--out", out]
