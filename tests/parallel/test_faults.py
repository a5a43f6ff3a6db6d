"""Processes that die, that are stopped, that do not fit together: nobody hangs, nothing is lost."""

import json
import signal
import socket
import time

import pytest
from faults.test_resume import REGULARIZED, STOPS, STOPS_REGULARIZED
from parallel.pair import finish, free_port, start_experiment, start_pair, start_worker
from subprocesses import STATEFUL, digest, rows

from jaxrnn.training.processes import ConnectionFailedError, connect

pytestmark = pytest.mark.usefixtures("only_compiled_programs")

SECONDS_TO_STOP = 60


def settings(out, *more):
    """A run that saves after every call, of enough epochs to be met in the middle."""
    return (*STATEFUL, "--out", out, "--epochs", "4000", *more)


def saved_steps(out):
    return [int(p.name) for p in (out / "checkpoints").glob("*") if p.name.isdigit()]


def wait_until_it_trains(pair, out):
    """Wait for a checkpoint that was not there before."""
    before = max([10, *saved_steps(out)])
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if max([0, *saved_steps(out)]) > before:
            return
        assert all(process.poll() is None for process in pair), finish(pair)
        time.sleep(0.05)
    raise AssertionError("no checkpoint within two minutes")


def test_when_one_is_lost_the_others_stop_and_say_so(tmp_path, how_many, survived):
    """Killed or standing still, the first or another; and the run goes on from what it saved."""
    faults = [(victim, fault) for fault in (signal.SIGKILL, signal.SIGSTOP) for victim in (1, 0)]
    faults = how_many(faults[:1], faults)
    out = tmp_path / "run"
    for number, (victim, fault) in enumerate(faults):
        pair = start_experiment("train", *settings(out, *(["--resume"] if number else [])))
        wait_until_it_trains(pair, out)
        pair[victim].send_signal(fault)
        began = time.monotonic()
        other = pair[1 - victim]
        try:
            _, complained = other.communicate(timeout=60)
        finally:
            pair[victim].kill()
            pair[victim].communicate()
            other.kill()
        assert time.monotonic() - began < SECONDS_TO_STOP
        assert other.returncode != 0
        # JAX ends the process by itself, unless its message comes up in a collective first, or what
        # the survivor's own devices still send one another no longer fits together.
        told = (
            "stopped sending heartbeats):\n1\n",
            "the leader",
            "CoordinationService/Heartbeat",
            "another process of this run",
            "gloo::EnforceNotMet",
        )
        assert any(words in complained for words in told), complained
        assert "Traceback" not in complained, complained
    survived("several devices: a lost process", len(faults))
    resumed = start_experiment("train", *settings(out, "--resume"))
    wait_until_it_trains(resumed, out)
    resumed[1].send_signal(signal.SIGTERM)
    results = finish(resumed)
    assert [code for code, *_ in results] == [143, 143], results
    assert f"resuming {out}" in results[0][1]
    assert "stopped and saved" in results[0][1]
    assert max(saved_steps(out)) >= max([1, *(row["step"] for row in rows(out))])
    assert not json.loads((out / "summary.json").read_text())["finished"]


@pytest.mark.matrix
def test_a_signal_to_one_stops_all_at_the_same_step_saved(tmp_path, how_many, survived):
    signals = [(1, signal.SIGTERM), (0, signal.SIGINT)]
    for process, number in how_many(signals[:1], signals):
        out = tmp_path / str(process)
        pair = start_experiment("train", *settings(out))
        wait_until_it_trains(pair, out)
        pair[process].send_signal(number)
        began = time.monotonic()
        results = finish(pair)
        assert time.monotonic() - began < SECONDS_TO_STOP
        assert [code for code, *_ in results] == [128 + number] * 2, results
        assert "stopped and saved" in results[0][1]
        assert max(saved_steps(out)) >= max([1, *(row["step"] for row in rows(out))])
        assert not json.loads((out / "summary.json").read_text())["finished"]
        survived("several devices: a signal to one", 1)


@pytest.mark.matrix
def test_a_run_that_was_stopped_ends_bit_for_bit_as_the_undisturbed_one(tmp_path, survived):
    few = ("--epochs", "20", "--save-every", "0.5")
    undisturbed = start_experiment("train", *settings(tmp_path / "whole", *few))
    assert [code for code, *_ in finish(undisturbed)] == [0, 0]
    pair = start_experiment("train", *settings(tmp_path / "cut", *few))
    wait_until_it_trains(pair, tmp_path / "cut")
    pair[1].send_signal(signal.SIGTERM)
    finish(pair)
    resumed = finish(start_experiment("train", *settings(tmp_path / "cut", *few, "--resume")))
    assert [code for code, *_ in resumed] == [0, 0], resumed
    assert digest(tmp_path / "cut") == digest(tmp_path / "whole")
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    survived("several devices: stopped and resumed", 1)


def test_resuming_two_processes_of_two_devices_changes_no_bit(
    tmp_path, how_many, monkeypatch, survived
):
    """CI takes an LSTM with every regularizer."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "programs"))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    few, more = [(REGULARIZED, [17])], [("rnn gru lstm", STOPS), (REGULARIZED, STOPS_REGULARIZED)]
    for names, stops in how_many(few, more):
        pair = start_worker("resumes", tmp_path, names, *stops)
        for code, _, errors in finish(pair, timeout=900):
            assert code == 0, errors
        survived("resume: stops, 2 x 2 devices", len(names.split()) * len(stops))


def test_what_one_process_alone_sees_all_act_on(tmp_path, survived):
    """A folder that is not shared; checkpoints that only one of them finds damaged."""
    ends = finish(start_worker("together", tmp_path))
    assert [code for code, *_ in ends] == [0, 0], "\n".join(errors for *_, errors in ends)
    survived("several devices: damaged for one", 1)


@pytest.mark.matrix
def test_an_error_of_one_process_ends_the_others(tmp_path, survived):
    """One of them lacks the text."""

    def flags(coordinator, process):
        where = ("--coordinator", coordinator, "--num-processes", 2, "--process-id", process)
        return (*where, "--corpus", ("songs", "none.txt")[process])

    command = ("jaxrnn.commands.train", *STATEFUL, "--out", tmp_path)
    began = time.monotonic()
    (code, _, complained), (own_code, _, own) = finish(start_pair(*command, flags=flags))
    assert time.monotonic() - began < SECONDS_TO_STOP
    assert (own_code, own.count("error: ")) == (2, 1), own
    assert "none.txt" in own
    assert code not in (0, None)
    assert "Traceback" not in own + complained, complained
    survived("several devices: an error of one", 1)


@pytest.mark.matrix
def test_an_error_of_one_process_in_mid_training_ends_the_others(tmp_path, survived):
    settings = (*STATEFUL, "--out", tmp_path, "--epochs", 4000, "--save-every", 1000)
    pair = start_worker("fails", *settings)
    pair[1].wait(120)
    began = time.monotonic()
    (code, _, complained), (own_code, _, own) = finish(pair)
    assert time.monotonic() - began < SECONDS_TO_STOP
    assert (own_code, own.splitlines()[-1]) == (2, "error: the text is gone"), own
    assert code not in (0, None)
    assert "Traceback" not in own + complained, complained
    survived("several devices: an error of one", 1)


@pytest.mark.matrix
@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_a_process_that_is_late_is_waited_for(parallel, tmp_path, survived):
    """With its text, and with its program; devices would wait for one another half a minute."""
    few = ("--out", tmp_path, "--epochs", 2, "--save-every", 1000)
    results = finish(start_worker("late", parallel, *STATEFUL, *few))
    assert [code for code, *_ in results] == [0, 0], results
    survived("several devices: a late process", 1)


def test_a_coordinator_that_cannot_be_reached_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConnectionFailedError, match=f"could not join the run at {address}"):
            connect(address, 2, 1, timeout=1)


@pytest.mark.matrix
def test_a_coordinator_that_cannot_be_reached_is_an_error_in_time(tmp_path, survived):
    """Nobody listens there: only the second process is started."""
    where = ("--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", 2, "--process-id", 1)
    out = ("--out", tmp_path, "--connect-seconds", 3)
    began = time.monotonic()
    pair = start_pair("jaxrnn.commands.train", *STATEFUL, *where, *out)
    for code, _, errors in finish(pair):
        assert code not in (0, None)
        assert "this process could not join the run at 127.0.0.1" in errors, errors
        assert "Traceback" not in errors
    assert time.monotonic() - began < SECONDS_TO_STOP
    survived("several devices: no coordinator", 1)


@pytest.mark.matrix
def test_a_process_that_waits_can_be_interrupted(how_many, survived):
    pair = start_worker("waits")
    assert pair[1].stdout.readline() == "waiting\n"
    time.sleep(3)  # an interrupt before it waits may be lost, and a machine may be slow
    pair[1].send_signal(signal.SIGINT)
    began = time.monotonic()
    assert pair[1].wait(SECONDS_TO_STOP) == 130
    assert time.monotonic() - began < how_many(SECONDS_TO_STOP, 5)
    (code, *_), (_, _, complained) = finish(pair)
    assert time.monotonic() - began < SECONDS_TO_STOP
    assert code not in (0, None)
    assert complained == ""
    survived("several devices: a signal to one", 1)


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConnectionFailedError, match=f"run at 127.0.0.1:{port} .* in use"):
            connect(f"127.0.0.1:{port}", 2, 0)


@pytest.mark.matrix
def test_processes_of_unlike_numbers_of_devices_are_refused(tmp_path, survived):
    """With one flag forgotten."""
    some = {"variables": lambda process: {"JAX_NUM_CPU_DEVICES": str(2 - process)}}
    for code, _, errors in finish(start_experiment("train", *settings(tmp_path), **some)):
        assert code == 2, errors
        assert "the same number of devices: 2 in process 0, 1 in process 1" in errors, errors
    survived("bad input", 1)


@pytest.mark.matrix
def test_processes_of_different_runs_are_refused(tmp_path, how_many, survived):
    differences = [
        ("--learning-rate", "0.5", "0.25", "training.learning_rate: 0.5 there, 0.25 here"),
        ("--sample-every", "3", "4", "sample_every: 3 there, 4 here"),
        ("--out", tmp_path / "a", tmp_path / "b", f"out: {tmp_path}/a there, {tmp_path}/b here"),
    ]
    for flag, first, second, both in how_many(differences[:1], differences):

        def flags(coordinator, process, flag=flag, values=(first, second)):
            where = ("--coordinator", coordinator, "--num-processes", 2, "--process-id", process)
            return (*where, flag, values[process])

        command = ("jaxrnn.commands.train", *STATEFUL, "--out", tmp_path)
        for code, _, errors in finish(start_pair(*command, flags=flags)):
            assert code == 2, errors
            assert f"(here) belongs to a different run than process 0 (there): {both}" in errors
            assert "Traceback" not in errors
        survived("bad input", 1)
