"""The benchmarks time what they say: one model, in every library, and its products alone."""

import dataclasses
import itertools
import re
import time
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import in_matrix

from benchmarks import end_to_end, step_profile, timing
from benchmarks.peers import book, jax_models, own_cells, pytorch, regularized
from benchmarks.peers import steps as peers
from benchmarks.workloads import WORKLOADS, Workload, batch_of
from experiments import shakespeare
from jaxrnn.recurrence import equations
from jaxrnn.runs.run import Run
from jaxrnn.runs.settings import Settings
from jaxrnn.training import trainer

TINY = {
    "rnn": Workload("rnn", "rnn", 8, 1, 11, 3, 5),
    "gru": Workload("gru", "gru", 8, 2, 11, 3, 5),
    "lstm": Workload("lstm", "lstm", 8, 1, 11, 3, 5, embedding_size=4),
}
JAX_PEERS = {"ours": jax_models.ours, **peers.JAX_PEERS}
CASES = [(name, cell) for name in JAX_PEERS for cell in TINY if (name, cell) != ("Equinox", "rnn")]
CASES = [pytest.param(*c, marks=[] if c[1] == "lstm" else pytest.mark.matrix) for c in CASES]


@pytest.fixture(autouse=True)
def as_others_promote():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture
def no_pauses(monkeypatch):
    """A clock for benchmarks whose times do not matter: turns follow one another at once."""
    clock = types.SimpleNamespace(perf_counter=time.perf_counter, sleep=lambda seconds: None)
    for module in (timing, end_to_end):
        monkeypatch.setattr(module, "time", clock)


def least_size_and_biases(workload):
    """Parameters without biases of gates, which are one or two a gate; and one such set."""
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[workload.cell] * workload.hidden_size
    matrices = sum((size + workload.hidden_size) * gates for size in workload.input_sizes)
    output = (workload.hidden_size + 1) * workload.vocab_size
    embedding = (workload.embedding_size or 0) * workload.vocab_size
    return matrices + output + embedding, gates * workload.num_layers


@pytest.mark.parametrize(("name", "cell"), CASES)
def test_jax_peers_have_the_same_model(name, cell):
    workload = TINY[cell]
    params, logits_of = JAX_PEERS[name](workload)
    logits_of = jax.jit(logits_of)
    ids = jnp.asarray(batch_of(workload)[0])
    logits = logits_of(params, ids)
    assert logits.shape == (5, 3, 11)
    without_biases, one_bias = least_size_and_biases(workload)
    count = sum(np.size(leaf) for leaf in jax.tree.leaves(params))
    assert without_biases < count <= without_biases + 2 * one_bias
    # Causal, and each row by itself: what is changed last, in one row, changes nothing else.
    changed = logits_of(params, ids.at[-1, 0].set((ids[-1, 0] + 1) % 11))
    np.testing.assert_allclose(changed[:-1], logits[:-1], atol=1e-6)
    np.testing.assert_allclose(changed[-1, 1:], logits[-1, 1:], atol=1e-6)
    assert np.abs(changed[-1, 0] - logits[-1, 0]).max() > 1e-3


@pytest.mark.parametrize(
    "name",
    [
        *(n for n in peers.TRAIN_STEP if not re.search("(?i)torch|cuDNN|, scan|, autodiff", n)),
        *in_matrix("jaxrnn, scan", "jaxrnn, autodiff"),
    ],
)
def test_training_steps_of_jax_peers_run_one_by_one_and_many_at_once(name, how_many):
    for steps_per_call in how_many((1, 2) if name == "jaxrnn" else (2,), (1, 2)):
        peers.TRAIN_STEP[name](TINY["gru"], steps_per_call=steps_per_call)()


def of_shape(shape):
    """The same numbers for what has the same shape in two libraries; vectors are constant."""
    size = shape[0] * shape[-1] if len(shape) == 2 and 3 not in shape else 1
    values = np.random.default_rng(size).normal(size=size).astype(np.float32)
    return np.broadcast_to(values.reshape(shape) if size > 1 else values, shape)


def test_own_cells_compute_the_same_in_every_library():
    torch = pytest.importorskip("torch")
    workload = TINY["lstm"]._replace(cell="peephole LSTM")
    ids = batch_of(workload)[0]
    module = pytorch.language_model(workload)
    with torch.no_grad():
        for name, param in module.named_parameters():
            transposed = param.ndim == 2 and name.endswith("weight") and "embed" not in name
            values = of_shape(tuple(param.shape)[:: -1 if transposed else 1])
            param.copy_(torch.from_numpy((values.T if transposed else values).copy()))
    expected = module(torch.from_numpy(ids).long())[0].detach().numpy()
    for make in (jax_models.ours, jax_models.flax_nnx, jax_models.haiku):
        params, logits_of = make(workload)
        params = jax.tree.map(lambda param: jnp.asarray(of_shape(param.shape)), params)
        np.testing.assert_allclose(logits_of(params, jnp.asarray(ids)), expected, atol=1e-5)


@pytest.mark.parametrize("name", own_cells.OWN_CELLS)
def test_own_cells_can_become_native_code(name):
    equations.trace(own_cells.our_cell(own_cells.OWN_CELLS[name])(8), np.dtype("float32"))


def test_cudnn_takes_part_where_it_can():
    for cell, reason in {"gru": "not an LSTM over vectors", "lstm": "no GPU"}.items():
        if jax.default_backend() != "gpu" or cell != "lstm":
            with pytest.raises(NotImplementedError, match=reason):
                peers.TRAIN_STEP["jaxrnn, cuDNN"](TINY[cell])
        else:
            peers.TRAIN_STEP["jaxrnn, cuDNN"](TINY[cell])()


def test_pytorch_runs():
    pytest.importorskip("torch")
    for workload in TINY.values():
        pytorch.train_step(workload, steps_per_call=2)()
        pytorch.forward(workload)()


def tiny_shakespeare(**rates):
    """The settings of the experiment at a small size, on the songs."""
    settings = shakespeare.Settings()
    model = dataclasses.replace(settings.model, hidden_size=8, embedding_size=4, **rates)
    sizes = {"batch_size": 4, "num_steps": 6, "warmup_steps": 5}
    training = dataclasses.replace(
        settings.training, **sizes, learning_rate=0.05, max_grad_norm=0.1
    )
    return Settings(model, training, corpus="songs", max_chars=400)


def numbers_of(table):
    """The numbers in each row of a printed table."""
    rows = [line.split("|")[2:-1] for line in table.splitlines() if line.startswith("| ")][1:]
    return [[float(cell.replace(",", "")) for cell in row if cell.strip()] for row in rows]


def test_shakespeare_is_the_same_run_in_both_libraries(capsys, monkeypatch, no_pauses):
    """With rates of 0 or 1 there is no chance, and the losses differ only by rounding."""
    pytest.importorskip("torch")
    monkeypatch.setattr(trainer, "SECONDS_PER_CALL", 1e-9)  # one step per call
    settings = tiny_shakespeare(
        weight_drop=1.0, dropout=0.0, input_dropout=0.0, variational_dropout=False
    )
    end_to_end.compare_in_turns(settings, rounds=3, steps=4)
    *rounds, medians = numbers_of(table := capsys.readouterr().out)
    assert len(rounds) == len(medians) == 3
    assert "| 360 |" in table
    for ours, theirs, ratio, our_loss, their_loss in rounds:
        assert ratio == pytest.approx(ours / theirs, rel=0.01, abs=0.006)  # printed with two digits
        assert our_loss == pytest.approx(their_loss, abs=1e-3)
    assert rounds[-1][-1] < rounds[0][-1]


def test_masks_in_pytorch_are_those_of_a_window():
    torch = pytest.importorskip("torch")
    run = Run(tiny_shakespeare(weight_drop=0.5, dropout=0.5))
    model = regularized.language_model(run)
    dropped = model.drop(torch.ones(5, 4, 50), 0.5)
    assert (dropped == dropped[:1]).all()
    assert dropped.unique().tolist() == [0, 2]
    logits, carries = model(torch.from_numpy(run.texts.ids[:20]).long().view(5, 4), [None, None])
    logits.sum().backward()
    for lstm, (hidden, _) in zip(model.lstms, carries, strict=True):
        assert hidden.shape == (1, 4, 8)
        assert 0.2 < (lstm.weight_hh_l0.grad == 0).float().mean() < 0.8
    learnt = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    assert learnt == sum(leaf.size for leaf in jax.tree.leaves(run.initial_state().params))


def test_the_book_learns():
    """Its loop lowers the perplexity of a text that repeats itself, by either kind of windows."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    ids = torch.arange(400) % 7
    for windows in ("random", "sequential"):
        params = book.init_params(7, 16)
        sizes = {"batch_size": 4, "num_steps": 5, "learning_rate": 1.0, "max_grad_norm": 1.0}
        epochs = [book.train_epoch(params, ids, 7, windows, **sizes) for _ in range(12)]
        first, last = (nats / tokens for nats, tokens in (epochs[0], epochs[-1]))
        assert last < 0.5 < first
        assert book.predict(params, [0, 1, 2], 5, 7) == [3, 4, 5, 6, 0]


def test_the_parts_of_a_step_are_timed(capsys, no_pauses):
    step_profile.profile(
        Run(tiny_shakespeare(num_layers=1, cell="rnn", forget_gate_bias=None)), repetitions=1
    )
    rows = numbers_of(capsys.readouterr().out)
    assert len(rows) == 14
    assert rows[0][1] == 1


def test_medians_are_of_the_steps_and_nothing_else(monkeypatch):
    """By a clock that only the steps and the pauses between turns move."""
    seconds = 0.0

    def pass_(duration):
        nonlocal seconds
        seconds += duration

    clock = types.SimpleNamespace(perf_counter=lambda: seconds, sleep=pass_)
    monkeypatch.setattr(timing, "time", clock)
    slow = itertools.cycle([0.002, 0.002, 0.003])
    times = timing.measure({"quick": lambda: pass_(0.001), "slow": lambda: pass_(next(slow))}, 10)
    assert times == {"quick": pytest.approx(1), "slow": pytest.approx(2)}


def test_the_workloads_are_those_of_the_table():
    assert len({workload.name for workload in WORKLOADS}) == len(WORKLOADS) == 5
    assert [w.vocab_size for w in WORKLOADS] == [1027, 28, 28, 28, 10_000]
