"""Checkpoints: what comes back is what was saved, bit for bit, or an error that says why."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from faults.runs import VOCABULARY, bits, make_record, make_state

import jaxrnn
from jaxrnn.runs import Best, CheckpointError, Checkpoints, Record
from jaxrnn.runs.digests import params_digest
from jaxrnn.training import Progress


@pytest.fixture(autouse=True)
def optax_promotes():
    with jax.numpy_dtype_promotion("standard"):  # optax's own counters are not strict
        yield


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_state_comes_back_bit_for_bit(cell, tmp_path):
    progress = Progress(epoch=2, batch=5, num_batches=9, nats=1 / 3, tokens=8)
    record = make_record(progress, cell, best=Best(7, 2, 1 / 3))
    _, state = make_state(record)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, record)
    with Checkpoints(tmp_path) as checkpoints:
        saved = checkpoints.newest(lambda saved: saved)
        assert bits(saved.restore(make_state(record)[1])) == bits(state)
        assert saved.record == record


def test_load_gives_model_params_and_vocabulary(tmp_path):
    record = make_record()
    model, state = make_state(record)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, record)
    run = jaxrnn.load_run(tmp_path)
    assert run.vocabulary == VOCABULARY
    assert params_digest(run.params) == params_digest(state.params)
    ids = jnp.array([[0], [1]])
    expected, _ = model.apply(state.params, ids, model.initial_carry(state.params, 1))
    came, _ = run.model.apply(run.params, ids, run.model.initial_carry(run.params, 1))
    np.testing.assert_array_equal(came, expected)


NEW = {
    "model": {"input_dropout", "output_dropout", "recurrent_dropout", "weight_drop", "zoneout"},
    "training": {
        "random_lengths", "schedule", "warmup_steps", "weight_decay", "activation_penalty",
        "temporal_penalty", "average", "average_after", "unigram_bias",
    },
    "text": {"validation_chars"},
}  # fmt: skip
"""What a record did not say before runs had validation texts."""


def test_a_checkpoint_from_before_there_were_validation_texts_is_read(tmp_path, monkeypatch):
    record = make_record(Progress(epoch=2), dropout=0.2, best=Best(7, 2, 9.5))
    _, state = make_state(record)
    content = record.to_json()
    for part, names in NEW.items():
        content[part] = {name: v for name, v in content[part].items() if name not in names}
    content["best"] = {"held_out_perplexity": 9.5, "epoch": 2, "step": 7}
    with monkeypatch.context() as patch, Checkpoints(tmp_path) as checkpoints:
        patch.setattr(Record, "to_json", lambda _: content)
        checkpoints.save(state, record)
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        saved = checkpoints.newest(lambda saved: saved)
    assert saved.record == record
    assert record.differences(saved.record) == []
    assert record.text.validation_chars == 0
    assert bits(saved.restore(make_state(record)[1])) == bits(state)
    assert params_digest(jaxrnn.load_run(tmp_path).params) == params_digest(state.params)


def test_only_the_last_few_stay(tmp_path):
    record = make_record()
    _, state = make_state(record)
    with Checkpoints(tmp_path) as checkpoints:
        for step in range(1, 7):
            checkpoints.save(state.replace(step=jnp.int32(step)), record)
        assert checkpoints.steps() == [6, 5, 4]
    assert sorted(int(p.name) for p in (tmp_path / "checkpoints").iterdir()) == [4, 5, 6]


def test_a_reader_looks_again_where_all_it_tried_were_deleted_meanwhile(tmp_path):
    """A run that goes on saves faster than another process reads."""
    record = make_record()
    _, state = make_state(record)
    seen = []

    def use(saved):
        seen.append(saved.step)
        if len(seen) < 3:  # the run goes on before the arrays are read
            for step in range(saved.step + 1, saved.step + 5):
                run.save(state.replace(step=jnp.int32(step)), record)
        return saved.restore(state)

    with Checkpoints(tmp_path) as run:
        run.save(state, record)
        with Checkpoints(tmp_path, read_only=True) as reader:
            assert int(reader.newest(use).step) == 8
    assert seen == [0, 4, 8]


def test_a_reader_changes_nothing(tmp_path):
    record = make_record()
    _, state = make_state(record)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, record)
    with Checkpoints(tmp_path, read_only=True) as reader:
        for change in (
            lambda: reader.save(state.replace(step=jnp.int32(1)), record),
            lambda: reader.save_params(state.params, 1, record),
            lambda: reader.delete(0),
            lambda: reader.set_aside_after(-1),
        ):
            with pytest.raises(ValueError, match=r"checkpoints was opened with read_only=True"):
                change()
        assert reader.steps() == [0]


def test_saving_the_same_step_again_changes_nothing(tmp_path):
    record = make_record()
    _, state = make_state(record)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, record)
        checkpoints.save(state, record)
        assert checkpoints.steps() == [0]


def test_another_runs_checkpoint_is_told_apart():
    saved = make_record(cell="lstm", digest="1" * 64, epochs=9)
    differences = make_record(cell="gru").differences(saved)
    assert differences == [
        "model.cell: lstm in the checkpoint, gru here",
        f"text.digest: {'1' * 64} in the checkpoint, {'0' * 64} here",
    ]
    assert make_record(epochs=9).differences(make_record(Progress(epoch=3))) == []


def test_what_is_not_a_run_is_said(tmp_path):
    with pytest.raises(CheckpointError, match="holds no checkpoints"):
        jaxrnn.load_run(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(CheckpointError, match="holds no intact checkpoint"):
        jaxrnn.load_run(tmp_path)


def test_a_state_of_another_shape_is_refused(tmp_path):
    record = make_record()
    _, state = make_state(record)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, record)
        _, other = make_state(make_record(cell="gru"))
        with pytest.raises(CheckpointError, match=r"step 0 .* is of another model, batch size"):
            checkpoints.open(0).restore(other)
        wide = jax.tree.map(lambda p: p.astype(jnp.bfloat16), state.params)
        with pytest.raises(CheckpointError, match=r"is float32\[.*\] there, but bfloat16"):
            checkpoints.open(0).restore_params(wide)


def test_another_format_is_refused(tmp_path, monkeypatch):
    record = make_record()
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(make_state(record)[1], record)
        monkeypatch.setattr("jaxrnn.runs.saved_checkpoint.READABLE", (4, 5))
        with pytest.raises(CheckpointError, match="of format 3, this jaxrnn reads 4 and 5"):
            checkpoints.open(0)


def test_the_format_before_is_read(tmp_path, monkeypatch):
    """Its line breaks became spaces, and it did not say so."""
    record = make_record()
    with Checkpoints(tmp_path) as checkpoints, monkeypatch.context() as patch:
        patch.setattr("jaxrnn.runs.saved_checkpoint.FORMAT", 2)
        to_json = type(record).to_json
        patch.setattr(type(record), "to_json", lambda record: without_line_breaks(to_json(record)))
        checkpoints.save(make_state(record)[1], record)
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        saved = checkpoints.open(0)
        assert saved.meta["format"] == 2
        assert not saved.record.text.keep_line_breaks
        assert bits(saved.restore(make_state(record)[1])) == bits(make_state(record)[1])


def without_line_breaks(content):
    del content["text"]["keep_line_breaks"]
    return content


def test_only_saves_are_deleted_to_make_room(tmp_path):
    record = make_record()
    _, state = make_state(record)
    with Checkpoints(tmp_path) as checkpoints:
        mine = tmp_path / "checkpoints" / "1" / "notes"
        mine.parent.mkdir()
        mine.write_text("mine")
        for step in (2, 3, 4, 5, 6):
            checkpoints.save(state.replace(step=jnp.int32(step)), record)
        assert checkpoints.steps() == [6, 5, 4, 1]
    assert mine.read_text() == "mine"


def test_the_key_of_an_optimizer_that_adds_noise_is_saved(tmp_path):
    record = make_record()
    _, state = make_state(record)
    state = state.replace(opt_state=(state.opt_state, jax.random.key(3)))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, record)
        assert bits(checkpoints.open(0).restore(state)) == bits(state)


def test_two_arrays_of_one_name_are_refused():
    with pytest.raises(ValueError, match="same name"):
        params_digest({"a.b": jnp.ones(1), "a": {"b": jnp.ones(1)}})


def test_nothing_is_pickled(tmp_path):
    record = make_record()
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(make_state(record)[1], record)
    for path in (tmp_path / "checkpoints").rglob("*"):
        assert not path.is_file() or not path.read_bytes().startswith(b"\x80")
    meta = json.loads((tmp_path / "checkpoints/0/meta/metadata").read_text())
    assert meta["record"]["model"]["cell"] == "lstm"


def test_the_best_parameters_are_kept_alone(tmp_path):
    """One save of them; they are not the newest."""
    record = make_record(best=Best(3, 1, 5.0))
    _, state = make_state(record)
    better = jax.tree.map(lambda p: p + 1, state.params)
    with Checkpoints(tmp_path) as newest, Checkpoints(tmp_path, "best") as best:
        newest.save(state.replace(step=jnp.int32(9)), record)
        best.save_params(state.params, 3, record)
        best.save_params(better, 6, record)
        assert best.steps() == [6, 3]
        best.open(6).verify()
    assert params_digest(jaxrnn.load_run(tmp_path).params) == params_digest(state.params)
    assert params_digest(jaxrnn.load_run(tmp_path, "best").params) == params_digest(better)


def test_a_future_that_will_be_another_one_is_set_aside(tmp_path):
    record = make_record()
    _, state = make_state(record)
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 5, 9):
            checkpoints.save(state.replace(step=jnp.int32(step)), record)
        checkpoints.set_aside_after(5)
        assert checkpoints.steps() == [5, 1]
        checkpoints.save(state.replace(step=jnp.int32(9)), record)
        checkpoints.set_aside_after(5)  # nothing of what was set aside before is lost
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["1", "5"]
    aside = tmp_path / "set_aside" / "checkpoints"
    assert sorted(p.name for p in aside.iterdir()) == ["9", "9.1"]


def test_what_was_saved_elsewhere_says_where(tmp_path):
    """A checkpoint records versions, flags and device beside its arrays."""
    record = make_record()
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(make_state(record)[1], record)
        environment = checkpoints.open(0).meta["environment"]
    assert environment["jax"] == jax.__version__
    assert environment["device"] == "1 x cpu (cpu)"
    assert "XLA_FLAGS" in environment


def test_a_record_survives_json():
    record = make_record(Progress(epoch=1), best=Best(1, 1, 2.5))
    assert Record.from_json(record.to_json()) == record
