"""The texts of a run."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from marks import in_matrix
from subprocesses import SMALL

import jaxrnn
from jaxrnn.commands.score import compare_with_shuffled, held_out_lines
from jaxrnn.runs import Record, TextRecord
from jaxrnn.runs.settings import Settings
from jaxrnn.runs.texts import held_out_metrics, known_prompts, prepare_texts, split
from jaxrnn.text import UnknownTokenError
from jaxrnn.text.pieces import pieces_of
from jaxrnn.text.token_file import write_token_file
from jaxrnn.training import Progress


def test_line_breaks_become_spaces_and_the_vocabulary_is_of_the_training_text():
    texts = prepare_texts("ab\nba\nxb", max_tokens=5, held_out_tokens=3)
    assert texts.vocabulary.decode(texts.ids) == "ab ba"
    assert texts.held_out.known.tolist() == [True, False, True]
    assert set(texts.vocabulary.tokens) == set("ab ")


def test_training_validation_and_held_out_text_follow_one_another():
    text = "abcdefghij" * 3
    texts = prepare_texts(text, 12, 9, validation_tokens=7)
    parts = [texts.ids, texts.validation.ids, texts.held_out.ids]
    assert [texts.vocabulary.decode(ids) for ids in parts] == [text[:12], text[12:19], text[19:28]]
    texts = prepare_texts(text, 100, 9, validation_tokens=7)  # too short: a tenth of it each
    parts = [texts.ids, texts.validation.ids, texts.held_out.ids]
    assert [texts.vocabulary.decode(ids) for ids in parts] == [text[:24], text[24:27], text[27:]]


sizes = st.integers(0, 60)


@given(st.integers(10, 100), st.integers(1, 60), sizes, sizes)
def test_every_part_of_a_text_has_what_it_asks_for_or_a_tenth(number, training, validation, held):
    ends = np.minimum(split(number, training, validation, held), number)
    came = np.diff(ends, prepend=0)
    if number >= training + validation + held:
        assert came.tolist() == [training, validation, held]
    else:
        tenth = number // 10
        assert came[0] == min(training, number - min(validation, tenth) - min(held, tenth))
        assert came[1] == min(validation, tenth)
        assert min(held, tenth) <= came[2] <= held


def test_a_text_without_a_rest_has_no_held_out_perplexity():
    texts = prepare_texts("abc abc", max_tokens=100, held_out_tokens=10)
    model = jaxrnn.build_language_model(jaxrnn.ModelConfig(hidden_size=2), len(texts.vocabulary))
    assert held_out_metrics(model, (), texts) == {}


def test_prompts_asked_for_must_be_known_and_defaults_are_passed_over():
    texts = prepare_texts("hello", max_tokens=5, held_out_tokens=0)
    defaults = ("分开", "he")
    assert known_prompts(defaults, defaults, texts) == ("he",)
    assert known_prompts(("分开",), ("分开",), texts) == ("he",)
    assert known_prompts((), defaults, texts) == ("he",)
    assert known_prompts(("ll",), defaults, texts) == ("ll",)
    with pytest.raises(UnknownTokenError, match="'x'"):
        known_prompts(("hex",), defaults, texts)


def test_held_out_lines_are_whole_lines_of_the_run_s_own_file(tmp_path):
    path = tmp_path / "my.txt"
    path.write_bytes(b"abcd\r\nabc\r\nbcax\r\ncc\r\nabd\r\nabc")
    corpus = jaxrnn.load_corpus(str(path))
    texts = prepare_texts(corpus.text, max_tokens=6, held_out_tokens=17)
    record = Record(
        jaxrnn.ModelConfig(),
        jaxrnn.TrainConfig(),
        TextRecord(corpus.name, corpus.digest, 6, 17),
        texts.vocabulary,
        Progress(),
    )
    assert held_out_lines(record, texts.vocabulary) == ["bca", "abd"]
    path.write_text("something else")
    with pytest.raises(ValueError, match="must have the run's SHA-256"):
        held_out_lines(record, texts.vocabulary)


def test_a_model_of_alternating_letters_prefers_them_in_order():
    vocabulary = jaxrnn.Vocabulary.of("ab ")
    a, b, _ = vocabulary.encode("ab ")
    model = jaxrnn.language_model(3, jaxrnn.recurrent(jaxrnn.rnn(3)))
    params = model.init(jax.random.key(0), 3)
    follows = np.full((3, 3), -5.0, np.float32)
    follows[a, b] = follows[b, a] = follows[vocabulary.encode(" ")[0], a] = 5.0
    zero = np.zeros((3, 3), np.float32)
    body = params.body._replace(
        w_ih=np.eye(3, dtype=np.float32) * 20, w_hh=zero, b_ih=np.zeros(3, np.float32)
    )
    output = params.output._replace(kernel=follows, bias=np.zeros(3, np.float32))
    params = params._replace(body=body, output=output)
    params = jax.tree.map(jax.numpy.asarray, params)
    outcome = compare_with_shuffled(model, params, vocabulary, ["abababab"], 20, seed=0)
    assert outcome.wins == outcome.pairs == 20


def test_a_tokenized_text_is_asked_for_by_its_folder_and_its_unit(tmp_path):
    text = tmp_path / "my.txt"
    text.write_text("the end of the time machine " * 10)
    write_token_file(lambda: pieces_of([text], "word"), tmp_path / "tokens", "word")
    corpus, texts = Settings(corpus=str(tmp_path / "tokens"), unit="word", max_chars=40).load()
    assert texts.vocabulary.decode(texts.ids).startswith("the end of the")
    assert len(texts.ids) == 40
    assert len(texts.validation.ids) == 6  # a tenth of the sixty
    assert len(texts.held_out.ids) == 14  # the rest
    assert "60 tokens in" in corpus.source
    with pytest.raises(ValueError, match=r"must be word, as in .*, got character"):
        Settings(corpus=str(tmp_path / "tokens")).load()


def test_unknown_words_of_a_tokenized_text_are_not_judged(tmp_path):
    text = tmp_path / "my.txt"
    text.write_text("the cat sat on the mat and the dog sat on the log\n" * 40)
    folder = tmp_path / "tokens"
    write_token_file(lambda: pieces_of([text], "word"), folder, "word", max_size=5)
    sizes = {"unit": "word", "max_chars": 300, "held_out_chars": 100}
    _, plain = Settings(corpus=str(text), max_vocabulary=5, **sizes).load()
    _, tokenized = Settings(corpus=str(folder), **sizes).load()
    assert tokenized.held_out.known.mean() == plain.held_out.known.mean() < 0.8
    assert tokenized.validation.known.mean() == plain.validation.known.mean() < 0.8


def test_line_breaks_of_own_texts_are_kept_and_the_books_become_spaces(tmp_path, as_users_run):
    path = tmp_path / "poem.txt"
    path.write_text("a rose\nis a rose\r\nis a rose\r" * 40)
    _, texts = Settings(corpus=str(path)).load()
    assert texts.keep_line_breaks
    assert texts.vocabulary.decode(texts.ids[:17]) == "a rose\nis a rose\n"
    _, texts = Settings(corpus=str(path), keep_line_breaks=False).load()
    assert texts.vocabulary.decode(texts.ids[:17]) == "a rose is a rose "
    _, texts = Settings(corpus="songs").load()
    assert not texts.keep_line_breaks
    assert "\n" not in texts.vocabulary
    _, texts = Settings(corpus="songs", keep_line_breaks=True).load()
    assert "\n" in texts.vocabulary


@pytest.mark.parametrize("flag", ["False", *in_matrix("True")])
def test_a_run_that_is_resumed_does_with_line_breaks_as_it_did(tmp_path, run, flag):
    path = tmp_path / "poem.txt"
    path.write_text("a rose\nis a rose\n" * 60)
    settings = [*SMALL, "--corpus", path, "--prompts", "a rose", "--max-chars", 700]
    settings += ["--out", tmp_path / "run"]
    assert run("train", *settings, "--epochs", 1, "--keep-line-breaks", flag)[0] == 0
    code, said, error = run("train", *settings, "--epochs", 1, "--resume")
    assert code == 0, error
    assert "has finished 1 epochs" in said
    vocabulary = jaxrnn.load_run(tmp_path / "run").vocabulary
    assert ("\n" in vocabulary) == (flag == "True")
    other = "False" if flag == "True" else "True"
    again = ("--epochs", 2, "--resume", "--keep-line-breaks", other)
    code, _, error = run("train", *settings, *again)
    assert code == 2
    assert f"text.keep_line_breaks: {flag} in the checkpoint, {other} here" in error
    code, said, _ = run("score", tmp_path / "run", "is a rose", "rose a si")
    assert code == 0
    assert said.count("log-probability") == 2


@pytest.mark.parametrize("unit", ["character", "word"])
def test_only_as_much_of_a_text_is_read_as_is_used(tmp_path, unit, monkeypatch):
    """Also where words are longer than was thought."""
    path = tmp_path / "a.txt"
    for word in ("ab ", "a" * 40 + " "):
        path.write_text(word * 3000)
        settings = Settings(corpus=str(path), unit=unit, max_chars=500, held_out_chars=100)
        corpus, texts = settings.load()
        sizes = (len(texts.ids), len(texts.validation.ids), len(texts.held_out.ids))
        assert sizes == (500, 1000, 100)
        whole = prepare_texts(
            path.read_text(), 500, 100, unit, validation_tokens=1000, keep_line_breaks=True
        )
        for part in ("ids", "validation", "held_out"):
            np.testing.assert_array_equal(getattr(texts, part), getattr(whole, part))
        assert len(corpus.text) == (1600 if unit == "character" else 3000 * len(word))


def test_the_first_prompt_has_no_unknown_token():
    texts = prepare_texts("春abcabab", max_tokens=8, held_out_tokens=0, max_vocabulary=4)
    assert texts.vocabulary.unknown in [texts.vocabulary.tokens[i] for i in texts.ids[:2]]
    assert known_prompts((), ("分开",), texts) == ("ab",)


def test_settings_that_tokens_already_have_are_not_ignored(tmp_path):
    write_token_file(lambda: iter(["the time machine "] * 40), tmp_path / "tokens", "word")
    sizes = {"max_chars": 50, "validation_chars": 0, "held_out_chars": 10, "unit": "word"}
    for more, message in (
        ({"max_vocabulary": 3}, "jaxrnn tokenize --max-vocabulary"),
        ({"keep_line_breaks": False}, "keep_line_breaks must be True"),
    ):
        with pytest.raises(ValueError, match=message):
            Settings(corpus=str(tmp_path / "tokens"), **sizes, **more).load()
