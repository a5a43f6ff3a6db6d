"""Standard output that is full, closed or of another encoding never ends a training."""

import io
import os
import subprocess
import sys

import pytest
from subprocesses import ROOT, STATEFUL, environment, finish, start
from tqdm import tqdm

from jaxrnn.commands.output import named_output, outlived_output
from jaxrnn.runs import Checkpoints


def newest_step(out):
    with Checkpoints(out, read_only=True) as checkpoints:
        return checkpoints.steps()[0]


SHORT = (*STATEFUL, "--epochs", 2, "--sample-every", 1)


def test_a_training_in_this_process_outlives_a_full_device(small, run, monkeypatch):
    out, settings = small
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        code, _, complained = run("train", *settings, "--epochs", 1)
    assert code == 0
    assert complained.count("standard output: No space left on device; continuing without it") == 1
    assert "Traceback" not in complained
    assert newest_step(out) == 8


@pytest.mark.matrix
def test_a_training_outlives_a_full_device(tmp_path, survived):
    with open("/dev/full", "w") as full:
        code, _, complained = finish(start("train", *SHORT, "--out", tmp_path, stdout=full))
    assert code == 0
    assert complained.count("standard output: No space left on device; continuing without it") == 1
    assert "Traceback" not in complained
    assert newest_step(tmp_path) == 48
    survived("output: training goes on", 1)


@pytest.mark.usefixtures("only_compiled_programs")
def test_a_training_outlives_who_reads_its_output(tmp_path, survived):
    process = start("train", *SHORT, "--out", tmp_path)
    process.stdout.close()
    complained = process.stderr.read()
    assert process.wait(300) == 0
    process.stderr.close()
    assert complained.count("standard output: Broken pipe; continuing without it") == 1
    assert newest_step(tmp_path) == 48
    survived("output: training goes on", 1)


@pytest.mark.matrix
def test_a_training_needs_no_output(tmp_path, survived):
    shell = 'exec "$@" >&- 2>&-'
    process = start("train", *SHORT, "--out", tmp_path, under=("sh", "-c", shell, "sh"))
    assert finish(process)[0] == 0
    assert newest_step(tmp_path) == 48
    survived("output: training goes on", 1)


def test_what_an_encoding_lacks_becomes_question_marks(monkeypatch):
    """The same for print and for tqdm, which writes the samples."""
    written = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", written)
    with named_output(), outlived_output():  # as around a training
        print("  - 分开")
        tqdm.write("  - 分开")
    assert written.buffer.getvalue() == b"  - ??\n" * 2


@pytest.mark.matrix
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_what_an_encoding_lacks_is_shown_as_question_marks(tmp_path, encoding, survived):
    """Which encoding it is Python reads as it starts."""
    done = subprocess.run(
        [sys.executable, "-m", "jaxrnn.commands.train", *map(str, SHORT), "--out", tmp_path],
        cwd=ROOT,
        env=environment() | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "  - ??" in done.stdout.decode(encoding)
    survived("output: training goes on", 1)


def test_other_commands_name_standard_output(survived):
    """Their text is all that they are for."""
    with open("/dev/full", "w") as full:
        code, _, complained = finish(start("score", "--help", stdout=full))
    assert code == 2
    assert complained == "error: standard output: No space left on device\n"
    survived("output: one line", 1)


@pytest.mark.matrix
def test_nothing_is_lost_of_output_that_can_be_written(tmp_path):
    with open(tmp_path / "log", "w") as log:
        process = start("train", *SHORT, "--out", tmp_path / "run", stdout=log)
        assert finish(process)[0] == 0
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0].startswith("corpus songs")
    assert "perplexity" in lines[-1]
    assert os.path.getsize(tmp_path / "log") > 500
