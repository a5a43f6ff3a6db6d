"""The real command, killed at random moments and resumed, ends where the undisturbed one ends."""

import random
import signal
import time

import pytest
from faults import dying
from marks import in_matrix
from subprocesses import STATEFUL, digest, finish, rows, start, train

import jaxrnn
from jaxrnn.runs import Checkpoints
from jaxrnn.runs.digests import params_digest

pytestmark = pytest.mark.usefixtures("only_compiled_programs")


def newest_step(run_dir):
    """Return the newest verified step on disk, 0 without any."""
    if not (run_dir / "checkpoints").is_dir():
        return 0
    with Checkpoints(run_dir, read_only=True) as checkpoints:
        if not (steps := checkpoints.steps()):
            return 0
        checkpoints.open(steps[0]).verify()
        return steps[0]


def outcome(run_dir):
    """All that must not depend on kills: the last and the best parameters, and the metrics."""
    best = params_digest(jaxrnn.load_run(run_dir, "best").params)
    return digest(run_dir), best, rows(run_dir)


def kill_again_and_again(folder, settings, generator, kills):
    """Return whether a run, killed again and again, ends where an undisturbed one ends."""
    began = time.monotonic()
    train(folder / "whole", *settings)
    seconds = time.monotonic() - began
    stopped, on_disk = folder / "stopped", 0
    for _ in range(kills):
        process = start("train", *STATEFUL, "--out", stopped, *settings, "--resume")
        time.sleep(generator.uniform(0.2, 0.9) * seconds)
        process.send_signal(signal.SIGKILL)
        finish(process)
        assert newest_step(stopped) >= on_disk, "a save was lost"
        on_disk = newest_step(stopped)
    train(stopped, *settings, "--resume")
    return outcome(stopped) == outcome(folder / "whole")


@pytest.mark.matrix
@pytest.mark.parametrize("cell", ["lstm", "rnn", "gru"])
def test_a_run_that_is_killed_again_and_again(cell, tmp_path, survived):
    settings, kills = ["--cell", cell, "--epochs", 150], 7
    assert kill_again_and_again(tmp_path, settings, random.Random(cell), kills)
    survived("kill -9: at random moments", kills)


@pytest.mark.matrix
def test_runs_of_any_length_are_killed_for_as_long_as_asked(tmp_path, soak_minutes, survived):
    generator, began, seed = random.Random(0), time.monotonic(), 0
    while time.monotonic() - began < 60 * soak_minutes:
        seed += 1
        settings = ["--cell", generator.choice(["lstm", "rnn", "gru"]), "--seed", seed]
        settings += ["--epochs", generator.choice([150, 600, 1500])]
        kills = generator.randint(1, 6)
        assert kill_again_and_again(tmp_path / str(seed), settings, generator, kills)
        survived("kill -9: soak", kills)


@pytest.mark.parametrize("part", [0, pytest.param(1, marks=pytest.mark.matrix)])
def test_a_kill_before_any_change_to_the_folder(part, tmp_path, how_many, survived):
    """Any of three saves and what lies between: opening, writing, renaming, deleting."""
    settings = [*STATEFUL, "--epochs", str(how_many(6, 40))]
    code, _ = dying.train(tmp_path / "whole", settings)
    assert code == 0
    stopped, acknowledged = tmp_path / "stopped", 0
    deaths = how_many(2, 60)
    generator = random.Random(part)
    points = [int((n + generator.random()) * 230 / deaths) + 1 for n in range(deaths)]
    generator.shuffle(points)
    for point in points:
        code, saved = dying.train(stopped, [*settings, "--resume"], point)
        assert code == -signal.SIGKILL
        acknowledged = max([acknowledged, *saved])
        assert newest_step(stopped) >= acknowledged
    assert dying.train(stopped, [*settings, "--resume"])[0] == 0
    assert outcome(stopped) == outcome(tmp_path / "whole")
    survived("kill -9: before changes to the file system", deaths)


def wait_for(path, process):
    """Wait until the run has written a file."""
    deadline = time.monotonic() + 120
    while not (path.exists() and (path.is_dir() or path.stat().st_size)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


PHASES = {
    "steps": (["--sample-every", 1_000_000], "metrics.jsonl"),
    "reports": (["--sample-every", 1, "--sample-length", 200], "metrics.jsonl"),
    "saves": (["--sample-every", 1_000_000], "checkpoints/24"),
}


@pytest.mark.parametrize(
    ("phase", "number"),
    [
        ("steps", signal.SIGTERM),
        pytest.param("steps", signal.SIGINT, marks=pytest.mark.matrix),
        pytest.param("reports", signal.SIGTERM, marks=pytest.mark.matrix),
        pytest.param("saves", signal.SIGINT, marks=pytest.mark.matrix),
    ],
)
def test_a_signal_saves_and_says_so_within_five_seconds(
    phase, number, tmp_path, how_many, survived
):
    settings, mark = PHASES[phase]
    out = tmp_path / "run"
    process = start("train", *STATEFUL, "--out", out, "--epochs", 100_000, *settings)
    wait_for(out / mark, process)
    began = time.monotonic()
    process.send_signal(number)
    code, said, complained = finish(process)
    assert time.monotonic() - began < how_many(60, 5)  # beside more tests than there are cores
    assert code == 128 + number
    assert "Traceback" not in complained
    assert "stopped and saved: add --resume" in said
    assert newest_step(out) > 0
    survived("signals: phases", 1)


def test_a_second_signal_quits_at_once(tmp_path, how_many, survived):
    process = start("train", *STATEFUL, "--out", tmp_path / "run", "--epochs", 100_000)
    wait_for(tmp_path / "run" / "metrics.jsonl", process)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    code, _, _ = finish(process, timeout=how_many(60, 5))  # see above
    assert code in (-signal.SIGTERM, 128 + signal.SIGTERM)
    survived("signals: phases", 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, *in_matrix(signal.SIGINT)])
def test_a_signal_before_the_first_step_is_not_lost(number, tmp_path, survived):
    """There may be nothing to save."""
    process = start("train", *STATEFUL, "--out", tmp_path / "run", "--epochs", 100_000)
    wait_for(tmp_path / "run", process)
    process.send_signal(number)
    code, said, complained = finish(process, timeout=60)
    assert code == 128 + number
    assert "Traceback" not in complained
    assert "stopped before the first step" in said or "stopped and saved" in said
    survived("signals: phases", 1)
