"""What a run leaves in its folder at the end."""

import json
import os

import matplotlib.figure
import pytest

from jaxrnn.runs.files import write_json
from jaxrnn.runs.pictures import plot_perplexity
from jaxrnn.runs.summary import read_summary, write_summary


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


def test_the_epoch_that_did_best_on_the_validation_text_is_marked(curve):
    rows = [{"epoch": e, "perplexity": 100.0 / e, "unigram_perplexity": 60.0} for e in range(1, 9)]
    for row, value in zip(rows[1::2], (54.321, 50.123, 5e4, 1e5), strict=True):
        row |= {"validation_perplexity": value, "held_out_perplexity": 1e6 / value}
    figure = curve(rows)
    assert "best on validation: 50.12, epoch 4" in legend_of(figure)
    assert sum(label.startswith("best") for label in legend_of(figure)) == 1
    points = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [line.get_xydata().tolist() for line in points] == [[[4, 50.123]]]
    assert {"100", "1,000", "10,000"} <= ticks_of(figure.axes[0].yaxis)


def test_a_run_of_one_epoch_has_a_curve(curve):
    figure = curve([{"epoch": 1, "perplexity": 9.0, "validation_perplexity": 23456.0}])
    assert ticks_of(figure.axes[0].xaxis) == {"1"}
    assert "best on validation: 23,456, epoch 1" in legend_of(figure)


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
    write_json(tmp_path / "summary.json", {"perplexity": float("nan")})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"perplexity": None}
    rows = [{"epoch": 1, "perplexity": None}]
    plot_perplexity(rows, "all steps skipped", tmp_path / "curve.png")


def test_writing_does_not_wait_for_a_reader(tmp_path):
    for name in ("summary.json", "summary.new.json"):
        os.mkfifo(tmp_path / name)
    write_json(tmp_path / "summary.json", {"epochs": 1})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"epochs": 1}


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "[" * 100_000, '{"epochs": 7, "sum": 1}'])
def test_a_summary_of_any_other_form_is_damaged(tmp_path, text):
    write_summary(tmp_path, {"epochs": 7, "every": float("inf")})
    assert read_summary(tmp_path) == {"epochs": 7, "every": None}
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(ValueError, match=r"summary\.json is damaged"):
        read_summary(tmp_path)
