"""A streaming step as bytes, run back in a process that does not know this package."""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import in_matrix

import jaxrnn

pytest.importorskip("flatbuffers", reason="jax.export needs it to serialise")

from jaxrnn.interop.export import export_step

T, B, D, H = 6, 2, 4, 5
READER = """
import sys
import jax
import numpy as np

folder = sys.argv[1]
stream = jax.export.deserialize(bytearray(open(f"{folder}/step.bin", "rb").read()))
inputs = np.load(f"{folder}/inputs.npy")
rows = inputs.shape[1]
starts = np.ones(rows, bool)
carry = [np.full((rows, *a.shape[1:]), 7, a.dtype) for a in stream.in_avals[2:]]
outputs = []
for now in inputs:
    output, *carry = stream.call(now, starts, *carry)
    starts = np.zeros(rows, bool)
    outputs.append(output)
np.save(f"{folder}/outputs.npy", np.stack(outputs))
assert "jaxrnn" not in sys.modules
"""
DEEP = jaxrnn.stack(
    [
        jaxrnn.recurrent(jaxrnn.gru(H, reset_after=False)),
        jaxrnn.dropout(0.5),
        jaxrnn.recurrent(jaxrnn.lstm(H), projection_size=2),
    ]
)
# A symbol for the number of rows is no int, as the annotations of initial carries have it.
pytestmark = pytest.mark.usefixtures("as_users_run")
LAYERS = {"deep": DEEP, "learned": jaxrnn.learned_initial_carry(DEEP)}


def make_params(layer):
    params = layer.init(jax.random.key(0), D)
    if layer is LAYERS["learned"]:
        params = params._replace(carry=jax.tree.map(lambda c: c + 0.5, params.carry))
    return params


def make_inputs(batch_size):
    return np.random.default_rng(0).normal(size=(T, batch_size, D)).astype(np.float32)


def run_without_the_package(content, inputs, folder):
    (folder / "step.bin").write_bytes(content)
    np.save(folder / "inputs.npy", inputs)
    command = [sys.executable, "-c", READER, str(folder)]
    subprocess.run(command, check=True, timeout=120, cwd=folder)
    return np.load(folder / "outputs.npy")


@functools.cache
def exported(name, batch_size):
    """(layer, its parameters, its step as bytes)."""
    layer = LAYERS[name]
    params = make_params(layer)
    return layer, params, export_step(layer, params, D, batch_size=batch_size)


@pytest.mark.parametrize("batch_size", [None, *in_matrix(B)])
@pytest.mark.parametrize("name", ["learned", *in_matrix("deep")])
def test_another_process_computes_the_same(name, batch_size, tmp_path):
    layer, params, content = exported(name, batch_size)
    inputs = make_inputs(B)
    expected, _ = layer.apply(params, inputs, layer.initial_carry(params, B))
    # float32; the same operations, compiled one step at a time
    np.testing.assert_allclose(
        run_without_the_package(content, inputs, tmp_path), expected, atol=1e-6
    )


def test_one_export_serves_any_number_of_rows_and_rows_start_alone():
    layer, params, content = exported("learned", None)
    stream = jax.export.deserialize(bytearray(content))
    for batch_size in (1, 3):
        inputs = make_inputs(batch_size)
        resets = np.zeros((T, batch_size), bool)
        resets[0], resets[2, -1] = True, True
        expected, _ = layer.apply(
            params, inputs, layer.initial_carry(params, batch_size), resets=jnp.asarray(resets)
        )
        carry = [np.zeros((batch_size, *a.shape[1:]), a.dtype) for a in stream.in_avals[2:]]
        for t in range(T):
            outputs, *carry = stream.call(inputs[t], resets[t], *carry)
            np.testing.assert_allclose(outputs, expected[t], atol=1e-6)


def test_a_language_model_reads_ids():
    model = jaxrnn.build_language_model(
        jaxrnn.ModelConfig(cell="gru", hidden_size=H, embedding_size=3), 6
    )
    params = model.init(jax.random.key(0), 6)
    stream = jax.export.deserialize(bytearray(export_step(model, params, None)))
    assert stream.platforms == ("cpu", "cuda", "tpu")
    ids = np.arange(T, dtype=np.int32)[:, None] % 6
    expected, _ = model.apply(params, ids, model.initial_carry(params, 1))
    carry = [np.zeros((1, *a.shape[1:]), a.dtype) for a in stream.in_avals[2:]]
    for t in range(T):
        logits, *carry = stream.call(ids[t], np.array([t == 0]), *carry)
        np.testing.assert_allclose(logits, expected[t], atol=1e-6)


@pytest.mark.parametrize(
    ("error", "message", "layer", "sizes"),
    [
        (ValueError, "must be causal", jaxrnn.bidirectional(DEEP), {"input_size": D}),
        (ValueError, "input_size must be at least 1", DEEP, {"input_size": 0}),
        (ValueError, "platforms must be a", DEEP, {"input_size": D, "platforms": "cpu"}),
        (ValueError, "platforms must be a", DEEP, {"input_size": D, "platforms": ("gpuu",)}),
        (TypeError, "batch_size must be an integer", DEEP, {"input_size": D, "batch_size": "b"}),
    ],
)
def test_bad_arguments_are_named(error, message, layer, sizes):
    params = layer.init(jax.random.key(0), D)
    with pytest.raises(error, match=message):
        export_step(layer, params, **sizes)
