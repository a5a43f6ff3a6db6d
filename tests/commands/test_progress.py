"""Tests of the progress that a command shows, in a terminal and elsewhere."""

import errno
import io
import re
import sys
import threading
import time

import pytest
from tqdm import tqdm

from jaxrnn.commands import progress
from jaxrnn.commands.progress import Bar, track
from jaxrnn.training import Progress


class Terminal(io.StringIO):
    """Standard error of somebody who looks at it."""

    def isatty(self):
        return True

    def frames(self):
        """Return the states of the bar that were shown, in their order."""
        return [frame for frame in self.getvalue().split("\r") if frame.strip()]


class Clock:
    """Stands still unless it is set forward."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """Give all bars a clock that stands still until a test sets it forward.

    Their own threads show nothing, as they might see the new time before the test goes on.
    """
    clock = Clock()
    monkeypatch.setattr(progress, "monotonic", clock)
    monkeypatch.setattr(Bar, "_show_until_over", lambda bar: bar._over.wait())
    return clock


@pytest.fixture
def stderr(capsys):
    """() -> the lines so far on a standard error that is no terminal."""
    text = ""

    def lines():
        nonlocal text
        text += capsys.readouterr().err
        return text.splitlines()

    return lines


@pytest.fixture
def terminal(monkeypatch):
    """() -> a standard error that is a terminal of a hundred columns.

    To be called in the test itself: pytest puts its own there after the fixtures.
    """

    def start():
        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("COLUMNS", "101")
        monkeypatch.setenv("LINES", "40")
        return stream

    return start


def test_the_first_line_is_there_at_once(stderr):
    with Bar("GRU, seed 2", total=40):
        assert stderr() == ["GRU, seed 2: epoch 0 of 40 (0%), 0:00 elapsed, compiling"]


def test_work_that_says_nothing_is_told_of_all_the_same(stderr, monkeypatch):
    """A line is shown although a program that compiles cannot call `show`."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.01)
    deadline = time.monotonic() + 60
    with Bar("GRU", total=40):
        while len(stderr()) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    lines = {re.sub(r"\d+:\d\d", "0:00", line) for line in stderr()}
    assert lines == {"GRU: epoch 0 of 40 (0%), 0:00 elapsed, compiling"}


def test_a_line_every_ten_seconds_and_one_at_the_end(stderr, clock):
    with Bar("GRU", total=400) as bar:
        for epoch in range(1, 26):
            clock.now += 1
            bar.show(epoch)
    assert stderr() == [
        "GRU: epoch 0 of 400 (0%), 0:00 elapsed, compiling",
        "GRU: epoch 10 of 400 (2%), 0:10 elapsed, about 6:30 left",
        "GRU: epoch 20 of 400 (5%), 0:20 elapsed, about 6:20 left",
        "GRU: epoch 25 of 400 (6%), 0:25 elapsed, about 6:15 left",
    ]


def test_the_estimate_leaves_out_what_went_before_the_first_epochs(stderr, clock):
    """A minute of compiling, then two epochs in eleven seconds: 36 more take 198."""
    with Bar("GRU", total=40) as bar:
        clock.now += 60
        bar.show(2)
        clock.now += 1
        bar.show(4)
        clock.now += 10
        bar.show(4)
    said = stderr()
    assert said[1] == "GRU: epoch 2 of 40 (5%), 1:00 elapsed"
    assert said[2] == "GRU: epoch 4 of 40 (10%), 1:11 elapsed, about 3:18 left"


def test_the_estimate_counts_down_between_two_calls(stderr, clock, monkeypatch):
    with Bar("GRU", total=40) as bar:
        bar.show(0)
        clock.now += 10
        bar.show(10)
        clock.now += 12
        bar._show()  # as its thread does
    assert "0:10 elapsed, about 0:30 left" in stderr()[1]
    assert "0:22 elapsed, about 0:18 left" in stderr()[2]


def test_fractions_of_an_epoch_are_not_rounded_away(stderr, clock):
    with Bar("GRU", total=40, done=12.5) as bar:
        for epoch in (12.5 + 1 / 3, 39.0):
            clock.now += 10
            bar.show(epoch, "perplexity 3.21")
    said = stderr()
    assert said[0] == "GRU: epoch 12.5 of 40 (31%), 0:00 elapsed, compiling"
    assert said[1] == "GRU: epoch 12.83 of 40 (32%), 0:10 elapsed, perplexity 3.21"
    assert said[2].startswith("GRU: epoch 39 of 40 (97%), 0:20 elapsed, about 0:00 left")


def fail_amid():
    with Bar("GRU", total=40) as bar:
        bar.show(3)
        raise RuntimeError("no more")


def test_work_that_fails_has_no_last_line(stderr):
    before = {*threading.enumerate()}
    with pytest.raises(RuntimeError, match="no more"):
        fail_amid()
    assert len(stderr()) == 1
    assert {*threading.enumerate()} <= before


def test_a_process_that_shows_nothing_starts_nothing(stderr):
    before = {*threading.enumerate()}
    with Bar("GRU", total=40, enabled=False) as bar:
        bar.show(3)
        assert {*threading.enumerate()} <= before
    assert stderr() == []


def test_a_terminal_has_one_bar(terminal, clock):
    terminal = terminal()
    with Bar("GRU", total=40) as bar:
        clock.now += 60
        bar.show(2)
        clock.now += 3600
        bar.show(12.5, "perplexity 3.21, 120,000 tokens/s")
    first, *_, last = terminal.frames()
    assert first.startswith("GRU:   0%|")
    assert last.startswith("GRU:  31%|###")
    assert last.endswith("| 12.5/40 epochs, 1:01:00<2:37:08, perplexity 3.21, 120,000 tokens/s\n")
    assert terminal.getvalue().count("\n") == 1
    assert max(len(frame.rstrip("\n")) for frame in terminal.frames()) <= 100


def test_a_finished_bar_has_nothing_left(terminal, clock):
    terminal = terminal()
    with Bar("blanks", total=3, unit="network") as bar:
        bar.show(3)
    assert terminal.frames()[-1].endswith("| 3/3 networks, 0:00<0:00\n")


def test_lines_of_others_do_not_run_into_the_bar(terminal, monkeypatch):
    """Standard output is on the same terminal."""
    terminal = terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    with Bar("GRU", total=40):
        tqdm.write("a sample")
    before, after = terminal.getvalue().split("a sample\n")
    assert before.endswith("\r")
    assert before.split("\r")[-2].isspace(), "the bar is wiped out first"
    assert after.startswith("\rGRU:   0%|")


class Full(io.StringIO):
    """A disk without room, or a pipe that nobody reads."""

    def __init__(self, isatty):
        super().__init__()
        self.isatty = lambda: isatty
        self.tried = 0

    def write(self, text=""):
        self.tried += 1
        raise OSError(errno.ENOSPC, "No space left on device")

    flush = write


@pytest.mark.parametrize("isatty", [True, False])
def test_work_goes_on_where_nothing_can_be_written(isatty, clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Full(isatty))
    with Bar("GRU", total=40) as bar:
        clock.now += 10
        bar.show(3)
        tqdm.write("a sample", file=io.StringIO())
    assert sys.stderr.tried > 2


@pytest.mark.parametrize("isatty", [True, False])
def test_work_goes_on_without_a_standard_error(isatty, clock, monkeypatch):
    closed = Terminal() if isatty else io.StringIO()
    closed.close()
    for stream in (closed, None):
        monkeypatch.setattr(sys, "stderr", stream)
        with Bar("GRU", total=40) as bar:
            bar.show(3)


@pytest.mark.parametrize("isatty", [True, False])
def test_what_a_stream_cannot_encode_is_shown_as_question_marks(isatty, clock, monkeypatch):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="strict", write_through=True)
    stream.isatty = lambda: isatty
    monkeypatch.setattr(sys, "stderr", stream)
    with Bar("GRU on 分开", total=40) as bar:
        bar.show(3, "perplexity é")
    assert b"GRU on ??:" in raw.getvalue()
    assert b"perplexity ?" in raw.getvalue()


def test_a_training_is_followed(stderr, clock):
    steps = [
        ("early", Progress(0, 1, 4, nats=500.0, tokens=500, seconds=0.5, total_tokens=500)),
        ("later", Progress(1, 3, 4, nats=700.0, tokens=100, seconds=2.0, total_tokens=4000)),
    ]

    def train():
        for step in steps:
            clock.now += 10
            yield step

    with Bar("LSTM", 2) as bar:
        assert list(bar.follow(train())) == steps
    assert stderr()[1:] == [
        "LSTM: epoch 0.25 of 2 (12%), 0:10 elapsed, perplexity 2.72, 1,000 tokens/s",
        "LSTM: epoch 1.75 of 2 (87%), 0:20 elapsed, about 0:01 left, perplexity 1,097,"
        " 2,000 tokens/s",
    ]


def test_items_are_handed_on_one_by_one(stderr, clock):
    for _ in track("learning", {"RNN": 1, "GRU": 2}, "model"):
        clock.now += 10
    assert list(track("counting", range(3), "order")) == [0, 1, 2]
    assert stderr() == [
        "learning: model 0 of 2 (0%), 0:00 elapsed",
        "learning: model 1 of 2 (50%), 0:10 elapsed, about 0:10 left, GRU",
        "learning: model 2 of 2 (100%), 0:20 elapsed",
        "counting: order 0 of 3 (0%), 0:00 elapsed",
        "counting: order 3 of 3 (100%), 0:00 elapsed",
    ]
