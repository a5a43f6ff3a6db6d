"""The main job as docs/scaling.md has it: on simulated devices, and in two processes."""

import json
import os
import re
import shlex

import preloaded
import pytest
from parallel.pair import finish as finish_pair
from parallel.pair import free_port, start_pair
from subprocesses import ROOT, SMALL, STATEFUL, environment, finish

import jaxrnn
from jaxrnn.runs.digests import params_digest

FEW = (*STATEFUL, "--epochs", "1")
SCALING = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")


def summary(out):
    return json.loads((out / "summary.json").read_text())


def variables_of(words):
    """Return the environment variables that a line of the shell sets."""
    return dict(word.split("=") for word in words if "=" in word)


def start_line(line, *more, **variables):
    """A line of the page with more flags, under way."""
    words = shlex.split(line.removesuffix("&"), comments=True)
    python = words.index("python")
    assert words[python + 1] == "-m"
    module, *flags = words[python + 2 :]
    variables |= {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"} | variables_of(words[:python])
    arguments = [*flags, *map(str, more)]
    return preloaded.Process(module, arguments, ROOT, environment() | variables)


@pytest.fixture
def alone(compiled_programs):
    """The summary of such a run on one device."""
    return summary(compiled_programs.with_name("one"))


@pytest.mark.usefixtures("only_compiled_programs")
def test_on_four_simulated_devices(alone, tmp_path):
    (line,) = re.findall(r"JAX_NUM_CPU_DEVICES=4 python -m experiments.jaychou.*", SCALING)
    code, said, errors = finish(start_line(line, *FEW, "--out", tmp_path))
    assert code == 0, errors
    assert "on 4 x cpu (cpu)" in said
    assert summary(tmp_path)["perplexity"] == pytest.approx(alone["perplexity"], rel=0.01)
    assert summary(tmp_path)["device"] == "4 x cpu (cpu)"


@pytest.mark.usefixtures("only_compiled_programs")
def test_in_two_processes_of_two_devices(alone, tmp_path):
    (lines,) = re.findall(r"export (JAX_PLATFORMS=cpu JAX_NUM_CPU_DEVICES=2\n(?:python.*\n)+)",
                          SCALING)  # fmt: skip
    exported, *lines = lines.replace("9876", str(free_port())).strip().split("\n")
    variables = variables_of(exported.split())
    pair = [start_line(line, *FEW, "--out", tmp_path, **variables) for line in lines]
    (code, said, errors), (other_code, other, _) = finish_pair(pair)
    assert (code, other_code) == (0, 0), errors
    assert "on 4 x cpu (cpu) in 2 processes" in said
    assert said.count("epoch 1, perplexity") == 1
    assert "epoch" not in other  # the first process alone prints
    assert summary(tmp_path)["perplexity"] == pytest.approx(alone["perplexity"], rel=0.01)


@pytest.mark.matrix
def test_a_cluster_is_found_by_its_variables(tmp_path):
    """JAX finds the processes by what SLURM sets; the job's number makes the port.

    The best parameters, which are the average's, are saved by both processes together.
    """

    def variables(process):
        job = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_NODELIST": "localhost"}
        return job | {
            "SLURM_NTASKS": "2",
            "SLURM_PROCID": str(process),
            "SLURM_LOCALID": str(process),
        }

    command = ("jaxrnn.commands.train", *SMALL, "--epochs", 2, "--distributed")
    averaged = ("--average", 0.9, "--validation-chars", 200, "--sample-every", 2)
    pair = start_pair(*command, *averaged, "--out", tmp_path, variables=variables)
    (code, said, errors), (other_code, *_) = finish_pair(pair)
    assert (code, other_code) == (0, 0), errors
    assert "on 4 x cpu (cpu) in 2 processes" in said
    best = jaxrnn.load_run(tmp_path, "best").params
    assert params_digest(best) == params_digest(jaxrnn.load_run(tmp_path, "average").params)


def test_a_text_that_was_tokenized_trains_and_goes_on(tmp_path, run):
    tokens, out = tmp_path / "songs.tokens", tmp_path / "run"
    text = ROOT / "jaxrnn" / "text" / "songs.txt"
    code, said, errors = run("tokenize", "--text", text, "--out", tokens)
    assert code == 0, errors
    assert re.search(r"[\d,]+ characters, [\d,]+ distinct, in .*songs.tokens", said)
    settings = ("--corpus", tokens, "--max-chars", "2000", "--batch-size", "4", "--hidden-size", 16)
    settings = (*settings, "--out", out, "--sample-every", "1", "--prompts", "我", "--epochs")
    code, said, errors = run("train", *settings, "1")
    assert code == 0, errors
    assert f"tokens in {tokens}" in said
    assert "2,000 characters to train on" in said
    code, said, errors = run("train", *settings, "2", "--resume")
    assert code == 0, errors
    assert "epoch 2, perplexity" in said
    assert "of training, earlier starts included; in this one " in said
    code, _, errors = run("tokenize", "--text", text, "--out", tokens)
    assert code == 2
    assert errors.strip() == f"error: {tokens} already exists"
