"""The primitives of a run: what a program becomes depends on what it is lowered for."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from recurrence.cases import B, D, make_case

import jaxrnn


def lowered_for(platforms, scan_unroll=None, num_steps=32, cell="rnn"):
    """The text of a gradient's program, traced on a CPU."""
    case = make_case(cell, jnp.float32)

    def loss(params, inputs):
        outputs, _ = jaxrnn.unroll(
            case.cell, params, inputs, implementation="scan", scan_unroll=scan_unroll
        )
        return outputs.sum()

    arguments = case.params, jnp.zeros((num_steps, B, D), jnp.float32)
    traced = jax.jit(jax.value_and_grad(loss)).trace(*arguments)
    return traced.lower(lowering_platforms=platforms).as_text()


def steps_of_loops(text):
    """The time steps in the bodies of all loops together."""
    return len(re.findall(r"call @closed_call", text))


def test_a_program_for_a_gpu_takes_eight_steps_an_iteration():
    assert steps_of_loops(lowered_for(("cpu",))) == 2  # forward and backward
    assert steps_of_loops(lowered_for(("cuda",))) == 16


def test_a_program_for_a_tpu_takes_one_and_keeps_time_outermost_in_memory():
    assert steps_of_loops(lowered_for(("cpu",), cell="gru")) == 8
    text = lowered_for(("tpu",), cell="gru")
    assert steps_of_loops(text) == 2
    layouts = re.findall(r"@LayoutConstraint.*?result_layouts = \[dense<\[(.*?)\]>", text)
    assert layouts
    assert set(layouts) == {"2, 1, 0"}  # from the innermost axis to the outermost
    assert "LayoutConstraint" not in lowered_for(("cuda",), cell="gru")


@pytest.mark.parametrize("arguments", [{"scan_unroll": 2}, {"num_steps": 15}])
def test_chosen_steps_an_iteration_and_short_loops_stay(arguments):
    on_cpu, on_gpu = (lowered_for((platform,), **arguments) for platform in ("cpu", "cuda"))
    assert steps_of_loops(on_gpu) == steps_of_loops(on_cpu)


def test_one_program_for_several_platforms():
    assert steps_of_loops(lowered_for(("cpu", "cuda", "tpu"))) == 20


def test_a_run_without_jit():
    case = make_case("lstm", jnp.float32)
    with jax.disable_jit():
        plain = jaxrnn.unroll(case.cell, case.params, case.inputs)
    jitted = jaxrnn.unroll(case.cell, case.params, case.inputs)
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(jitted), strict=True):
        # Sums of at most six products of numbers near one, seven times over.
        np.testing.assert_allclose(a, b, atol=1e-5)
