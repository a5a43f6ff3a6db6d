"""What a run leaves in its folder at the end."""

import json
import os

import pytest

from jaxrnn.training.reporting import plot_perplexity, write_json


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
    write_json(tmp_path / "summary.json", {"perplexity": float("nan")})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"perplexity": None}
    rows = [{"epoch": 1, "perplexity": None}]
    plot_perplexity(rows, "all steps skipped", tmp_path / "curve.png")


def test_writing_does_not_wait_for_a_reader(tmp_path):
    for name in ("summary.json", "summary.json.new"):
        os.mkfifo(tmp_path / name)
    write_json(tmp_path / "summary.json", {"epochs": 1})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"epochs": 1}
