"""`jaxrnn studio`: its flags, its errors in one line, and its end."""

import contextlib
import importlib
import queue
import re
import signal
import socket
import sys
import time
import types
import urllib.request

import preloaded
import pytest
from studio_run import make_run
from subprocesses import environment

import jaxrnn


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    pytest.importorskip("uvicorn")
    return make_run(tmp_path_factory.mktemp("studio") / "a")


def test_a_port_that_is_taken_is_said(run, run_dir):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, said, complained = run("studio", run_dir, "--port", port, "--no-browser")
    assert (code, said) == (2, "")
    assert complained == (
        f"error: port {port} cannot be used (Address already in use): choose another with --port,"
        " or 0 for any that is free\n"
    )


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_out_of_range_is_said(port, run, run_dir):
    code, _, complained = run("studio", run_dir, "--port", port)
    assert (code, complained) == (2, f"error: port must be between 0 and 65,535, got {port}\n")


def test_a_folder_without_a_run_is_said(run, tmp_path):
    code, said, complained = run("studio", tmp_path / "nothing", "--port", 0)
    assert (code, said) == (2, "")
    assert complained == f"error: {tmp_path / 'nothing'} holds no checkpoints\n"


def test_the_browser_is_opened_at_the_address(run_dir, tmp_path):
    """One that the command waits for, as some do; the server answers it nevertheless."""
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(
        f"#!{sys.executable}\nimport pathlib, sys, urllib.request\n"
        f"page = urllib.request.urlopen(sys.argv[1], timeout=60).read()\n"
        f"pathlib.Path({str(seen)!r}).write_bytes(page)\n"
    )
    browser.chmod(0o755)
    variables = environment() | {"BROWSER": f"{browser} %s"}
    arguments = [str(run_dir), "--port", "0"]
    process = preloaded.Process("jaxrnn.commands.studio", arguments, tmp_path, variables)
    deadline = time.monotonic() + 60
    while not (seen.exists() and seen.read_bytes()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert b"jaxrnn studio" in seen.read_bytes()
    process.send_signal(signal.SIGINT)
    said, complained = process.communicate(timeout=60)
    assert (process.returncode, complained) == (0, "")
    first, *others = said.splitlines()
    assert re.fullmatch(rf"studio of {re.escape(str(run_dir))}: http://\S+", first)
    assert others == ["Ctrl-C ends it", "the studio is closed"]


def test_no_browser_is_opened_where_none_is_wanted(run, run_dir, monkeypatch):
    """The server is one that ends as soon as it listens."""
    addresses, opened = iter(["http://first", "http://second"]), queue.SimpleQueue()

    def make_server(run_dir, use, port, listening):
        listening(next(addresses))
        return types.SimpleNamespace(run=lambda sockets: None), contextlib.nullcontext()

    server = importlib.import_module("jaxrnn.studio.server")
    monkeypatch.setattr(server, "make_server", make_server)
    monkeypatch.setattr("webbrowser.open", opened.put)
    assert run("studio", run_dir, "--no-browser")[0] == 0
    assert run("studio", run_dir)[0] == 0
    assert opened.get(timeout=60) == "http://second"
    assert opened.empty()


@pytest.mark.parametrize("package", ["starlette", "uvicorn"])
def test_without_the_extra_the_command_names_it(package, run, run_dir, monkeypatch):
    studio = importlib.import_module("jaxrnn.studio")
    monkeypatch.setattr(jaxrnn, "studio", studio)  # which the second import replaces
    for name in list(sys.modules):
        if name.startswith("jaxrnn.studio") or name.split(".")[0] == package:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    code, _, complained = run("studio", run_dir, "--port", 0)
    assert (code, complained) == (2, "error: the studio needs `pip install 'jaxrnn[studio]'`\n")


@pytest.mark.matrix
def test_ctrl_c_ends_it(run_dir, tmp_path):
    arguments = [str(run_dir), "--port", "0", "--no-browser"]
    process = preloaded.Process("jaxrnn.commands.studio", arguments, tmp_path, environment())
    first = process.stdout.readline()
    address = re.fullmatch(rf"studio of {re.escape(str(run_dir))}: (http://\S+)\n", first)[1]
    with urllib.request.urlopen(address, timeout=30) as answer:
        assert answer.status == 200
    process.send_signal(signal.SIGINT)
    said, complained = process.communicate(timeout=60)
    assert (process.returncode, said, complained) == (
        0, "Ctrl-C ends it\nthe studio is closed\n", "",
    )  # fmt: skip
