"""The log of a run: a row an epoch, and never a wrong one in silence."""

import errno
import json
import os
import random
import warnings

import pytest

from jaxrnn.runs.digests import canonical_digest
from jaxrnn.runs.files import write_json
from jaxrnn.runs.metrics import MetricsLog, read_metrics


def rows(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def add(log, *epochs):
    for epoch in epochs:
        log.add({"epoch": epoch, "perplexity": 10.0 / epoch})


def test_a_row_an_epoch(tmp_path):
    with MetricsLog(tmp_path) as log:
        add(log, 1, 2)
        assert rows(tmp_path)[-1]["epoch"] == 2, "a row must be on disk when its epoch is over"
    assert [row["perplexity"] for row in rows(tmp_path)] == [10.0, 5.0]
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))


def test_a_resumed_run_forgets_what_will_be_done_again(tmp_path):
    with MetricsLog(tmp_path) as log:
        add(log, 1, 2, 3)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 4, "perpl')  # cut off by a kill
    with MetricsLog(tmp_path, finished_epochs=2) as log:
        assert [row["epoch"] for row in log.rows] == [1, 2]
        add(log, 3)
    assert [row["epoch"] for row in rows(tmp_path)] == [1, 2, 3]


def test_names_that_are_not_utf_8_are_written_and_read_again(tmp_path):
    content = {"corpus": os.fsdecode(b"caf\xe9.txt"), "prompts": ["\u6211", "\udce9"]}
    write_json(tmp_path / "summary.json", content)
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8")) == content
    assert canonical_digest(content) != canonical_digest(content | {"corpus": "caf?.txt"})


def test_numbers_that_are_not_finite_are_null(tmp_path):
    """Python would write NaN, which is not JSON."""
    with MetricsLog(tmp_path) as log:
        log.add({"epoch": 1, "perplexity": float("nan")})
        log.add({"epoch": 2, "perplexity": float("inf")})
        assert [row["perplexity"] for row in log.rows] == [None, None]
    assert "nan" not in (tmp_path / "metrics.jsonl").read_text().lower()
    assert read_metrics(tmp_path) == log.rows


DAMAGE = {
    "not JSON": lambda line: "{",
    "no object": lambda line: "[1]",
    "an abyss of brackets": lambda line: "[" * 100_000,
    "no epoch": lambda line: '{"perplexity": 1}',
    "an epoch that is no number": lambda line: line.replace('"epoch": 2', '"epoch": "2"'),
    "another epoch": lambda line: line.replace('"epoch": 2', '"epoch": 3'),
    "another number": lambda line: line.replace("5.0", "7.0"),
    "another name": lambda line: line.replace("perplexity", "perplexitx"),
    "no sum": lambda line: json.dumps({"epoch": 2, "perplexity": 5.0}),
    "white space": lambda line: line.replace(" ", "  ", 1),
    "zeros": lambda line: "\x00\x00",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_line_ends_the_log_with_a_warning(tmp_path, damage):
    with MetricsLog(tmp_path) as log:
        add(log, 1, 2, 3)
    path = tmp_path / "metrics.jsonl"
    first, second, third = path.read_text().splitlines()
    path.write_text("\n".join([first, DAMAGE[damage](second), third, ""]))
    with pytest.warns(UserWarning, match=r"line 2 of .*metrics\.jsonl is damaged: keeping those"):
        assert [row["epoch"] for row in read_metrics(tmp_path)] == [1]


@pytest.mark.parametrize("epochs", [(1, 1), (2, 1), (0, 1), (-1, 1), (1, 3, 2)])
def test_epochs_that_do_not_rise_end_the_log(tmp_path, epochs):
    """Each row has its sum: somebody put them together."""
    with MetricsLog(tmp_path) as log:
        log.rows.clear()
        for epoch in epochs:
            log.add({"epoch": epoch, "perplexity": 1.0})
    with pytest.warns(UserWarning, match="is damaged"):
        assert len(read_metrics(tmp_path)) == max(0, epochs.index(max(epochs[:-1])) + 1) * (
            epochs[0] > 0
        )


def test_rows_that_are_missing_are_said(tmp_path):
    with MetricsLog(tmp_path) as log:
        add(log, 1, 2)
    with (
        pytest.warns(UserWarning, match=r"metrics\.jsonl lacks epochs 3 to 5"),
        MetricsLog(tmp_path, finished_epochs=5) as log,
    ):
        add(log, 6)
    with MetricsLog(tmp_path, finished_epochs=6) as log:
        assert [row["epoch"] for row in log.rows] == [1, 2, 6]


def test_logs_without_sums_are_read_and_get_them(tmp_path):
    """Those of older versions."""
    rows_before = [{"epoch": 1, "perplexity": 10.0}, {"epoch": 2, "perplexity": 5.0}]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows_before))
    with MetricsLog(tmp_path, finished_epochs=2) as log:
        assert log.rows == rows_before
    assert all("sum" in row for row in rows(tmp_path))
    assert read_metrics(tmp_path) == rows_before


def test_a_log_that_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "metrics.jsonl")
    with pytest.raises(ValueError, match="must be a regular file"):
        read_metrics(tmp_path)


@pytest.mark.parametrize("num_rows", [1, 4])
def test_no_flipped_bit_gives_a_number_that_was_not_logged(tmp_path, num_rows, how_many, survived):
    with MetricsLog(tmp_path) as log:
        for epoch in range(1, num_rows + 1):
            log.add({"epoch": epoch, "step": 24 * epoch, "perplexity": 100.123 / epoch})
    path = tmp_path / "metrics.jsonl"
    whole, generator = path.read_bytes(), random.Random(num_rows)
    count = how_many(300, 3000)
    for _ in range(count):
        content = bytearray(whole)
        content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        path.write_bytes(content)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            came = read_metrics(tmp_path)
        assert came == log.rows[: len(came)]
        cut_off = not content.endswith(b"\n")  # as by a kill
        assert said or cut_off or came == log.rows
    survived("corruption: metrics", count)


def test_events_on_a_full_disk_are_an_error_and_do_not_block(tmp_path, monkeypatch):
    """TensorboardX's own thread would die, and its queue block for ever."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with MetricsLog(tmp_path) as log:
        monkeypatch.setattr(log._events, "write_event", full)
        with pytest.raises(OSError, match=r"No space left on device: .*tensorboard"):
            add(log, *range(1, 100))


def fail_amid(run_dir):
    with MetricsLog(run_dir) as log:
        log._events.close()
        log._events = FullDisk()
        raise RuntimeError("the save failed")


class FullDisk:
    """Cannot even be closed."""

    def close(self):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_the_first_error_is_the_one_that_is_told(tmp_path):
    with pytest.raises(RuntimeError, match="the save failed"):
        fail_amid(tmp_path)
