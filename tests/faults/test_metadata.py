"""Metadata of any form, parameters that are not finite, pipes: damage, which falls back."""

import json
import os
import shutil

import jax
import jax.numpy as jnp
import pytest
from faults.runs import bits, make_record, make_state

from jaxrnn.runs import Checkpoints, CheckpointWarning, DamagedCheckpointError, SaveFailedError
from jaxrnn.runs.digests import canonical_digest


@pytest.mark.parametrize("number", [jnp.nan, jnp.inf, -jnp.inf])
def test_parameters_that_are_not_finite_are_neither_saved_nor_restored(
    tmp_path, number, monkeypatch, survived
):
    record = make_record()
    _, state = make_state(record)
    params = jax.tree.map(lambda p: p.at[(0,) * p.ndim].set(number), state.params)
    broken = state.replace(params=params, step=jnp.int32(5))
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, record)
        with pytest.raises(SaveFailedError, match=r"step 5 could not be saved .* is not finite"):
            checkpoints.save(broken, record)
        assert checkpoints.steps() == [0]
        for place in ("checkpoints", "saved_checkpoint"):  # as older versions did
            monkeypatch.setattr(f"jaxrnn.runs.{place}.not_finite", lambda arrays: None)
        checkpoints.save(broken, record)
        monkeypatch.undo()
        with pytest.raises(DamagedCheckpointError, match="is not finite"):
            checkpoints.open(5).verify()
        with pytest.warns(CheckpointWarning, match="is not finite: continuing from step 0"):
            restored = checkpoints.newest(lambda saved: saved.restore(state))
        assert bits(restored) == bits(state)
    survived("non-finite", 1)


META = {
    "no object": lambda meta: [],
    "a number": lambda meta: 3,
    "null": lambda meta: None,
    "no digest": lambda meta: {k: v for k, v in meta.items() if k != "digest"},
    "no format": lambda meta: {k: v for k, v in meta.items() if k != "format"},
    "no arrays": lambda meta: meta | {"arrays": []},
    "no parameters": lambda meta: meta | {"arrays": {"params": {}, "training": {}}},
    "other arrays": lambda meta: meta | {"arrays": {"weights": meta["arrays"]["params"]}},
    "no record": lambda meta: meta | {"record": None},
    "a record of nothing": lambda meta: meta | {"record": {}},
    "another setting": lambda meta: meta | {"record": meta["record"] | {"training": {"x": 1}}},
    "shapes that are none": lambda meta: meta | {"arrays": spoilt(meta, shape=[-1])},
    "types that are none": lambda meta: meta | {"arrays": spoilt(meta, dtype="float99")},
    "descriptions that are none": lambda meta: meta | {"arrays": spoilt(meta, shape="many")},
}


def spoilt(meta, **changes):
    params = {place: d | changes for place, d in meta["arrays"]["params"].items()}
    return meta["arrays"] | {"params": params}


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory):
    """The folder of a run with steps 0 and 5."""
    record, folder = make_record(), tmp_path_factory.mktemp("two")
    _, state = make_state(record)
    with Checkpoints(folder) as checkpoints:
        for step in (0, 5):
            checkpoints.save(state.replace(step=jnp.int32(step)), record)
    return folder


@pytest.mark.parametrize("forged", [False, True], ids=["damaged", "with the right sum"])
@pytest.mark.parametrize("form", META)
def test_metadata_of_any_form_is_damage_and_falls_back(tmp_path, two_steps, form, forged, survived):
    run = tmp_path / "run"
    shutil.copytree(two_steps, run)
    path = run / "checkpoints" / "5" / "meta" / "metadata"
    meta = META[form](json.loads(path.read_text()))
    if forged and isinstance(meta, dict) and "digest" in meta:
        del meta["digest"]
        meta["digest"] = canonical_digest(meta)
    path.write_text(json.dumps(meta))
    with Checkpoints(run) as checkpoints:
        with pytest.raises(DamagedCheckpointError, match=r"metadata of step 5 .* is damaged"):
            checkpoints.open(5)
        with pytest.warns(CheckpointWarning, match="is damaged: .*continuing from step 0"):
            assert checkpoints.newest(lambda saved: saved.step) == 0
    survived("corruption: metadata", 1)


@pytest.mark.parametrize("name", ["meta/metadata", "params/_METADATA", "params/manifest.ocdbt"])
def test_a_file_that_is_a_pipe_is_damage_and_not_waited_for(tmp_path, name, survived):
    record = make_record()
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(make_state(record)[1], record)
        path = tmp_path / "checkpoints" / "0" / name
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(DamagedCheckpointError, match="must be a regular file"):
            checkpoints.open(0)
    survived("corruption: metadata", 1)
