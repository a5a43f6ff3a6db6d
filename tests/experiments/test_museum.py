"""The museum: tasks against brute force, its page against its numbers, and short runs."""

import functools
import itertools
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxrnn
from experiments.museum import (
    counting,
    data,
    elnino,
    group,
    languages,
    memory,
    music,
    page,
    selective,
)
from experiments.museum.layers import AllSteps, Noise
from experiments.museum.row import curve
from experiments.museum.rows import ROWS
from experiments.museum.streams import longer_and_longer, train_on
from experiments.museum.transformer import transformer


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def value_of(symbols):
    """The value of an expression by Python itself; that before an operator at its end."""
    signs = [str(s) if s < 5 else "+-*"[s - 5] for s in symbols]
    return eval("".join(signs if len(signs) % 2 else signs[:-1])) % 5


BY_HAND = {
    "parity": lambda symbols: sum(symbols) % 2,
    "even-pairs": lambda symbols: int(sum(a != b for a, b in itertools.pairwise(symbols)) % 2 == 0),
    "cycle": lambda symbols: sum({0: 0, 1: 1, 2: -1}[s] for s in symbols) % 5,
    "modular": value_of,
}


@pytest.mark.parametrize("name", languages.LANGUAGES)
@pytest.mark.parametrize("length", [1, 2, 9, 12])
def test_answers_of_languages_are_those_by_hand(name, length, rng):
    language = languages.LANGUAGES[name]
    symbols = language.draw(rng, (length, 20))
    assert 0 <= symbols.min() <= symbols.max() < language.num_symbols
    answers = language.answers(symbols)
    for t, b in itertools.product(range(length), range(20)):
        assert answers[t, b] == BY_HAND[name](symbols[: t + 1, b].tolist())


def test_products_are_those_of_permutations(rng):
    elements, table = group.even_permutations(), group.product_table()
    assert len(elements) == 60
    words = rng.integers(0, 60, (6, 10))
    found = group.products(table, words)
    for b in range(10):
        things = np.arange(5)
        for t in range(6):
            things = elements[words[t, b]][things]
            np.testing.assert_array_equal(elements[found[t, b]], things)


def test_strings_count():
    batch = counting.strings(np.array([1, 3]), 2)
    shown = ["".join("ab$"[s] for s in column) for column in batch.targets.T]
    assert shown[1] == "aabbb$"
    assert shown[0].startswith("b$")
    assert batch.lengths.tolist() == [2, 6]
    assert batch.mask[:, 1].tolist() == [False, False, False, True, True, True]


def test_sums_and_copies_are_asked_for(rng):
    batch = memory.draw_adding(rng, 30)
    assert (batch.inputs[..., 1].sum(axis=0) == 2).all()
    marked = np.where(batch.inputs[..., 1] == 1, batch.inputs[..., 0], 0)
    np.testing.assert_allclose(batch.targets, marked.sum(axis=0), rtol=1e-6)
    batch = memory.draw_copying(rng)
    np.testing.assert_array_equal(batch.targets[-memory.COPIED :], batch.inputs[: memory.COPIED])
    assert len(batch.inputs) == 2 * memory.COPIED + memory.BLANKS


def test_symbols_among_noise_are_asked_for_in_order(rng):
    batch = selective.draw(rng, 40)
    places = set()
    for b in range(selective.BATCH_SIZE):
        read, asked = batch.inputs[:40, b], batch.inputs[40:, b]
        symbols = [symbol for symbol in read if symbol != selective.NOISE]
        assert len(symbols) == len(asked) == selective.COPIED
        assert set(symbols) <= set(range(selective.SYMBOLS))
        assert (asked == selective.ASK).all()
        assert batch.targets[batch.mask[:, b], b].tolist() == symbols
        places |= set(np.flatnonzero(read != selective.NOISE).tolist())
    assert places == set(range(40))


def test_sequences_get_longer_as_the_stages_say(rng):
    draw = longer_and_longer(selective.draw, selective.STAGES, 20)
    lengths = [len(draw(rng).inputs) - selective.COPIED for _ in range(20)]
    assert lengths == 17 * [32] + 2 * [64] + [selective.PLACES]


def test_gates_last_as_long_as_asked():
    layer = memory.reader(jaxrnn.lstm(50), 100)
    i, f, g, o = jnp.split(layer.init(jax.random.key(0), 2).b_ih, 4)
    np.testing.assert_allclose(i, -f)
    assert not g.any()
    assert not o.any()
    assert f.min() >= 0
    assert f.max() <= np.log(100)


@pytest.mark.parametrize("make", [jaxrnn.min_gru, jaxrnn.min_lstm])
def test_minimal_cells_keep_what_lasts(make):
    layer = memory.reader(make(50), 100)
    carry = jaxrnn.HiddenCarry(jnp.ones((1, 50)))
    kept, _ = layer.apply(layer.init(jax.random.key(0), 2), jnp.zeros((1, 1, 2)), carry)
    # A unit that lasts t steps keeps t / (t + 1) of its state at each.
    assert float(kept.min()) >= 1 / 2
    assert 0.95 < float(kept.max()) <= 100 / 101


def test_windows_of_music_are_chords_and_those_that_follow(rng):
    pieces = [rng.random((n, 88)) for n in (7, 2, 5)]
    inputs, targets = music.windows(pieces, 3)
    assert [len(part) for part in inputs] == [3, 3, 1, 3, 1]
    np.testing.assert_array_equal(np.concatenate(inputs[:2]), pieces[0][:6])
    np.testing.assert_array_equal(np.concatenate(targets[:2]), pieces[0][1:])


def test_keys_begin_as_often_as_they_sound(rng):
    chords = [(rng.random((50, 88)) < 0.1).astype(np.float32) for _ in range(3)]
    bias = music.log_odds(chords)(None, (88,), jnp.float32)
    often = np.concatenate(chords).mean(axis=0)
    np.testing.assert_allclose(jax.nn.sigmoid(bias), np.clip(often, 1e-3, 1), rtol=1e-4)


def test_gates_that_count_close_and_open_completely():
    gates = [jnp.full((1, 1), x) for x in (9.0, 3.0, 5.0, -2.0)]
    zeros = [jnp.zeros((1, 1))] * 4
    carry = jaxrnn.LSTMCarry(jnp.zeros((1, 1)), jnp.full((1, 1), 41.0))
    hidden, memory = counting.hard_update((), gates, zeros, carry)
    assert float(memory[0, 0]) == 42.0
    assert float(hidden[0, 0]) == 0.0


def test_windows_of_months_belong_to_one_part_and_a_line_is_forecast():
    months = np.arange(61 * 12)
    parts, scale = elnino.cut(20.0 + months % 12 + 0.12 * (months // 12))
    starts = {"learn": 24, "choose": 36 * 12, "judge": 46 * 12}
    for name, part in parts.items():
        assert part.month[0] == starts[name] % 12
        assert part.past.shape == (24, len(part.month))
        # The temperature climbs by as much at each turn of the year.
        np.testing.assert_allclose(scale * (part.future - part.naive), 0.12, atol=1e-9)
        climbed = scale * (part.future[:, 0] - part.past[-1])
        np.testing.assert_allclose(climbed, np.where(part.month == 0, 0.12, 0), atol=1e-9)
    assert len(parts["judge"].month) == 15 * 12 - 11
    said = elnino.linear_forecast(parts)
    assert np.abs(said - parts["judge"].future).max() * scale < 0.01
    inputs = elnino.steps(parts["judge"])
    assert (inputs[..., 1:].argmax(axis=-1)[-1] == (parts["judge"].month - 1) % 12).all()


def test_a_curve_has_at_most_fifty_points():
    assert curve([3.0, 5.0], first=10, step=5) == [(10, 3), (15, 5)]
    points = curve(np.arange(1000))
    assert len(points) == 50
    assert points[0] == (10.5, 9.5)


def test_noise_is_for_training_alone():
    layer, inputs = Noise(of_step=0.5, of_sequence=0.3, of_scale=0.1), jnp.ones((400, 3, 2))
    same, _ = layer.apply((), inputs)
    noisy, _ = layer.apply((), inputs, key=jax.random.key(0))
    np.testing.assert_array_equal(same, inputs)
    assert 0.4 < float(noisy.std(axis=0).mean()) < 0.6


def test_a_head_of_all_steps_and_the_transformer_learn_what_they_can_see(rng):
    model = AllSteps(jaxrnn.recurrent(jaxrnn.rnn(8)), jaxrnn.linear(2), num_steps=5)
    inputs = rng.normal(size=(5, 40, 1))
    classes = (inputs[0, :, 0] > 0).astype(int)
    options = {"epochs": 30, "progress": False, "key": jax.random.key(0)}
    _, history = jaxrnn.fit(model, optax.adam(0.05), inputs, classes, **options)
    assert history.rows[-1]["loss"] < 0.2
    decoder, ids = transformer(3, 2), rng.integers(0, 3, (6, 2))
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        params = jax.jit(decoder.init, static_argnums=1)(jax.random.key(0), 3)
        apply = jax.jit(decoder.apply)
        whole, _ = apply(params, ids)
        first, _ = apply(params, ids[:4])
    np.testing.assert_allclose(whole[:4], first, atol=1e-5)


def test_a_stream_trains(rng):
    language = languages.LANGUAGES["even-pairs"]
    model = languages.network(jaxrnn.gru(16), language)

    def draw(rng):
        symbols = language.draw(rng, (6, 16))
        answers = language.answers(symbols)
        return jaxrnn.Batch(symbols.astype(np.int32), answers.astype(np.int32))

    train = functools.partial(train_on, model, optax.adam(0.03), jaxrnn.losses.cross_entropy, draw)
    params, means = train(300, 2, 0)
    assert len(means) == 50
    assert means[-1] < means[0]
    symbols = language.draw(rng, (6, 50)).astype(np.int32)
    found = jaxrnn.evaluate(
        model, params, symbols, language.answers(symbols), metrics=[jaxrnn.losses.accuracy]
    )
    assert found["accuracy"] > 0.9


def test_the_page_shows_the_numbers_that_are_kept():
    assert page.PAGE.read_text("utf-8") == page.text()
    for row in ROWS.values():
        assert set(row.numbers()) <= set(row.seeds)


def test_the_rows_are_listed_and_wrong_names_refused(run):
    code, said, _ = run("museum")
    assert code == 0
    assert len(said.splitlines()) == len(ROWS) + 2
    code, _, error = run("museum", "nothing")
    assert code == 2
    assert "row must be all or one of vowels" in error


def test_data_that_are_missing_or_others_are_said(tmp_path, monkeypatch):
    monkeypatch.delenv("JAXRNN_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"fetch it \(github.com/greydanus/mnist1d; Apache"):
        data.mnist1d()
    monkeypatch.setenv("JAXRNN_DATA", str(tmp_path))
    (tmp_path / "mnist1d.npz").write_text("other")
    with pytest.raises(ValueError, match="must have SHA-256 9b97251e"):
        data.mnist1d()


@pytest.mark.skipif("JAXRNN_DATA" not in os.environ, reason="JAXRNN_DATA is not set")
def test_data_are_what_the_papers_say():
    utterances, speakers = data.vowels("TRAIN")
    assert len(utterances) == 270
    assert {len(u) for u in utterances} <= set(range(7, 30))
    assert np.bincount(speakers).tolist() == [30] * 9
    assert len(data.vowels("TEST")[0]) == 370
    assert data.mnist1d()["x"].shape == (4000, 40)
    pytest.importorskip("scipy")
    assert [len(part) for part in data.chords("JSB_Chorales").values()] == [229, 76, 77]
