"""The trainer: the same numbers as single steps, whatever the calls, and from any checkpoint."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from marks import in_matrix

import jaxrnn
from jaxrnn.runs.digests import params_digest
from jaxrnn.text import gather_windows
from jaxrnn.training import trainer

V = 11
IDS = np.random.default_rng(0).integers(0, V, 400).astype(np.int32)
CONFIG = jaxrnn.TrainConfig(
    batch_size=4, num_steps=5, epochs=3, learning_rate=1.0, max_grad_norm=1.0
)
WAYS = {
    "random": {"windows": "random"},
    "sequential": {"windows": "sequential"},
    "random, offset": {"windows": "random", "random_offset": True},
    "sequential, offset": {"windows": "sequential", "random_offset": True},
}
RANDOM_LENGTHS = {"windows": "sequential", "random_offset": True, "random_lengths": True}


@functools.cache
def make_model(cell="gru"):
    return jaxrnn.build_language_model(
        jaxrnn.ModelConfig(cell=cell, hidden_size=6, init="uniform"), V
    )


def initial_state(config, model):
    return jaxrnn.init_state(
        model, config.make_optimizer(), V, config.batch_size, jax.random.key(config.seed)
    )


def train_to_the_end(config, cell="gru"):
    model = make_model(cell)
    *_, last = start(config, model)
    return last


def start(config, model, ids=IDS):
    state = initial_state(config, model)
    return jaxrnn.train(model, config.make_optimizer(), config, ids, state)


@pytest.mark.parametrize("way", [*WAYS, *in_matrix("random lengths")])
@pytest.mark.parametrize("cell", ["gru", *in_matrix("rnn", "lstm")])
def test_training_is_one_step_after_the_other(cell, way):
    """Against a Python loop over the batches, a step at a time, each cut at its own length."""
    config = dataclasses.replace(CONFIG, **WAYS.get(way, RANDOM_LENGTHS))
    model = make_model(cell)
    optimizer = config.make_optimizer()
    step = jax.jit(jaxrnn.make_train_step(model, optimizer))
    expected, nats = initial_state(config, model), 0.0
    for epoch in range(config.epochs):
        windows, nats = config.plans(len(IDS)).plan(epoch)[:], 0.0
        same = [config.num_steps] * len(windows.offsets)
        lengths = same if windows.lengths is None else windows.lengths.tolist()
        for offsets, starts, length in zip(windows.offsets, windows.starts, lengths, strict=True):
            batch = jaxrnn.Batch(*gather_windows(IDS, offsets, length), None, starts)
            expected, metrics = step(expected, batch)
            nats += float(metrics.loss_sum)
    state, progress = train_to_the_end(config, cell)
    for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(expected.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)  # another program: another rounding
    assert progress.nats == pytest.approx(nats, rel=1e-5)
    assert progress.finished_epochs == config.epochs
    assert int(state.step) == sum(
        len(config.plans(len(IDS)).plan(epoch)) for epoch in range(config.epochs)
    )


def test_the_length_of_a_call_changes_no_bit(monkeypatch):
    states = []
    for seconds in (1e-9, 1e9):  # a step a call; an epoch a call
        monkeypatch.setattr(trainer, "SECONDS_PER_CALL", seconds)
        states.append(train_to_the_end(CONFIG))
    assert params_digest(states[0][0].params) == params_digest(states[1][0].params)
    unclocked = [progress._replace(seconds=0.0) for _, progress in states]
    assert unclocked[0] == unclocked[1]


def test_one_program_serves_all_calls_and_epochs(monkeypatch):
    traces = []
    monkeypatch.setattr(trainer, "SECONDS_PER_CALL", 1e-9)
    original = trainer.make_train_step

    def counting(*arguments, **options):
        step = original(*arguments, **options)
        return lambda *arguments: (traces.append(1), step(*arguments))[1]

    monkeypatch.setattr(trainer, "make_train_step", counting)
    train_to_the_end(dataclasses.replace(CONFIG, random_offset=True))
    assert len(traces) == 1


def test_same_seed_same_bits_other_seed_other_bits():
    digests = [
        params_digest(train_to_the_end(dataclasses.replace(CONFIG, seed=seed))[0].params)
        for seed in (0, 0, 1)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_offsets_are_drawn_anew_each_epoch():
    def first_offsets(way):
        config = dataclasses.replace(CONFIG, **WAYS[way])
        plans = [config.plans(len(IDS)).plan(epoch)[:] for epoch in range(60)]
        return {int(plan.offsets.min()) % config.num_steps for plan in plans}, plans

    assert first_offsets("random, offset")[0] == set(range(5))
    assert {int(p.offsets.min()) for p in first_offsets("sequential, offset")[1]} == set(range(6))
    assert first_offsets("random")[0] == first_offsets("sequential")[0] == {0}


def test_a_text_too_short_is_an_error_before_compilation():
    with pytest.raises(ValueError, match="at least 21 tokens for one batch of 4 rows and 5 steps"):
        next(start(CONFIG, make_model(), IDS[:20]))


@pytest.mark.parametrize(("way", "needed"), [("random, offset", 25), ("sequential, offset", 26)])
def test_a_text_must_be_long_enough_for_every_offset(way, needed):
    config = dataclasses.replace(CONFIG, epochs=40, **WAYS[way])
    with pytest.raises(ValueError, match=f"at least {needed} tokens"):
        next(start(config, make_model(), IDS[: needed - 1]))
    *_, (_, progress) = start(config, make_model(), IDS[:needed])
    assert progress.finished_epochs == 40


@pytest.mark.parametrize(
    ("error", "message", "ids"),
    [
        (ValueError, r"ids must lie in 0\.\.10, got 11", np.full(100, V)),
        (ValueError, r"ids must lie in 0\.\.10, got -1", np.full(100, -1)),
        (TypeError, "ids must be integers", np.zeros(100)),
        (ValueError, r"ids must be one text \[n\]", np.zeros((50, 2), int)),
        (TypeError, "ids must be an array", [1, 2, 3]),
    ],
)
def test_bad_ids_are_named(error, message, ids, as_users_run):
    with pytest.raises(error, match=message):
        next(start(CONFIG, make_model(), ids))


def test_a_state_of_another_batch_size_is_refused():
    state = initial_state(dataclasses.replace(CONFIG, batch_size=3), make_model())
    steps = jaxrnn.train(make_model(), CONFIG.make_optimizer(), CONFIG, IDS, state)
    with pytest.raises(
        ValueError, match=r"state.carry\[0\].hidden must have shape \(4, 6\), got \(3, 6\)"
    ):
        next(steps)


@pytest.mark.parametrize(
    ("error", "message", "change"),
    [
        (ValueError, "windows must be one of", {"windows": "shuffled"}),
        (ValueError, "batch_size must be at least 1, got 0", {"batch_size": 0}),
        (ValueError, "num_steps must be at least 1", {"num_steps": -3}),
        (TypeError, "epochs must be an integer", {"epochs": 1.5}),
        (ValueError, "learning_rate must be at least 0", {"learning_rate": -1.0}),
        (ValueError, "seed must be between 0", {"seed": 2**32}),
    ],
)
def test_a_bad_configuration_is_named(error, message, change, as_users_run):
    with pytest.raises(error, match=message):
        dataclasses.replace(CONFIG, **change)
