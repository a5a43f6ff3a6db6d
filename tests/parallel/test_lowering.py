"""Programs that are traced on one machine and compiled for another."""

import jax
import numpy as np
import preloaded
from jax import export
from jax.sharding import AxisType, Mesh
from subprocesses import ROOT, environment, finish

COLLECTIVES = ("all-gather", "all-to-all", "collective-permute")


def test_a_step_traced_on_one_device_gathers_nothing_on_eight(tmp_path):
    """Each device keeps its rows; gradients and metrics are summed over all."""
    path = tmp_path / "step"
    process = preloaded.Process("parallel.export_step", [str(path)], ROOT, environment())
    code, _, complained = finish(process)
    assert code == 0, complained
    exported = export.deserialize(bytearray(path.read_bytes()))
    mesh = Mesh(np.array(jax.devices()), ("data",), axis_types=(AxisType.Auto,))
    arguments = [
        jax.ShapeDtypeStruct(aval.shape, aval.dtype, sharding=sharding)
        for aval, sharding in zip(exported.in_avals, exported.in_shardings_jax(mesh), strict=True)
    ]
    compiled = jax.jit(exported.call).lower(arguments).compile()
    program = compiled.as_text()
    assert "all-reduce" in program
    assert not [collective for collective in COLLECTIVES if collective in program]
    # Of the activations, [35, 64, 64] float32 a piece, each device has an eighth.
    assert compiled.memory_analysis().temp_size_in_bytes < 35 * 64 * 64 * 4 * 4
