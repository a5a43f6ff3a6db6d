"""What a run leaves in its folder."""

import errno
import json

import matplotlib.figure
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


@pytest.fixture
def curve(tmp_path, monkeypatch):
    """(rows, title) -> the figure that was written, laid out; None where none was."""
    figures, path = [], tmp_path / "curve.png"
    savefig = matplotlib.figure.Figure.savefig

    def record(figure, *arguments, **options):
        savefig(figure, *arguments, **options)
        figure.draw_without_rendering()  # at the resolution of the figure again
        figures.append(figure)

    def curve(rows, title="gru on songs"):
        plot_perplexity(rows, title, path)
        assert path.exists() == bool(figures)
        return figures[0] if figures else None

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", record)
    return curve


def legend_of(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def ticks_of(axis):
    """The labels of an axis that are to be seen."""
    low, high = sorted(axis.get_view_interval())
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    return {tick.label1.get_text() for tick in ticks if low <= tick.get_loc() <= high} - {""}


def test_the_curve_is_a_picture(tmp_path, curve):
    figure = curve([{"epoch": e, "perplexity": 100.0 / e} for e in range(1, 5)])
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert legend_of(figure) == ["training"]


def test_the_epoch_that_did_best_on_the_held_out_text_is_marked(curve):
    rows = [{"epoch": e, "perplexity": 100.0 / e, "unigram_perplexity": 60.0} for e in range(1, 9)]
    for row, value in zip(rows[1::2], (54.321, 50.123, 5e4, 1e5), strict=True):
        row["held_out_perplexity"] = value
    figure = curve(rows)
    assert "best held out: 50.12, epoch 4" in legend_of(figure)
    points = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [line.get_xydata().tolist() for line in points] == [[[4, 50.123]]]
    assert {"100", "1,000", "10,000"} <= ticks_of(figure.axes[0].yaxis)


def test_a_run_of_one_epoch_has_a_curve(curve):
    figure = curve([{"epoch": 1, "perplexity": 9.0, "held_out_perplexity": 23456.0}])
    assert ticks_of(figure.axes[0].xaxis) == {"1"}
    assert "best held out: 23,456, epoch 1" in legend_of(figure)


@pytest.mark.parametrize("rows", [[], [{"epoch": 1, "perplexity": None}]])
def test_there_is_no_picture_of_nothing(curve, rows):
    assert curve(rows) is None


def test_the_legend_hides_nothing_and_the_title_is_whole(curve):
    """A title may be a file's name: long, with signs of formulas, in Chinese."""
    rows = [{"epoch": 1, "perplexity": 9.0, "held_out_perplexity": 8.0, "unigram_perplexity": 7.0}]
    figure = curve(rows, "gru on /" + 12 * "folder/" + "$x^$分开.txt")
    (axes,), (legend,) = figure.axes, figure.legends
    assert not legend.get_window_extent().overlaps(axes.get_tightbbox())
    title = axes.title.get_window_extent()
    assert figure.bbox.x0 < title.x0 < title.x1 < figure.bbox.x1
    assert r"$x^$\u5206\u5f00.txt" in axes.get_title()


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
