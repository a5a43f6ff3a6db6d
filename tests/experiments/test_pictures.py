"""Pictures that can be read: nothing hides anything, and every sign has a font."""

import functools
import itertools
from pathlib import Path

import matplotlib.figure
import numpy as np
import pytest

from experiments import bidirectional, gradients, language_statistics, no_hidden_state, sine
from experiments.shared import pictures
from jaxrnn.text.statistics import count_ngrams


@pytest.fixture
def no_chinese(monkeypatch):
    """A machine without a font that has Chinese characters."""
    monkeypatch.setattr(pictures, "_chinese_fonts_here", list)


@pytest.fixture(scope="module")
def figures_of():
    """(draw) -> what it saves on such a machine: figures, laid out, by the names of their files.

    Each picture is drawn once, for all tests.
    """

    @functools.cache
    def figures_of(draw):
        saved = {}

        def record(figure, path, **_):
            figure.draw_without_rendering()
            saved[path.stem] = figure

        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(matplotlib.figure.Figure, "savefig", record)
            monkeypatch.setattr(pictures, "_chinese_fonts_here", list)
            draw(Path("nowhere"))
        return saved

    return figures_of


def draw_sine(out):
    settings = sine.Settings(out=out)
    series = sine.make_series(0)
    names = [*(f"window of {tau}" for tau in settings.windows), "GRU"]
    predictions = {name: np.tile(series, (max(sine.HORIZONS), 1)) for name in names}
    sine._draw_predictions(settings, series, predictions)
    errors = {name: list(np.linspace(0.04, 0.1 * (i + 1), 64)) for i, name in enumerate(names)}
    sine._draw_errors(settings, errors, 0.036)


def draw_gradients(out):
    """Norms that fall fast and slowly, and that grow."""
    settings = gradients.Settings(out=out)
    distances = np.arange(1, settings.num_steps + 1)
    norms = {
        name: list(np.exp(-0.3 * distances * (i + 0.1)))
        for i, name in enumerate(gradients.NETWORKS)
    }
    numbers = {"before": norms, "after": norms, "steps": {"clipped to 1": [1.0], "not": [2.0]}}
    numbers["scaled"] = {scale: list(np.exp(distances)) for scale in gradients.SCALES}
    gradients._draw(settings, numbers)


def draw_blanks(out):
    names = ("forward only", "forward only, twice as wide", "both directions")
    shares = {"accuracy": [0.3, 0.31], "top_accuracy": [0.4, 0.41]}
    bidirectional._draw(bidirectional.Settings(out=out), dict.fromkeys(names, shares))


def draw_context(out):
    curves = {name: [12.0, 8, 6, 5.5, 5, 5, 5, 5] for name in ("no hidden state", "RNN", "GRU")}
    settings = no_hidden_state.Settings(out=out)
    no_hidden_state._draw(settings, curves, {n: 10.0 / n for n in range(1, 8)})


def draw_zipf(out, corpus="time_machine_words"):
    ids = np.random.default_rng(0).zipf(1.3, 5000).clip(1, 1000).astype(np.int32)
    settings = language_statistics.Settings(corpus=corpus, out=out)
    language_statistics._draw_zipf(settings, {n: count_ngrams(ids, n) for n in (1, 2, 3)})


PICTURES = (draw_sine, draw_gradients, draw_blanks, draw_context, draw_zipf)


def legend_of(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def ticks_of(axis):
    """The labels of an axis that are to be seen."""
    low, high = sorted(axis.get_view_interval())
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    return {tick.label1.get_text() for tick in ticks if low <= tick.get_loc() <= high} - {""}


def words_of(figure):
    """All text but the numbers at the ticks: what is written, and where."""
    texts = [figure._suptitle, figure._supxlabel, figure._supylabel]
    for axes in figure.axes:
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        texts += axes.get_legend().get_texts() if axes.get_legend() else []
    return [(text.get_text(), text.get_window_extent()) for text in texts if text and str(text)]


@pytest.mark.parametrize("draw", PICTURES)
def test_no_words_hide_others_or_leave_the_picture(draw, figures_of):
    for figure in figures_of(draw).values():
        words = [(text, place) for text, place in words_of(figure) if text]
        for (one, its_place), (other, place) in itertools.combinations(words, 2):
            assert not its_place.overlaps(place), (one, other)
        for text, place in words:
            assert figure.bbox.x0 <= place.x0 < place.x1 <= figure.bbox.x1, text
            assert figure.bbox.y0 <= place.y0 < place.y1 <= figure.bbox.y1, text


@pytest.mark.parametrize("draw", PICTURES)
def test_pictures_need_no_chinese_font(draw, figures_of):
    """Matplotlib warns of characters that it draws as boxes, and here warnings are errors."""
    assert figures_of(draw)


def test_the_title_of_blanks_is_chinese_where_it_can_be(monkeypatch, tmp_path):
    titles = []
    for fonts in ([], ["Noto Sans CJK SC"]):
        monkeypatch.setattr(pictures, "_chinese_fonts_here", lambda fonts=fonts: fonts)
        monkeypatch.setattr(pictures, "save", lambda figure, _: titles.append(figure.axes[0].title))
        draw_blanks(tmp_path)
    assert [title.get_text() for title in titles] == ["Filling blanks", "我___饿了: filling blanks"]


def test_chinese_without_a_font_becomes_code_points(no_chinese, tmp_path):
    figure, (axes,) = pictures.new_figure()
    axes.set_title("分，é 开")
    with pytest.warns(UserWarning, match="no installed font has Chinese characters, so .* install"):
        pictures.save(figure, tmp_path / "a.png")
    assert axes.get_title() == r"\u5206\uff0cé \u5f00"


def test_chinese_with_a_font_stays(tmp_path):
    if not pictures.has_chinese_font():
        pytest.skip("needs a font that has Chinese characters")
    figure, (axes,) = pictures.new_figure()
    axes.set_title("分，é 开")
    pictures.save(figure, tmp_path / "a.png")
    assert axes.get_title() == "分，é 开"
    draw_blanks(tmp_path)


def test_errors_have_plain_numbers_at_their_ticks(figures_of):
    assert ticks_of(figures_of(draw_sine)["errors"].axes[0].yaxis) >= {"0.04", "0.1", "0.2", "0.3"}


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (2e-3, 5e-2, {"0.002", "0.01", "0.04"}),
        (0.5, 2e6, {"1", "10", "1,000", "1,000,000"}),
        (15e3, 45e3, {"20,000", "30,000", "40,000"}),
    ],
)
def test_plain_ticks_are_plain(low, high, expected):
    figure, (axes,) = pictures.new_figure()
    axes.semilogy([1, 2], [low, high])
    pictures.plain_ticks(axes.yaxis)
    figure.draw_without_rendering()
    shown = ticks_of(axes.yaxis)
    assert shown >= expected
    assert not [label for label in shown if "e" in label]


def test_predictions_do_not_hide_one_another(figures_of):
    """The data, one prediction and the end of the training in each panel."""
    panels = figures_of(draw_sine)["predictions"].axes
    assert [len(axes.lines) for axes in panels] == [3] * 8
    assert panels[3].get_title() == "window of 4, 64 ahead"
    assert panels[4].get_title() == "GRU, 1 ahead"


def test_the_legend_of_gradients_is_beside_the_lines(figures_of):
    left, right = figures_of(draw_gradients)["distance"].axes
    for axes in (left, right):
        assert not axes.get_legend().get_window_extent().overlaps(axes.get_window_extent())
    assert "truncated at 35" in legend_of(left)
    assert not list(left.texts)


def test_zipf_names_the_fits(figures_of):
    (axes,) = figures_of(draw_zipf)["zipf"].axes
    points, fits = legend_of(axes)[:3], legend_of(axes)[3:]
    assert points == ["single tokens", "pairs", "triples"]
    assert [fit[:16] for fit in fits] == ["fit: exponent 1.", *2 * ["fit: exponent 0."]]
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert [line.get_label() for line in dashed] == fits


@pytest.mark.filterwarnings("ignore:.*no installed font has Chinese")
def test_a_file_of_any_name_has_a_title(figures_of):
    corpus = f"/somewhere/else/$x^$ {'long ' * 15}分开.txt"
    figure = figures_of(functools.partial(draw_zipf, corpus=corpus))["zipf"]
    (axes,) = figure.axes
    title, place = axes.get_title(), axes.title.get_window_extent()
    assert title.startswith("Zipf's law: words of $x^$ long")
    assert figure.bbox.x0 < place.x0 < place.x1 < figure.bbox.x1
