"""Tiny Shakespeare in a small form, and nanoGPT's estimate."""

import itertools
import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from experiments import shakespeare
from jaxrnn.runs.texts import Evaluated

SMALL = ("--num-layers", 1, "--hidden-size", 8, "--embedding-size", 4, "--weight-drop", 0,
         "--epochs", 1, "--batch-size", 4, "--num-steps", 16, "--max-chars", 3000,
         "--held-out-chars", 300, "--sample-length", 5, "--random-batches", 1)  # fmt: skip


def test_the_text_is_trained_on_and_judged_in_every_way(run, tmp_path, as_users_run):
    folder = os.environ.get("JAXRNN_DATA")
    if not folder or not (Path(folder) / "tinyshakespeare.txt").is_file():
        pytest.skip("needs tinyshakespeare.txt in JAXRNN_DATA")
    out = tmp_path / "out"
    with jax.numpy_dtype_promotion("standard"):  # optax's own counters are not strict
        code, said, complained = run("shakespeare", *SMALL, "--out", out)
    assert code == 0, complained
    found = json.loads((out / "summary.json").read_text())["held_out_nats"]
    assert "parameters: average" in said
    ways = ("network", "dynamic evaluation", "Kneser-Ney", "0.", "0.", "network, 1 x 64")
    for way, (name, nats) in itertools.zip_longest(ways, found.items()):
        assert name.startswith(way)
        assert 0 < nats < np.log(65)
        assert f"{name}: {nats:.4f} nats" in said


def test_the_estimate_is_the_mean_over_blocks_from_an_empty_memory(monkeypatch):
    """With as many random blocks as there are blocks, near the mean over each of them once."""
    monkeypatch.setattr(shakespeare, "BLOCK", 8)
    model = jaxrnn.language_model(5, jaxrnn.recurrent(jaxrnn.gru(4)))
    params = jax.tree.map(lambda p: 4 * p, model.init(jax.random.key(0), 5))
    ids = np.random.default_rng(0).integers(0, 5, 30)
    text = Evaluated(ids, np.ones(30, bool))
    by_block = []
    for begin in range(30 - 8):
        logits, _ = model.apply(params, ids[begin : begin + 8, None])
        log_probabilities = jax.nn.log_softmax(logits[:, 0])
        targets = ids[begin + 1 : begin + 9]
        by_block.append(float(-jnp.mean(log_probabilities[np.arange(8), targets])))
    found = shakespeare.random_blocks(model, params, text, batches=100)
    # The mean of 6400 draws: four standard errors.
    assert abs(found - np.mean(by_block)) < 4 * np.std(by_block) / 80


def test_the_split_is_that_of_nanogpt():
    for settings in shakespeare.PRESETS.values():
        assert settings.max_chars + settings.validation_chars == 1_003_854
        assert settings.held_out_chars == 1_115_394 - 1_003_854
