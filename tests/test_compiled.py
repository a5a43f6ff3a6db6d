"""What `benchmarks.compiled` reads from programs, and that faults break its bounds.

A CPU's programs stand in for those of accelerators, whose compilers are not installed here.
"""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

import jaxrnn
from benchmarks.compiled import bounds, hlo, programs
from benchmarks.workloads import Workload

TINY = Workload("tiny", "gru", 8, 1, 11, 2, 5)
CPU = types.SimpleNamespace(name="CPU", platform="cpu")


@pytest.fixture(autouse=True)
def as_others_promote():
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def compiled(function, *arguments, **options):
    return hlo.Module(jax.jit(function, **options).lower(*arguments).compile().as_text())


def of_program(program):
    return compiled(program.function, *program.arguments, **program.options)


def mesh(num_devices):
    return Mesh(np.array(jax.devices()[:num_devices]), ("data",))


def test_a_loop_and_what_it_runs():
    def run(x, times):
        def step(x, _):
            return jnp.sin(x) @ x, x.sum()

        return jax.lax.scan(step, x, length=times)

    module = compiled(lambda x: run(x, 12), jnp.eye(4))
    (loop,) = module.loops
    assert loop.trips == 12
    assert loop.operations >= 3
    assert loop.per_step(12) == loop.operations
    assert loop.per_step(60) == loop.operations / 5
    assert 12 * loop.operations <= module.operations < 12 * loop.operations + 20


TPU = """HloModule jit_f, entry_computation_layout={(s32[]{:T(128)})->s32[]{:T(128)}}

%region_1.14 (arg: (s32[], f32[2])) -> pred[] {
  %constant.1 = s32[]{:T(128)} constant(35), metadata={op_name="a (b)"}
  %arg = (s32[]{:T(128)}, f32[2]{0:T(128)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%arg), index=0
  ROOT %lt = pred[]{:T(512)} compare(%i, %constant.1), direction=LT
}

%region_0.13 (arg.1: (s32[], f32[2])) -> (s32[], f32[2]) {
  %arg.1 = (s32[]{:T(128)}, f32[2]{0:T(128)}) parameter(0)
  %f = f32[2]{0:T(128)} fusion(%arg.1), kind=kLoop, backend_config={"estimated_cycles":"7"}
  %s = (f32[2]{0}, f32[2]{0}) copy-start(%f)
  %d = f32[2]{0:T(128)} copy-done(%s)
  ROOT %t = (s32[]{:T(128)}, f32[2]{0:T(128)}) tuple(%arg.1, %d)
}

ENTRY %main.3 (x: s32[]) -> s32[] {
  %x = s32[]{:T(128)} parameter(0)
  %r = ((f32[9]{0}, f32[]), (f32[9]{0}, f32[])) all-reduce-start(%x), replica_groups={}
  %h = f32[2]{0} fusion(%x), kind=kOutput, calls=%g, backend_config={"estimated_cycles":"10"}
  ROOT %w = (s32[]{:T(128)}, f32[2]{0}) while(%x), condition=%region_1.14, body=%region_0.13
}
"""


def test_what_a_tpu_writes():
    """The number of turns stands in the condition alone, and cycles with the fusions."""
    module = hlo.Module(TPU)
    assert module.loops == [hlo.Loop(trips=35, operations=2, cycles=7)]
    assert (module.operations, module.cycles) == (2 + 35 * 2, 10 + 35 * 7)
    assert module.collectives == [hlo.Collective("all-reduce", 10)]


def test_a_training_step_on_eight_devices_keeps_to_its_bounds():
    sent = of_program(programs.train_step(TINY, mesh(8))).collectives
    assert list(bounds.of_messages(CPU, TINY, sent, num_params(TINY))) == []


def num_params(workload):
    model = programs.jax_models.language_model(workload)
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), 11))
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_rows_that_are_merged_on_several_devices_break_a_bound(monkeypatch):
    """As if a program for eight devices were lowered as one for a single device."""
    for module in ("jaxrnn.primitives", "jaxrnn.recurrence.calls"):
        monkeypatch.setattr(f"{module}.is_on_one_device", lambda context: True)
    monkeypatch.setenv("JAXRNN_NATIVE", "0")
    other = TINY._replace(hidden_size=16)  # JAX keeps nothing of it from other tests, or for them
    sent = of_program(programs.train_step(other, mesh(8))).collectives
    assert list(bounds.of_messages(CPU, other, sent, num_params(other)))


def test_flax_and_generation_compile():
    of_program(programs.flax_train_step(TINY, mesh(1)))
    module = of_program(programs.generation(TINY, mesh(1)))
    assert [loop.trips for loop in module.loops].count(None) == 1  # that over tokens


def test_the_loops_of_a_layer_are_found(monkeypatch):
    monkeypatch.setenv("JAXRNN_NATIVE", "0")
    sizes = programs.SIZES._replace(hidden_size=8, batch_size=2)
    monkeypatch.setattr(programs, "SIZES", sizes)
    for program in (
        programs.gradient(jaxrnn.lstm(8), mesh(1)),
        programs.flax_gradient("lstm", mesh(1)),
    ):
        forward, backward = of_program(program).loops
        assert sizes.num_steps % forward.trips == sizes.num_steps % backward.trips == 0
