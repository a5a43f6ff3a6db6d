"""`jaxrnn generate`: prompts, stop texts, samples, JSON lines, and text as it is made."""

import io
import json
import sys

import pytest

import jaxrnn
from jaxrnn.runs.run import Run
from jaxrnn.runs.saver import Saver
from jaxrnn.runs.settings import Settings


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A run before its first step, on a text with line breaks."""
    folder = tmp_path_factory.mktemp("generate")
    (folder / "text.txt").write_text("ab 分开\n不分开 ba\n" * 100)
    network = jaxrnn.ModelConfig(hidden_size=8, init="uniform")
    settings = Settings(
        model=network,
        corpus=str(folder / "text.txt"),
        max_chars=1200,
        validation_chars=0,
        out=folder / "run",
    )
    with Saver(Run(settings)) as saver:
        saver.start()
    return folder / "run"


@pytest.fixture
def generate(run, run_dir):
    """(arguments) -> the lines that the command prints."""

    def generate(*arguments):
        code, said, complained = run("generate", run_dir, "--length", 12, *arguments)
        assert (code, complained) == (0, "")
        assert said.endswith("\n")
        return said[:-1].split("\n")

    return generate


HOT = ("--temperature", 1)


def test_samples_of_a_prompt_follow_one_another(generate):
    rows = [
        json.loads(line)
        for line in generate("--prompt", "分", "ab", *HOT, "--samples", 2, "--json")
    ]
    assert [row["prompt"] for row in rows] == ["分", "分", "ab", "ab"]
    assert rows[0]["continuation"] != rows[1]["continuation"]


def test_a_line_of_json_says_how_a_text_came_about(generate, run_dir):
    model, params, vocabulary = jaxrnn.load_run(run_dir)
    arguments = ("--prompt", "分", *HOT, "--samples", 8, "--json", "--stop", "\n")
    lines = generate(*arguments, "--min-tokens", 3)
    assert "分" in lines[0]
    rows = [json.loads(line) for line in lines]
    assert {row["stopped"] for row in rows} == {True, False}
    for row in rows:
        assert set(row) == {
            "prompt", "text", "continuation", "tokens", "log_probability", "stopped"
        }  # fmt: skip
        assert row["text"] == row["prompt"] + row["continuation"]
        assert row["tokens"] == len(row["continuation"]) + row["stopped"] >= 3
        ids = vocabulary.encode(row["text"] + "\n" * row["stopped"])
        score = float(jaxrnn.score(model, params, ids).log_probability)
        # float32 sums of at most twelve terms
        assert row["log_probability"] == pytest.approx(score, rel=1e-5)


def test_stop_texts_are_taken_as_they_are(generate, run, run_dir):
    texts = generate("--prompt", "分", *HOT, "--seed", 1, "--samples", 9, "--stop", "\n")
    assert len(texts) == 9  # a line break ends a text, so that each has one line
    code, _, complained = run("generate", run_dir, "--prompt", "分", "--stop", r"\n")
    assert code == 2
    assert complained == (
        r"error: stop '\\n' has characters that are not in the vocabulary of 7: '\\' 'n':"
        r" a shell writes a line break as $'\n'" + "\n"
    )


@pytest.mark.parametrize("arguments", [(), ("--prompt", "-")])
def test_prompts_come_from_standard_input(generate, monkeypatch, arguments):
    monkeypatch.setattr(sys, "stdin", io.StringIO("分\n不 b\n"))
    lines = generate(*arguments, "--json")
    assert [json.loads(line)["prompt"] for line in lines] == ["分", "不 b"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


NO_TEXT = io.TextIOWrapper(io.BytesIO(b"\xff"), encoding="utf-8")


@pytest.mark.parametrize(
    ("message", "stdin", "arguments"),
    [
        ("prompt must be given, or come from standard input, a line each", Terminal(), ()),
        ("prompt must be given, or come from standard input, a line each", None, ()),
        ("standard input must hold at least one prompt, a line each, got none", io.StringIO(), ()),
        ("standard input must be text: 'utf-8' codec can't", NO_TEXT, ()),
        ("prompts must have at least one character, got ''", io.StringIO("b\n\n"), ()),
        ("samples must be at least 1, got 0", None, ("--prompt", "b", "--samples", 0)),
        ("samples must be at most 20,000, got 20001", None, ("--prompt", "b", "--samples", 20_001)),
        ("num_samples must be 1 if the temp", None, ("--prompt", "b", "--samples", 2)),
        ("min_tokens must be between 0 and 50", None, ("--prompt", "b", "--min-tokens", 51)),
        ("stop must have at least one character", None, ("--prompt", "b", "--stop", "")),
    ],
)
def test_wrong_requests_are_one_line(
    message, stdin, arguments, run, run_dir, monkeypatch, as_users_run
):
    monkeypatch.setattr(sys, "stdin", stdin)
    code, said, complained = run("generate", run_dir, *arguments)
    assert (code, said) == (2, "")
    assert complained.startswith(f"error: {message}")
    assert complained.count("\n") == 1


def test_on_a_terminal_one_text_appears_as_it_is_made(generate, monkeypatch):
    arguments = ("--prompt", "分", *HOT, "--stop", "b")
    at_once = generate(*arguments)
    flushed = []
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(sys.stdout, "flush", lambda: flushed.append(None))
    assert generate(*arguments) == at_once
    assert len(flushed) >= len("".join(at_once)), "every character is shown by itself"
