"""The tutorials, run as they stand: quickly (`JAXRNN_FAST=1`, the default here) or in full.

JAXRNN_FAST=0 python -m pytest tests/test_tutorials.py
"""

import ast
import os
import re

import jax
import numpy as np
import pytest
from test_docs import DOCS, blocks_of, packages_of

FAST = os.environ.get("JAXRNN_FAST", "1") != "0"
NAMES = sorted(path.stem for path in (DOCS / "tutorials").glob("*.md"))


def run_tutorial(name):
    """Block after block in one session; quickly, with an epoch or two, and few steps."""
    session = {}
    for block in blocks_of(f"tutorials/{name}.md"):
        if FAST:
            block = re.sub(r"epochs=\d+", "epochs=1", block)
            block = re.sub(r"for update in range\(\d+\)", "for update in range(1)", block)
            block = re.sub(r"max_steps=\d+", "max_steps=5", block)  # in search of fixed points
        exec(block, session)
    return session


def right(session):
    return max(session["history"].column("validation_accuracy"))


LEARNT = {  # what each tutorial promises of a full run
    "act": lambda session: (session["rewards"] > 0).sum() / (session["rewards"] != 0).sum() > 0.97,
    "classify": lambda session: session["found"]["accuracy"] > 0.9,
    "forecast": lambda session: session["error"] < session["rival"] / 2,
    "from_pytorch": lambda session: session["history"].rows[-1]["loss"] < 1.5,
    "long_sequences": lambda session: float(session["metrics"].loss_sum) / 1600 < 0.02,
    "look_inside": lambda session: abs(session["correlation"]).max() > 0.8,
    "tag": lambda session: right(session) > 0.98,
    "translate": lambda session: session["right"] > 0.97,
    "write_a_cell": lambda session: session["outputs"].shape == (7, 1, 4),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_tutorial_runs_and_learns(name, tmp_path, monkeypatch, capsys, as_users_run):
    if "torch" in packages_of(f"tutorials/{name}.md"):
        pytest.importorskip("torch")
    if "matplotlib" in packages_of(f"tutorials/{name}.md"):
        pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        session = run_tutorial(name)
        if not FAST:
            print(capsys.readouterr().out)
            assert LEARNT[name](session)
    assert name in LEARNT
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(session.get("state", ()))
               if leaf.dtype == np.float32)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_tutorial_says_at_its_top_what_it_needs(name):
    top = (DOCS / "tutorials" / f"{name}.md").read_text("utf-8").split("\n## ")[0]
    (command,) = re.findall(r"`pip install ([^`]*jaxrnn[^`]*)`", top.replace("\n", " "))
    needed = packages_of(f"tutorials/{name}.md") | ({"matplotlib"} if "plot_history" in "".join(
        blocks_of(f"tutorials/{name}.md")) else set())  # fmt: skip
    assert needed <= set(re.findall(r"\w+", command))


@pytest.mark.parametrize("name", ["classify", "forecast", "tag", "translate", "act"])
def test_model_and_training_take_fifteen_statements(name):
    """Of one's own, without the imports: one line each where a call is not broken into several."""
    blocks = blocks_of(f"tutorials/{name}.md")
    block = next(b for b in blocks if "jaxrnn.fit(" in b or "make_train_step(" in b)
    tree = ast.parse(block)
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    imports = [node for node in statements if isinstance(node, ast.Import | ast.ImportFrom)]
    assert len(statements) - len(imports) <= 15


@pytest.mark.parametrize("name", NAMES)
def test_every_picture_is_described(name):
    text = (DOCS / "tutorials" / f"{name}.md").read_text("utf-8")
    for words, file in re.findall(r"!\[(.*?)\]\((.*?)\)", text):
        assert len(words) > 40
        assert (DOCS / "tutorials" / file).is_file()
