"""A run's folder is its own: one run at a time, and nothing that no run wrote."""

import json
import os
import signal
import socket
import sys
import time

import pytest
from called import begin
from faults.runs import make_record, make_state
from subprocesses import STATEFUL, finish, start, train

import jaxrnn
from jaxrnn.runs import Checkpoints
from jaxrnn.runs.run_folder import MARKER, STALE_SECONDS, RunFolder, RunFolderError

pytestmark = pytest.mark.usefixtures("only_compiled_programs")


def content_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.02)


def test_a_second_process_is_refused_and_the_first_one_goes_on(tmp_path, run, survived):
    out = tmp_path / "run"
    process = start("train", *STATEFUL, "--out", out, "--epochs", 100_000)
    wait_for(out / "metrics.jsonl", process)
    code, said, complained = run("train", *STATEFUL, "--out", out, "--resume")
    assert code == 2
    host = socket.gethostname()
    assert f"is in use by process {process.pid} on {host}, since 20" in complained
    assert complained.count("\n") == 1
    assert "epoch" not in said
    assert jaxrnn.load_run(out, "checkpoints").vocabulary, "a reader needs no lock"
    process.send_signal(signal.SIGINT)
    code, said, complained = finish(process)
    assert code == 128 + signal.SIGINT
    assert "stopped and saved" in said
    assert "Traceback" not in complained
    with Checkpoints(out, read_only=True) as checkpoints:
        checkpoints.open(checkpoints.steps()[0]).verify()
    survived("two processes in one folder", 2)


def hold(folder):
    with RunFolder(folder):
        time.sleep(60)


def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path, survived):
    folder = tmp_path / "run"
    process = begin(tmp_path / "call", hold, folder)
    wait_for(folder / MARKER, process)
    while '"process"' not in (folder / MARKER).read_text():
        time.sleep(0.02)
    with pytest.raises(RunFolderError, match=f"in use by process {process.pid} on "):
        RunFolder(folder)
    process.kill()
    finish(process)
    with RunFolder(folder):
        assert json.loads((folder / MARKER).read_text())["process"] == os.getpid()
    survived("two processes in one folder", 1)


def write_holder(folder, **changes):
    holder = {"process": os.getpid(), "host": socket.gethostname(), "since": "2026-11-28 12:00:00"}
    (folder / MARKER).write_text(json.dumps(holder | changes))


@pytest.mark.parametrize(
    ("age", "refused"), [(0, True), (STALE_SECONDS - 60, True), (STALE_SECONDS + 60, False)]
)
def test_of_another_machine_the_text_decides_as_long_as_it_gives_signs(
    tmp_path, age, refused, survived
):
    """Locks of network file systems may be known to one machine alone."""
    write_holder(tmp_path, process=7, host="elsewhere")
    then = time.time() - age
    os.utime(tmp_path / MARKER, (then, then))
    if refused:
        with pytest.raises(RunFolderError, match="in use by process 7 on elsewhere, since 2026-11"):
            RunFolder(tmp_path)
    else:
        RunFolder(tmp_path).__exit__()
    survived("two processes in one folder", 1)


def test_a_run_gives_signs(tmp_path, monkeypatch):
    with RunFolder(tmp_path) as folder:
        os.utime(tmp_path / MARKER, (0, 0))
        folder.give_sign()
        assert os.stat(tmp_path / MARKER).st_mtime == 0, "not more often than once a second"
        monkeypatch.setattr(folder, "_last_sign", 0.0)
        folder.give_sign()
        assert time.time() - os.stat(tmp_path / MARKER).st_mtime < 60


@pytest.mark.parametrize("process", ["this", "none", "nonsense"])
def test_where_there_are_no_locks_the_process_decides(tmp_path, monkeypatch, process, survived):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    ids = {"this": os.getpid(), "none": 2**22 + 1, "nonsense": "x"}
    write_holder(tmp_path, process=ids[process])
    if process == "this":
        with pytest.raises(RunFolderError, match=f"in use by process {os.getpid()} on "):
            RunFolder(tmp_path)
    else:
        RunFolder(tmp_path).__exit__()
    survived("two processes in one folder", 1)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00" * 9, '{"process": 1}', "[" * 9999])
def test_a_marker_that_cannot_be_read_is_a_marker(tmp_path, text, survived):
    (tmp_path / MARKER).write_text(text)
    with RunFolder(tmp_path):
        assert json.loads((tmp_path / MARKER).read_text())["process"] == os.getpid()
    assert "process" not in json.loads((tmp_path / MARKER).read_text())
    survived("corruption: marker", 1)


FOREIGN = ["checkpoints/2024/notes", "checkpoints/deleted/notes", "best/2024/notes", "damaged/x",
           "metrics.jsonl", "summary.json", "curve.png", "tensorboard/events"]  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_files_that_no_run_wrote_are_named_and_not_touched(tmp_path, name, survived):
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("mine")
    before = content_of(tmp_path)
    part = name.split("/", maxsplit=1)[0]
    with pytest.raises(RunFolderError, match=f"holds {part}, but is not a jaxrnn run: choose"):
        RunFolder(tmp_path)
    assert content_of(tmp_path) == before
    survived("files of others", 1)


@pytest.mark.matrix
def test_other_files_may_lie_in_a_run_and_stay(tmp_path, survived):
    """Even those that are named as if they were its own."""
    out = tmp_path / "run"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    train(out, "--epochs", 2)
    mine = [out / name for name in ("best/2024/x", "checkpoints/99/x", "checkpoints/deleted/x")]
    for file in mine:
        file.parent.mkdir(parents=True)
        file.write_text("mine")
    said = train(out, "--epochs", 9, "--resume")
    assert "resuming" in said
    (moved,) = (out / "damaged").rglob("x")  # which looked like the newest checkpoint
    for file in (mine[0], moved, mine[2], out / "notes.txt"):
        assert file.read_text() == "mine"
    survived("files of others", 4)


@pytest.mark.parametrize("kind", ["checkpoints", "best"])
def test_a_run_of_an_older_version_is_recognised_and_marked(tmp_path, kind):
    record = make_record()
    _, state = make_state(record)
    with Checkpoints(tmp_path, kind) as checkpoints:
        checkpoints.save_params(state.params, 0, record)
    assert not (tmp_path / MARKER).exists()
    with RunFolder(tmp_path):
        assert (tmp_path / MARKER).exists()
