"""What a run leaves in its folder."""

import errno
import json

import pytest

from jaxrnn.training.reporting import MetricsLog, plot_perplexity, write_json


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


@pytest.mark.parametrize("held_out", [False, True])
def test_the_curve_is_a_picture(tmp_path, held_out):
    points = [{"epoch": e, "perplexity": 100.0 / e} for e in range(1, 5)]
    if held_out:
        points[-1] |= {"held_out_perplexity": 50.0, "unigram_perplexity": 60.0}
    plot_perplexity(points, "gru on songs", tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_json_is_written_whole(tmp_path):
    write_json(tmp_path / "summary.json", {"samples": ["分开"]})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"samples": ["分开"]}
    assert "分开" in (tmp_path / "summary.json").read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["summary.json"]


def test_numbers_that_are_not_finite_are_null(tmp_path):
    """Python would write NaN, which is not JSON."""
    with MetricsLog(tmp_path) as log:
        log.add({"epoch": 1, "perplexity": float("nan")})
        log.add({"epoch": 2, "perplexity": float("inf")})
        assert [row["perplexity"] for row in log.rows] == [None, None]
    write_json(tmp_path / "summary.json", {"perplexity": float("nan")})
    for text in ((tmp_path / name).read_text() for name in ("metrics.jsonl", "summary.json")):
        assert "null" in text
        assert "nan" not in text.lower()
    plot_perplexity(log.rows, "all steps skipped", tmp_path / "curve.png")


@pytest.mark.parametrize("damage", ["{", "[1]", '{"perplexity": 1}', '{"epoch": "1"}', "\x00\x00"])
def test_a_damaged_line_ends_the_log_with_a_warning(tmp_path, damage):
    with MetricsLog(tmp_path) as log:
        add(log, 1, 2, 3)
    path = tmp_path / "metrics.jsonl"
    first, _, third = path.read_text().splitlines()
    path.write_text("\n".join([first, damage, third, ""]))
    with (
        pytest.warns(UserWarning, match=r"line 2 of .*metrics\.jsonl is damaged"),
        MetricsLog(tmp_path, finished_epochs=3) as log,
    ):
        assert [row["epoch"] for row in log.rows] == [1]


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
