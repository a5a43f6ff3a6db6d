"""`fit` against a loop written by hand, against PyTorch, and on several devices."""

import dataclasses
import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxrnn
from jaxrnn import losses
from jaxrnn.fitting import plans
from jaxrnn.training import NonFiniteError

D, C = 3, 4
KEY = jax.random.key(0)
LENGTHS = np.random.default_rng(0).choice([1, 4, 7, 12], 22)  # each compiles the oracle
SEQUENCES = [np.random.default_rng(n).normal(size=(length, D)) for n, length in enumerate(LENGTHS)]
CLASSES = np.random.default_rng(1).integers(0, C, len(LENGTHS))
TAGS = [np.random.default_rng(n).integers(0, C, length) for n, length in enumerate(LENGTHS)]
GRU = jaxrnn.recurrent(jaxrnn.gru(6))
CLASSIFIER = jaxrnn.classifier(GRU, C)
TAGGER = jaxrnn.tagger(jaxrnn.bidirectional(GRU), C)
SGD = optax.sgd(0.5)
fit = functools.partial(jaxrnn.fit, progress=False, key=KEY)


def assert_close(a, b, tolerance=1e-6):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=tolerance), a, b)


def padded(sequences):
    return jaxrnn.pad([np.asarray(sequence, np.float32) for sequence in sequences])


@pytest.fixture
def several_lengths(monkeypatch):
    """Batches of different lengths, even with so few sequences."""
    monkeypatch.setattr(plans, "BATCHES_PER_PROGRAM", 0.3)


@pytest.mark.usefixtures("several_lengths")
@pytest.mark.parametrize("kind", ["classify", "tag"])
def test_every_sequence_counts_once_an_epoch_and_padding_never(kind):
    """Against one loop over plans in NumPy's order, with the gradient of each sequence alone."""
    model, targets = (CLASSIFIER, CLASSES) if kind == "classify" else (TAGGER, TAGS)
    state, history = fit(model, SGD, SEQUENCES, targets, batch_size=8, epochs=2)

    @jax.jit
    @jax.value_and_grad
    def nats_and_gradient(params, inputs, target):
        outputs, _ = model.apply(params, inputs[:, None])
        target = target.reshape(outputs.shape[:-1])
        return optax.losses.softmax_cross_entropy_with_integer_labels(outputs, target).sum()

    def of_row(params, row):
        inputs = SEQUENCES[row].astype(np.float32)
        return jax.device_get(nats_and_gradient(params, inputs, np.asarray(targets[row])))

    params = jax.device_get(model.init(jax.random.split(jax.random.fold_in(KEY, 0))[0], D))
    choices = plans.batch_lengths(LENGTHS, int(LENGTHS.max()), 8)
    for epoch in range(2):
        seed = (*jax.random.key_data(KEY).tolist(), epoch)
        seen, total = [], 0.0
        for plan in plans.epoch_plan(LENGTHS, choices, 8, seed):
            weight = len(plan.rows) if kind == "classify" else LENGTHS[plan.rows].sum()
            pairs = [of_row(params, row) for row in plan.rows]
            total += sum(float(value) for value, _ in pairs)
            grads = jax.tree.map(lambda *g, w=float(weight): sum(g) / w, *(g for _, g in pairs))
            params = jax.tree.map(lambda p, g: p - 0.5 * g, params, grads)
            seen += plan.rows.tolist()
        assert sorted(seen) == list(range(len(LENGTHS)))
        weight = len(LENGTHS) if kind == "classify" else LENGTHS.sum()
        assert history.rows[epoch]["loss"] == pytest.approx(total / weight, rel=1e-5)
    assert_close(state.params, params, 1e-5)


def test_a_list_is_a_padded_array_with_lengths():
    inputs, lengths = padded(SEQUENCES)
    tags, _ = jaxrnn.pad([tag.astype(np.int32) for tag in TAGS])
    from_list, _ = fit(TAGGER, SGD, SEQUENCES, TAGS, epochs=2)
    inputs[np.arange(len(inputs))[:, None] >= lengths] = np.nan  # the padding is never read
    from_array, _ = fit(TAGGER, SGD, inputs, tags, lengths=lengths, epochs=2)
    assert_close(from_list.params, from_array.params)


def test_lists_of_numbers_beside_an_array_are_arrays_whatever_their_sizes():
    """Three steps of three sequences: a list does not say that its first axis is the sequences."""
    targets = np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]])
    model = jaxrnn.layers.pointwise(jnp.positive)
    inputs, mask = np.eye(2, dtype=np.float32)[targets] * 9, targets == 0
    for given in (targets, targets.tolist(), list(targets)):
        results = jaxrnn.evaluate(
            model, (), inputs, given, mask=mask.tolist(), metrics=[losses.accuracy]
        )
        assert results["accuracy"] == 1


def test_masked_targets_do_not_count():
    mask = [np.random.default_rng(n).random(n_steps) < 0.6 for n, n_steps in enumerate(LENGTHS)]
    spoilt = [np.where(keep, tag, 0) for tag, keep in zip(TAGS, mask, strict=True)]
    masked, _ = fit(TAGGER, SGD, SEQUENCES, spoilt, mask=mask, epochs=1)
    other = [np.where(keep, tag, C - 1) for tag, keep in zip(TAGS, mask, strict=True)]
    again, _ = fit(TAGGER, SGD, SEQUENCES, other, mask=mask, epochs=1)
    assert_close(masked.params, again.params, 0)
    rows = np.arange(len(LENGTHS)) % 2 == 0
    some, history = fit(CLASSIFIER, SGD, SEQUENCES, CLASSES, mask=rows, epochs=1, batch_size=99)
    kept = [SEQUENCES[n] for n in np.nonzero(rows)[0]]
    alone, expected = fit(CLASSIFIER, SGD, kept, CLASSES[rows], epochs=1, batch_size=99)
    assert_close(some.params, alone.params)
    assert history.rows[0]["loss"] == pytest.approx(expected.rows[0]["loss"], rel=1e-5)


def test_a_label_that_is_masked_may_be_anything():
    rows = np.arange(len(LENGTHS)) % 2 == 0
    strange = np.where(rows, CLASSES, -1)
    last = losses.at_last_step(losses.cross_entropy)
    model = jaxrnn.stack([GRU, jaxrnn.linear(C)])
    for loss, network in ((losses.cross_entropy, CLASSIFIER), (last, model)):
        _, history = fit(network, SGD, SEQUENCES, strange, mask=rows, loss=loss, epochs=1)
        assert np.isfinite(history.rows[0]["loss"])


@pytest.mark.parametrize("kind", ["steps", "sequences"])
def test_a_number_that_is_masked_may_be_nan_in_a_loss_of_ones_own(kind):
    """Its derivative is NaN at NaN, even where the cotangent is zero."""

    def huber(outputs, batch):
        return losses.sum_valid(optax.losses.huber_loss(outputs[..., 0], batch.targets), batch)

    make = jaxrnn.tagger if kind == "steps" else jaxrnn.classifier
    inputs = np.random.default_rng(0).normal(size=(5, 4, D))
    targets = np.random.default_rng(1).normal(size=(5, 4) if kind == "steps" else 4)
    mask = np.random.default_rng(2).random(targets.shape) < 0.7
    results = [
        fit(make(GRU, 1), SGD, inputs, np.where(mask, targets, ignored), mask=mask, loss=huber)
        for ignored in (np.nan, 7.0)
    ]
    (came, history), (expected, _) = results
    assert not any(row["skipped"] for row in history.rows)
    assert_close(came.params, expected.params, 0)


def test_sequences_of_ids_may_be_empty():
    model = jaxrnn.classifier(jaxrnn.stack([jaxrnn.embedding(4), GRU]), C)
    params = model.init(KEY, 9)
    outputs = jaxrnn.predict(model, params, [[3, 1, 4], []])
    np.testing.assert_allclose(outputs[:1], jaxrnn.predict(model, params, [[3, 1, 4]]), atol=1e-6)
    assert np.isfinite(outputs).all()


def test_where_no_target_counts_there_is_no_mean():
    params, none = CLASSIFIER.init(KEY, D), np.zeros(len(LENGTHS), bool)
    found = jaxrnn.evaluate(CLASSIFIER, params, SEQUENCES, CLASSES, mask=none)
    assert np.isnan(found["loss"])


def test_metrics_of_several_quantiles():
    metrics = [losses.quantile((level,)) for level in (0.1, 0.9)]
    assert metrics[0] is losses.quantile((0.1,))  # so that programs that use it are compiled once
    model = jaxrnn.regressor(GRU, 1)
    params, targets = model.init(KEY, D), np.ones(len(LENGTHS))
    found = jaxrnn.evaluate(
        model, params, SEQUENCES, targets, loss=losses.squared_error, metrics=metrics
    )
    assert list(found) == ["loss", "quantile_0.1", "quantile_0.9"]


def test_ids_out_of_range_are_errors_in_predictions_too():
    model = jaxrnn.language_model(5, GRU)
    params = model.init(KEY, 5)
    for predict in (
        lambda ids: jaxrnn.predict(model, params, ids),
        lambda ids: jaxrnn.evaluate(model, params, ids, ids),
    ):
        with pytest.raises(ValueError, match=r"inputs must lie in 0\.\.4, got 5"):
            predict([[1, 2], [5]])


def test_equal_keys_give_equal_bits_and_others_do_not():
    one, two = (fit(CLASSIFIER, SGD, SEQUENCES, CLASSES, epochs=2)[0] for _ in range(2))
    assert_close(one.params, two.params, 0)
    other, _ = fit(CLASSIFIER, SGD, SEQUENCES, CLASSES, epochs=2, key=jax.random.key(1))
    assert not np.allclose(one.params.head.kernel, other.params.head.kernel)


def test_the_best_parameters_on_validation_data_are_returned():
    """Trained on labels that are wrong on purpose, validation gets worse and worse."""
    model = jaxrnn.classifier(GRU, C)
    wrong = (CLASSES + 1) % C
    state, history = fit(
        model, optax.adam(0.05), SEQUENCES, wrong, epochs=30, patience=3,
        validation=(SEQUENCES, CLASSES), metrics=[losses.accuracy],
    )  # fmt: skip
    best = history.best_epoch
    assert len(history.rows) == best + 3 < 30
    found = jaxrnn.evaluate(model, state.params, SEQUENCES, CLASSES, metrics=[losses.accuracy])
    row = history.rows[best - 1]
    assert found["loss"] == pytest.approx(row["validation_loss"], rel=1e-6)
    assert found["accuracy"] == pytest.approx(row["validation_accuracy"])
    assert min(history.column("validation_loss")) == row["validation_loss"]
    until_then, _ = fit(model, optax.adam(0.05), SEQUENCES, wrong, epochs=best)
    assert_close(state.params, until_then.params, 0)


@pytest.mark.usefixtures("several_lengths")
def test_outputs_come_in_the_order_of_the_sequences():
    inputs, lengths = padded(SEQUENCES)
    params = CLASSIFIER.init(KEY, D)
    expected, _ = CLASSIFIER.apply(params, inputs, lengths=lengths)
    logits = jaxrnn.predict(CLASSIFIER, params, SEQUENCES, batch_size=4)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    params = TAGGER.init(KEY, D)
    outputs = jaxrnn.predict(TAGGER, params, SEQUENCES, batch_size=4)
    assert [len(steps) for steps in outputs] == LENGTHS.tolist()
    whole, _ = TAGGER.apply(params, inputs, lengths=lengths)
    np.testing.assert_allclose(
        jaxrnn.predict(TAGGER, params, inputs, lengths=lengths, batch_size=5), whole, atol=1e-5
    )
    for n, length in enumerate(LENGTHS):
        np.testing.assert_allclose(outputs[n], whole[:length, n], atol=1e-5)


@pytest.mark.usefixtures("several_lengths")
def test_evaluation_is_that_of_all_data_at_once_whatever_the_batches():
    params = TAGGER.init(KEY, D)
    found, expected = (
        jaxrnn.evaluate(TAGGER, params, SEQUENCES, TAGS, batch_size=size, metrics=[losses.accuracy])
        for size in (5, 256)
    )
    assert found == pytest.approx(expected, rel=1e-5)


def test_ids_and_a_loss_of_ones_own():
    ids = [np.random.default_rng(n).integers(0, 9, length) for n, length in enumerate(LENGTHS)]
    model = jaxrnn.regressor(jaxrnn.stack([jaxrnn.embedding(5), GRU]), 1, pooling="mean")

    def huber(outputs, batch):
        errors = optax.losses.huber_loss(outputs[:, 0], batch.targets)
        return losses.sum_valid(errors, batch)

    means = [float(sequence.mean()) for sequence in ids]
    state, history = fit(model, optax.adam(0.05), ids, means, loss=huber, input_size=9, epochs=30)
    assert history.rows[-1]["loss"] < 0.3 * history.rows[0]["loss"]
    assert jaxrnn.predict(model, state.params, ids).shape == (len(ids), 1)


def test_a_fit_begins_with_the_parameters_that_are_given():
    params = CLASSIFIER.init(jax.random.key(5), D)
    state, _ = fit(CLASSIFIER, optax.sgd(0.0), SEQUENCES, CLASSES, params=params, epochs=1)
    assert_close(state.params, params, 0)


def test_what_is_not_finite_is_skipped_and_then_an_error():
    with pytest.raises(NonFiniteError, match=r"10 batches in a row, in epoch 2.*learning rate"):
        fit(CLASSIFIER, optax.sgd(jnp.inf), SEQUENCES, CLASSES, batch_size=4, epochs=9)


@pytest.mark.usefixtures("several_lengths")
def test_there_is_one_program_per_length_of_batches(monkeypatch):
    traces = []
    cell = dataclasses.replace(jaxrnn.gru(6), name="counted")
    model = jaxrnn.classifier(jaxrnn.recurrent(cell), C)
    original = jaxrnn.models.SequenceModel.run

    def counting(*arguments):
        traces.append(arguments[2].shape)
        return original(*arguments)

    monkeypatch.setattr(jaxrnn.models.SequenceModel, "run", counting)
    fit(model, SGD, SEQUENCES, CLASSES, batch_size=8, epochs=3)
    shapes = {shape for shape in traces if shape[1] == 8}
    assert 1 < len(shapes) <= plans.MOST_SHAPES
    # One trace by `_check_outputs` of one row, then one per shape of the step.
    assert len(traces) == 1 + len(shapes)


TORCH = {
    "classify": (jaxrnn.classifier(GRU, C), CLASSES, losses.cross_entropy),
    "forecast": (
        jaxrnn.regressor(GRU, 2),
        np.random.default_rng(2).normal(size=(len(LENGTHS), 2)).astype(np.float32),
        losses.squared_error,
    ),
    "tag": (TAGGER, TAGS, losses.cross_entropy),
}


@pytest.mark.parametrize("task", TORCH)
def test_losses_are_those_of_pytorch(task):
    """With the same weights and batches of all sequences: each of 20 losses of Adam to 1 %."""
    torch = pytest.importorskip("torch")
    from fitting.torch_adam import losses_of_torch

    from jaxrnn.interop.torch import to_torch

    model, targets, loss = TORCH[task]
    params = model.init(KEY, D)
    body, head = params if task == "tag" else (params.body, params.head)
    module = to_torch(model.layers[0] if task == "tag" else model.body, body)
    linear = torch.nn.Linear(*head.kernel.shape)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(np.array(head.kernel.T)))
        linear.bias.copy_(torch.tensor(np.array(head.bias)))
    tensors = [torch.tensor(s, dtype=torch.float32) for s in SEQUENCES]
    packed = torch.nn.utils.rnn.pack_sequence(tensors, enforce_sorted=False)

    def torch_loss():
        outputs, final = module(packed)
        if task == "tag":
            steps = torch.nn.utils.rnn.unpack_sequence(outputs)
            wanted = torch.tensor(np.concatenate(TAGS))
            return torch.nn.functional.cross_entropy(linear(torch.cat(steps)), wanted)
        if task == "classify":
            return torch.nn.functional.cross_entropy(linear(final[0]), torch.tensor(CLASSES))
        return torch.nn.functional.mse_loss(linear(final[0]), torch.tensor(targets))

    expected = losses_of_torch([module, linear], torch_loss, 20)
    _, history = fit(
        model, optax.adam(0.01), SEQUENCES, targets, loss=loss, params=params, batch_size=22,
        epochs=20,
    )  # fmt: skip
    assert history.column("loss") == pytest.approx(expected, rel=0.01)


def test_devices_give_the_numbers_of_one():
    """With a batch that is not full, and with targets per step and per sequence."""
    for model, targets in ((CLASSIFIER, CLASSES), (TAGGER, TAGS)):
        one, alone = fit(model, SGD, SEQUENCES, targets, batch_size=8, epochs=2)
        four, together = fit(model, SGD, SEQUENCES, targets, batch_size=8, epochs=2, devices=4)
        assert_close(one.params, four.params, 1e-5)
        assert alone.column("loss") == pytest.approx(together.column("loss"), rel=1e-5)
        assert len(jax.tree.leaves(four.params)[0].sharding.device_set) == 4


def test_progress_is_shown_in_lines_on_standard_error(capsys):
    jaxrnn.fit(
        CLASSIFIER, SGD, SEQUENCES, CLASSES, epochs=21, key=KEY, metrics=[losses.accuracy],
        validation=(SEQUENCES, CLASSES),
    )  # fmt: skip
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert said.out == ""
    assert [line.split(":")[0] for line in lines] == [
        "epoch 1", *(f"epoch {n}" for n in range(3, 21, 3)), "epoch 21"
    ]  # fmt: skip
    assert all("validation_loss" in line and "validation_accuracy 0." in line for line in lines)


def test_a_fit_needs_neither_tqdm_nor_matplotlib(monkeypatch, capsys):
    """In a terminal, where it would show a bar."""
    for package in ("tqdm", "matplotlib", "orbax"):
        for name in [name for name in sys.modules if name.split(".")[0] == package]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    _, history = fit(CLASSIFIER, SGD, SEQUENCES, CLASSES, epochs=2, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1", "epoch 2"]
    with pytest.raises(ModuleNotFoundError, match=r"^plot_history needs `pip install matplotlib`$"):
        jaxrnn.plot_history(history)


def test_a_picture_shows_loss_and_metrics():
    pytest.importorskip("matplotlib")
    rows = (
        {"epoch": 1, "loss": 1.0, "validation_loss": 1.1, "validation_accuracy": 0.1,
         "seconds": 1.0, "skipped": 0},
        {"epoch": 2, "loss": 0.5, "validation_loss": 0.9, "validation_accuracy": 0.6,
         "seconds": 0.1, "skipped": 2},
    )  # fmt: skip
    history = jaxrnn.History(rows)
    figure = jaxrnn.plot_history(history)
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "accuracy"]
    assert [len(axes.lines) for axes in figure.axes] == [3, 2]
    assert jaxrnn.plot_history(jaxrnn.History()).axes[0].get_ylabel() == "loss"
    line = "epoch 2: loss 0.5, validation_loss 0.9, validation_accuracy 0.6, 2 steps skipped, 0.1 s"
    assert str(history).splitlines()[1] == line
    with pytest.raises(KeyError, match="nats is not in the history, which has epoch, loss"):
        history.column("nats")
