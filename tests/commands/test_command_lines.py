"""The commands as users type them: what they leave behind, and what they say to wrong input."""

import importlib
import itertools
import json
import re
from pathlib import Path

import pytest
from subprocesses import SMALL, STATEFUL, digest, finish, start, train

from experiments import time_machine


@pytest.fixture(scope="module")
def finished(tmp_path_factory, compiled_programs):
    """A small run, by the real command, which finds its programs compiled."""
    out = tmp_path_factory.mktemp("run") / "run"
    more = ("--epochs", 4, "--sample-every", 2, "--save-every", 10, "--out", out)
    with pytest.MonkeyPatch.context() as variables:
        variables.setenv("JAX_COMPILATION_CACHE_DIR", str(compiled_programs))
        variables.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "1e9")
        code, said, complained = finish(start("jaychou", *STATEFUL, *more))
    assert code == 0, complained
    return out, said


def test_a_run_says_what_it_used_and_shows_samples(finished):
    _, said = finished
    assert "the songs that come with jaxrnn" in said
    assert re.search(r"SHA-256 [0-9a-f]{64}", said)
    assert len(re.findall(r"^epoch [24], perplexity [\d.]+, held out [\d.]+", said, re.M)) == 2
    assert re.search(r"^  - 分开.{7}$", said, re.M)
    assert re.search(r"[\d,]+ tokens/s", said)


def test_a_run_leaves_numbers_a_curve_and_a_summary(finished):
    out, _ = finished
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1]["perplexity"] < rows[0]["perplexity"]
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert list((out / "tensorboard").iterdir())
    summary = json.loads((out / "summary.json").read_text())
    assert set(summary) >= {
        "perplexity", "held_out_perplexity", "tokens_per_second", "seconds", "corpus", "digest",
        "config", "samples", "versions", "device",
    }  # fmt: skip
    assert summary["perplexity"] == rows[-1]["perplexity"]
    assert summary["config"]["training"]["epochs"] == 4


def test_compiled_programs_are_kept_on_request(compiled_programs, tmp_path):
    """A run reads those of another one, adds what it alone needs, and ends the same.

    What it needs is to score a held-out text of another length.  It is given no copy of the folder:
    there JAX would find nothing, as it looks for programs by the path of their folder, too.
    """
    before = {path.name for path in compiled_programs.glob("*-cache")}
    more = ("--held-out-chars", 200, "--compilation-cache", compiled_programs)
    train(tmp_path, "--epochs", 1, *more)
    after = {path.name for path in compiled_programs.glob("*-cache")}
    added = {name.split("-")[0] for name in after - before}
    assert "jit__score" in added
    assert "jit_run_steps" in {name.split("-")[0] for name in before} - added
    assert digest(tmp_path) == digest(compiled_programs.with_name("one"))
    assert json.loads((tmp_path / "summary.json").read_text())["compile_seconds"] > 0


def test_a_finished_run_generates_and_scores(finished, run):
    out, _ = finished
    code, said, _ = run("generate", out, "--prompt", "分开", "天", "--length", 5)
    assert code == 0
    assert [len(line) for line in said.splitlines()] == [7, 6]
    code, said, _ = run("score", out, "我们", "们我")
    assert code == 0
    assert len(re.findall(r"log-probability -[\d.]+, perplexity [\d.]+", said)) == 2
    code, said, _ = run("score", out, "--shuffle-test")
    shares = [float(share) for share in re.findall(r"([\d.]+)% of \d+ held-out lines", said)]
    assert code == 0
    assert len(shares) == 2


def test_a_second_run_into_the_same_folder_is_refused(finished, run):
    out, _ = finished
    code, _, error = run("jaychou", *SMALL, "--out", out)
    assert code == 2
    assert "already holds a run: add --resume" in error


@pytest.fixture
def bad_files(tmp_path):
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    (tmp_path / "no.zip").write_bytes(b"PK nothing")
    return tmp_path


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("'foo' for argument '--cell'", ["--cell", "foo"]),
        ("hidden_size must be at least 1, got 0", ["--hidden-size", "0"]),
        ("parameters, their gradient and", ["--hidden-size", "1000000000"]),
        ("num_layers must be at least 1, got -2", ["--num-layers", "-2"]),
        ("batch_size must be at least 1, got 0", ["--batch-size", "0"]),
        ("invalid literal for int", ["--epochs", "many"]),
        ("learning_rate must be at least 0, got -1.0", ["--learning-rate", "-1"]),
        ("learning_rate must be at least 0, got nan", ["--learning-rate", "nan"]),
        ("max_skipped must be at most 2,147,483,647", ["--max-skipped", "2147483648"]),
        ("optimizer must be one of optax", ["--optimizer", "gradient_descent"]),
        ("optimizer must be one of optax", ["--optimizer", "ScaleByZoomLinesearchState"]),
        ("only gradients and a learning rate, got 'lbfgs'", ["--optimizer", "lbfgs"]),
        ("sample_length must be at most 1,000,000", ["--sample-length", "2147483648"]),
        ("max_chars must be at least 1, got 0", ["--max-chars", "0"]),
        ("save_every must be at least 0, got nan", ["--save-every", "nan"]),
        ("seed must be between 0 and 2**32 - 1, got -1", ["--seed", "-1"]),
        ("--colour", ["--colour", "red"]),
        ("at least 1121 tokens for one batch of 32 rows and 35 steps", ["--max-chars", "900"]),
        ("'☃'", ["--prompts", "☃"]),
        ("prompts must have at least one character", ["--prompts", ""]),
        ("a pattern, got nowhere.txt", ["--corpus", "nowhere.txt"]),
        ("must hold some text", ["--corpus", "empty.txt"]),
        ("must be text in utf-8", ["--corpus", "latin.txt"]),
        ("must be a zip file", ["--corpus", "no.zip"]),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    message, arguments, bad_files, run, monkeypatch, as_users_run, survived
):
    monkeypatch.chdir(bad_files)
    corpus = [] if "--corpus" in arguments else ["--corpus", "songs"]
    code, _, error = run("jaychou", *corpus, *arguments, "--out", "run")
    assert code == 2
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (bad_files / "run").exists()
    survived("bad input", 1)


@pytest.mark.parametrize(
    ("name", "message", "arguments"),
    [
        ("generate", "holds no checkpoints", ["nowhere", "--prompt", "a"]),
        ("generate", "at least one character", ["RUN", "--prompt", ""]),
        ("generate", "not in the vocabulary", ["RUN", "--prompt", "☃"]),
        (
            "generate",
            "temperature must be at least 0",
            ["RUN", "--prompt", "分", "--temperature=-1"],
        ),
        (
            "generate",
            "temperature must be at least 0",
            ["RUN", "--prompt", "分", "--temperature=nan"],
        ),
        ("generate", "top_k must be at least 1", ["RUN", "--prompt", "分", "--top-k", "0"]),
        ("generate", "length must be at least 1", ["RUN", "--prompt", "分", "--length", "0"]),
        ("generate", "at most 1,000,000", ["RUN", "--prompt", "分", "--length", "2147483648"]),
        ("score", "give texts to rank", ["RUN"]),
        ("score", "at least one character", ["RUN", ""]),
        ("score", "not in the vocabulary", ["RUN", "☃"]),
    ],
)
def test_wrong_requests_to_a_finished_run(
    name, message, arguments, finished, run, as_users_run, survived
):
    arguments = [str(finished[0]) if a == "RUN" else a for a in arguments]
    code, _, error = run(name, *arguments)
    assert code == 2
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    survived("bad input", 1)


def test_help_documents_every_flag(run):
    code, said, _ = run("jaychou", "--help")
    assert code == 0
    flags = """--cell --num-layers --hidden-size --embedding-size --windows --random-offset
    --batch-size --num-steps --epochs --optimizer --learning-rate --max-grad-norm --init --corpus
    --max-chars --prompts --sample-every --sample-length --seed --out --resume --save-every
    --from --from-use --new-tokens"""
    assert not [flag for flag in flags.split() if flag not in said]


def test_help_shows_examples_as_they_stand_and_says_what_may_come_first(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    code, said, _ = run("time_machine", "--help")
    assert code == 0
    lines = said.splitlines()
    assert max(map(len, lines)) <= 100
    assert set(re.findall("^    .*", time_machine.__doc__, re.M)) <= set(lines)
    for line, after in itertools.pairwise(lines):
        if line[:1].isalpha() and after[:1].isalpha():  # of one paragraph
            assert len(f"{line} {after.split()[0]}") > 100, "broken before it was full"
    assert "time_machine [NAME] [-h]" in lines[0]
    (names,) = re.findall("NAME, the first argument, is one of (.*?):", said, re.S)
    assert re.split(r",\s", names) == list(time_machine.PRESETS)
    assert "--debug, before all other arguments, shows" in said


def test_songs_in_place_of_the_lyrics_do_not_take_their_folder(
    run, tmp_path, monkeypatch, as_users_run
):
    def download(*_):
        raise OSError("no network")

    trained = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JAXRNN_DATA", raising=False)
    monkeypatch.setattr("jaxrnn.text.download.cached_download", download)
    module = importlib.import_module("jaxrnn.commands.train")
    monkeypatch.setattr(module, "train", trained.append)
    code, said, complained = run("jaychou")
    assert code == 0, complained
    assert "the songs that come with jaxrnn, instead of jaychou: " in said
    (settings,) = trained
    assert (settings.corpus, settings.out) == ("songs", Path("runs/songs"))
