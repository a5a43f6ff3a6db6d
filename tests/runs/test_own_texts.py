"""Runs on your own files: several of them, in another encoding, as bytes, with few tokens."""

import json
import sys
from pathlib import Path

import jax
import pytest
from subprocesses import SMALL

import jaxrnn
from jaxrnn.runs import Record
from jaxrnn.runs.report import print_start
from jaxrnn.runs.run import Run
from jaxrnn.runs.saver import Saver
from jaxrnn.runs.settings import Settings
from jaxrnn.training import Progress

SPRING, AUTUMN = "春水流过桥下\n柳条轻轻垂着\n", "秋风吹落叶子\n叶子落满小路\n"


@pytest.fixture
def poems(tmp_path, monkeypatch):
    """Two poems in gb18030, in the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spring.txt").write_text(SPRING * 30, encoding="gb18030")
    (tmp_path / "autumn.txt").write_text(AUTUMN * 30, encoding="gb18030")
    return tmp_path


def flags(*more):
    """Settings of a small run, whose first prompt is the beginning of its text."""
    no_prompts = SMALL.index("--prompts")
    small = SMALL[:no_prompts] + SMALL[no_prompts + 2 :]
    return [*small, "--max-chars", 700, "--epochs", 1, "--out", "run", *more]


def begin(**more):
    """Begin a small run as `jaxrnn train` does, or resume it, without a step of training.

    Tests of the documentation train on such texts.
    """
    model = jaxrnn.ModelConfig(hidden_size=16)
    training = jaxrnn.TrainConfig(batch_size=4, num_steps=20, epochs=1)
    sizes = {"max_chars": 700, "held_out_chars": 300}
    run = Run(Settings(model, training, out=Path("run"), **(sizes | more)))
    with Saver(run) as saver:
        state, _ = saver.start()
    print_start(run, sum(leaf.size for leaf in jax.tree.leaves(state.params)))


def test_several_files_are_one_text_and_recorded(poems):
    names = ("spring.txt", "autumn.txt")
    training = jaxrnn.TrainConfig(batch_size=2, num_steps=5)
    run = Run(Settings(training=training, corpus=names, encoding="gb18030", max_chars=420))
    assert run.texts.vocabulary.decode(run.texts.ids) == SPRING * 30
    assert run.texts.vocabulary.encode_known(AUTUMN)[1].mean() < 0.5
    record = run.record(Progress())
    assert record.text.corpus == names
    assert record.text.encoding == "gb18030"
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_a_run_in_another_encoding_resumes_and_is_scored(poems, run, capsys):
    names = ("spring.txt", "autumn.txt")
    begin(corpus=names, encoding="gb18030")
    assert "corpus spring.txt, autumn.txt: 2 files\n" in capsys.readouterr().out
    begin(corpus=names, encoding="gb18030", resume=True)
    assert "resuming run from the beginning\n" in capsys.readouterr().out
    code, _, complained = run("train", *flags("--corpus", *names, "--encoding", "big5", "--resume"))
    assert code == 2
    assert "must be text in big5" in complained or "text.encoding: gb18030" in complained
    code, said, complained = run("score", "run", "--shuffle-test")
    assert code == 0, complained
    assert "held-out lines" in said


def test_a_run_on_the_bytes_of_a_picture(poems, run, capsys):
    content = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 3
    (poems / "a.png").write_bytes(content)
    begin(corpus="a.png", unit="byte")
    said = capsys.readouterr().out
    assert "622 bytes to train on, 256 distinct; 77 for validation, 77 held out" in said
    vocabulary = jaxrnn.load_run("run").vocabulary
    assert vocabulary.unit == "byte"
    code, said, complained = run(
        "generate", "run", "--prompt", "PNG", "分", "--length", 9, "--json"
    )
    assert code == 0, complained
    for line, prompt in zip(said.splitlines(), ("PNG", "分"), strict=True):
        assert json.loads(line)["text"].startswith(prompt)


def test_a_limited_vocabulary_is_kept_by_resume(poems, run, capsys):
    (poems / "words.txt").write_text("the cat sat on the mat and the dog sat on the log\n" * 40)
    more = {"corpus": "words.txt", "unit": "word", "max_vocabulary": 5, "max_chars": 300}
    begin(**more)
    assert "5 distinct" in capsys.readouterr().out
    assert jaxrnn.load_run("run").vocabulary.tokens[:2] == ("<unk>", "the")
    begin(**more, resume=True)
    assert "resuming run from the beginning\n" in capsys.readouterr().out
    code, _, complained = run("generate", "run", "--prompt", "the bird", "--allow-unknown")
    assert code == 0, complained
    code, _, complained = run("generate", "run", "--prompt", "the bird")
    assert code == 2
    assert "words that are not in the vocabulary of 5: 'bird'" in complained


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--corpus"], "corpus must name at least one text, got none"),
        (["--corpus", "none.txt"], "an existing file, a folder of .txt files or a pattern, got no"),
        (["--corpus", "*.csv"], "or a pattern, got *.csv"),
        (["--corpus", "spring.txt"], "it may be gb18030: --encoding gb18030"),
        (["--encoding", "klingon"], "encoding must be one that Python knows"),
        (["--max-vocabulary", "1"], "max_vocabulary must be at least 2, got 1"),
        (["--unit", "byte", "--max-vocabulary", "9"], "must be left out with bytes"),
        (["--max-vocabulary", "9" * 20], "max_vocabulary must be at most 2,147,483,647"),
        (["--from", "x", "--max-vocabulary", "9"], "must be left out with --from"),
        (["--unit", "letter"], "unit"),
    ],
)
def test_wrong_flags_are_one_line(poems, run, more, message):
    code, said, complained = run("train", *more)
    assert (code, said) == (2, "")
    assert message in complained
    assert len(complained.splitlines()) == 1 or "--unit" in more


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--text", "none.txt"], "or a pattern, got none.txt"),
        (["--text", "spring.txt"], "it may be gb18030: --encoding gb18030"),
        (["--text", "spring.txt", "--encoding", "klingon"], "encoding must be one that Python"),
        (
            ["--text", "spring.txt", "--unit", "byte", "--max-vocabulary", "9"],
            "left out with bytes",
        ),
        (["--text", "spring.txt", "--max-vocabulary", "1"], "max_vocabulary must be at least 2"),
    ],
)
def test_wrong_flags_of_tokenize_are_one_line(poems, run, more, message):
    code, said, complained = run("tokenize", "--out", "tokens", *more)
    assert (code, said) == (2, "")
    assert message in complained
    assert len(complained.splitlines()) == 1
    assert not (poems / "tokens").exists()


def test_tokenize_takes_the_same_files(poems, run):
    code, said, complained = run(
        "tokenize", "--text", "*.txt", "--encoding", "gb18030", "--max-vocabulary", 9, "--out", "t"
    )
    assert code == 0, complained
    assert said.startswith("840 characters, 9 distinct, in t\n")
    _, texts = Settings(corpus="t", max_chars=700).load()
    assert len(texts.vocabulary) == 9
    assert "叶" in texts.vocabulary


def test_control_characters_reach_no_terminal(poems, run, monkeypatch):
    """A terminal would obey them.  Through a pipe the text is as it is."""
    (poems / "log.txt").write_text("\x1b[31mred\x1b[0m \x07\x9b1m\n" * 60)
    code, said, complained = run("train", *flags("--corpus", "log.txt", "--epochs", 30))
    assert code == 0, complained
    assert "\x1b" not in said
    assert "␛" in said
    raw = run("generate", "run", "--prompt", "\x1b[3", "red", "--length", 30)[1]
    assert "\x1b" in raw
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for prompts in (["\x1b[3"], ["\x1b[3", "red"]):
        shown = run("generate", "run", "--prompt", *prompts, "--length", 30)[1]
        assert shown.startswith("␛[3")
        assert not {"\x1b", "\x07", "\x9b"} & set(shown)
    as_json = run("generate", "run", "--prompt", "\x1b[3", "--length", 30, "--json")[1]
    assert json.loads(as_json)["text"].startswith("\x1b[3")
