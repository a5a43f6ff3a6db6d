"""The console script: `jaxrnn COMMAND ...`."""

import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import jaxrnn
from jaxrnn import __main__ as console

FOLDER = Path(console.__file__).parent / "commands"


@pytest.fixture
def called(monkeypatch, capsys):
    """(arguments) -> (exit code, standard output, standard error)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["jaxrnn", *arguments])
        with pytest.raises(SystemExit) as stop:
            console.main()
        said = capsys.readouterr()
        return stop.value.code or 0, said.out, said.err

    return call


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_lists_the_commands(arguments, called):
    code, said, complained = called(*arguments)
    assert (code, complained) == (0, "")
    for name, what in console.COMMANDS.items():
        assert f"  {name}" in said
        assert what in said


def test_the_version_is_the_packages(called):
    assert called("--version") == (0, f"jaxrnn {jaxrnn.__version__}\n", "")


def test_an_unknown_command_is_one_line(called):
    names = "train, generate, score, verify, tokenize, studio"
    line = f"error: the command must be one of {names}, got 'fly'\n"
    assert called("fly") == (2, "", line)


@pytest.mark.parametrize("name", console.COMMANDS)
def test_each_command_shows_its_flags_under_its_name(name, called):
    code, said, complained = called(name, "--help")
    assert (code, complained) == (0, "")
    assert said.startswith(f"usage: jaxrnn {name} [-h]")


def test_every_module_with_a_command_line_is_a_command():
    with_main = {p.stem for p in FOLDER.glob("*.py") if "def main() -> NoReturn" in p.read_text()}
    assert with_main == set(console.COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--version"], 0, f"jaxrnn {jaxrnn.__version__}\n"),
        (["verify", "x"], 2, "error: the commands need `pip install 'jaxrnn[commands]'`\n"),
        (["train"], 2, "error: the commands need `pip install 'jaxrnn[commands]'`\n"),
    ],
)
def test_without_the_extra_a_command_names_it(arguments, code, told, called, monkeypatch):
    """The console itself needs none of these packages: see tests/test_layout.py."""
    for name in list(sys.modules):
        if f"{name}.".startswith("jaxrnn.commands."):
            monkeypatch.delitem(sys.modules, name)
    for package in ("tyro", "tqdm", "matplotlib", "tensorboardX", "pooch", "requests"):
        monkeypatch.setitem(sys.modules, package, None)
    found, said, complained = called(*arguments)
    assert (found, said + complained) == (code, told)


def test_the_script_is_installed():
    (script,) = entry_points(group="console_scripts", name="jaxrnn")
    assert script.value == "jaxrnn.__main__:main"
