"""Commands with arguments drawn at random from edge values: they work, or say why not in a line."""

import os
import random
import shutil
from pathlib import Path

import pytest
from faults.edge_arguments import (
    content_of,
    draw,
    last_value,
    make_folder,
    outside,
    run_watched,
)
from marks import in_matrix
from subprocesses import finish, start

SECONDS = 120
"""A command that still runs then hangs; on a busy machine a tiny training takes half a minute."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """(a small run, a small tokenized text)."""
    folder = tmp_path_factory.mktemp("prepared")
    text = folder / "tiny.txt"
    text.write_text("abcd efgh\nhgfe dcba\n" * 60)
    small = ("--corpus", text, "--hidden-size", 4, "--batch-size", 4, "--num-steps", 16)
    training = ("--max-chars", 900, "--held-out-chars", 90, "--epochs", 2, "--average", 0.9)
    assert finish(start("train", *small, *training, "--out", folder / "run"))[0] == 0
    tokens = ("--text", text, "--out", folder / "tokens")
    assert finish(start("tokenize", *tokens))[0] == 0
    return folder / "run", folder / "tokens"


def check(name, arguments, folder, before):
    """Check what must hold of every ending of a command."""
    ending = run_watched(name, arguments, folder, SECONDS)
    told = f"{name} {arguments}: {ending}"
    assert ending.code is not None, f"still running: {told}"
    assert "Traceback" not in ending.complained + ending.said, told
    errors = [line for line in ending.complained.splitlines() if line.startswith("error: ")]
    assert (
        ending.code == 0
        or (ending.code == 2 and len(errors) == 1)
        or (name == "verify" and ending.code == 1)
    ), told
    out = last_value("--out", arguments, f"runs/{name}")
    assert not outside(ending, folder, out), told
    own = Path(os.path.abspath(folder / out))
    after = content_of(folder)
    for path, content in before.items():  # also what is not written by Python
        if own not in (path, *path.parents):
            assert after[path] == content, told
    assert all(after[path] == content for path, content in before.items() if content == b"mine")


@pytest.mark.parametrize("part", [0, *in_matrix(*range(1, 20))])
def test_every_argument_list_works_or_is_refused_in_one_line(
    part, prepared, tmp_path, how_many, survived
):
    generator = random.Random(part)
    count = how_many(9, 100)
    for number in range(count):
        folder = tmp_path / str(number)
        make_folder(folder, *prepared)
        check(*draw(generator), folder, content_of(folder))
        shutil.rmtree(folder)
    survived("bad input: argument lists", count)
