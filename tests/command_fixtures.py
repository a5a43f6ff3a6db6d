"""The commands in this process, as their modules are run."""

import contextlib
import io
import runpy
import shutil
import sys

import pytest
from subprocesses import SMALL, module_of


def exit_code(patch, name, arguments):
    """Run a command as the main module; return its exit code."""
    patch.setattr(sys, "argv", [name, *map(str, arguments)])
    module = module_of(name)
    patch.delitem(sys.modules, module, raising=False)
    with pytest.raises(SystemExit) as stop:
        runpy.run_module(module, run_name="__main__")
    return stop.value.code or 0


@pytest.fixture
def run(capsys, monkeypatch):
    """(name, arguments) -> (exit code, standard output, standard error) of a command."""

    def run(name, *arguments):
        code = exit_code(monkeypatch, name, arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def command(name, *arguments):
    """Run a command as `run` does, for fixtures that several tests share."""
    said, complained = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(complained),
    ):
        code = exit_code(patch, name, arguments)
    return code, said.getvalue(), complained.getvalue()


def settings_in(folder):
    """The settings of a run in this folder, on a corpus of its own."""
    path = folder / "a.txt"
    path.write_text("abcd efgh\nhgfe dcba\n" * 60)
    out = folder / "run"
    return [*SMALL, "--corpus", path, "--prompts", "ab", "--max-chars", 700, "--out", out]


def train_in(folder, *more):
    """Train such a run; return what it wrote to standard error."""
    code, _, complained = command("train", *settings_in(folder), *more)
    assert code == 0, complained
    return complained


def copied(folder, to):
    """Copy such a run; return the folder of the copy, and its settings."""
    return shutil.copytree(folder / "run", to / "run"), settings_in(to)


@pytest.fixture
def small(tmp_path):
    """Return the folder and the settings of a run that has not begun."""
    return tmp_path / "run", settings_in(tmp_path)


@pytest.fixture(scope="session")
def one_epoch(tmp_path_factory):
    """The parent folder and the standard error of a run of one epoch; no test may change it."""
    folder = tmp_path_factory.mktemp("one_epoch")
    # Saved at its end alone, however slow the machine is.
    return folder, train_in(folder, "--epochs", 1, "--save-every", 1000)


@pytest.fixture
def trained_small(one_epoch, tmp_path):
    """The folder and the settings of a copy of that run."""
    return copied(one_epoch[0], tmp_path)
