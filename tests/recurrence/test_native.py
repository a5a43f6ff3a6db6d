"""Native code against JAX's derivative of the portable loop, and when a program uses it."""

import collections
import concurrent.futures
import dataclasses
import functools
import hashlib
import inspect
import math
import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from marks import in_matrix
from random_equations import make_cell, own_params, random_update
from recurrence.cases import CELLS, WHEN, Case, D, H, T, make_case

import jaxrnn
from jaxrnn.recurrence import primitives, scan
from jaxrnn.recurrence.linear_recurrence import linear_recurrence
from jaxrnn.recurrence.native import build
from jaxrnn.recurrence.options import Options


@pytest.fixture(autouse=True, scope="module")
def compiler():
    if (reason := jaxrnn.implementations(jaxrnn.rnn(2))["native"]) != "available":
        pytest.skip(reason)


TOLERANCE = {jnp.float64: 1e-12, jnp.float32: 1e-5}


def loss(case, implementation, when, options, params, inputs, carry, reset_carry):
    """A sum to which every step of every array contributes, each with a different weight."""
    if "resets" in when:
        when = when | {"reset_carry": reset_carry}
    results = jaxrnn.unroll(
        case.cell, params, inputs, carry, implementation=implementation, **when, **options
    )
    terms = [jnp.sin(leaf + i) ** 2 for i, leaf in enumerate(jax.tree.leaves(results))]
    return sum(term.sum() for term in terms), results


def check(case, dtype, when=WHEN["whole"], **options):
    """Results and gradients are those of autodiff, up to rounding."""
    tolerance = TOLERANCE[dtype]

    def run(implementation):
        function = functools.partial(loss, case, implementation, when, options)
        derivative = jax.value_and_grad(function, argnums=(0, 1, 2, 3), has_aux=True)
        return jax.jit(derivative)(case.params, case.inputs, case.carry, case.reset_carry)

    for native, expected in zip(
        *map(jax.tree.leaves, map(run, ("native", "autodiff"))), strict=True
    ):
        scale = max(1, np.abs(expected).max(initial=0))
        np.testing.assert_allclose(native, expected, rtol=0, atol=tolerance * scale)


EVERY_CELL = [(name, when) for name in CELLS for when in WHEN]
IN_CI = [*((name, "both") for name in CELLS), ("lstm", "resets")]


@pytest.mark.parametrize(
    ("name", "when"), [*IN_CI, *in_matrix(*(case for case in EVERY_CELL if case not in IN_CI))]
)
def test_results_and_gradients_equal_autodiff(name, when):
    check(make_case(name, jnp.float32), jnp.float32, WHEN[when])


@pytest.mark.parametrize(
    "options",
    [
        {"return_carries": True, "reverse": True, "remat_every": 3},
        *in_matrix({"return_carries": True}, {"reverse": True}, {"remat_every": 3}),
    ],
    ids=" and ".join,
)
@pytest.mark.parametrize("name", [*in_matrix("rnn", "gru", "relu", "peephole"), "lstm"])
def test_options_equal_autodiff_in_float64(name, options, x64):
    check(make_case(name), jnp.float64, WHEN["both"], **options)


def scaled_update(own, input_gates, hidden_gates, carry):
    gate, candidate = (x + h for x, h in zip(input_gates, hidden_gates, strict=True))
    gate = jax.nn.sigmoid(gate + own["all"] * carry.hidden)
    memory = gate * carry.memory + own["row"] * jnp.tanh(candidate)
    return jaxrnn.LSTMCarry(memory * jnp.exp(own["unit"])[None] + own["one"][None], memory)


def test_parameters_of_every_shape_with_a_number_a_unit_or_one_for_all(x64):
    shapes = {"all": (), "one": (1,), "row": (1, H), "unit": (H,), "unused": (H,)}
    own = {name: jnp.cos(jnp.arange(math.prod(s))).reshape(s) for name, s in shapes.items()}
    case = make_case("lstm")
    cell = dataclasses.replace(
        case.cell,
        gates=("gate", "candidate"),
        update=scaled_update,
        init_params=lambda key: own,
    )
    params = jaxrnn.recurrent(cell).init(jax.random.key(0), D)
    case = case._replace(cell=cell, params=jax.tree.map(lambda p: p.astype(jnp.float64), params))
    assert compiled(gradient(case, implementation="native"), case.params, case.inputs)[0] == 2
    check(case, jnp.float64, WHEN["both"])


def rows(own, like):
    return (
        jnp.broadcast_to(own[name].astype(like.dtype).reshape(1, -1), like.shape) for name in "ab"
    )


def faded_update(own, input_gates, hidden_gates, carry):
    a, b = rows(own, carry.hidden)
    fresh = jnp.tanh(input_gates[0] + hidden_gates[0] + b)
    return jaxrnn.HiddenCarry(fresh + jax.nn.sigmoid(a) * carry.hidden)


def leaky_coefficients(own, input_gates):
    a, b = rows(own, input_gates[0])
    return jax.nn.sigmoid(a), input_gates[0] + b


def init_own(key):
    return {"a": jnp.ones(H), "b": jnp.zeros((1, H))}


FADED = dataclasses.replace(jaxrnn.rnn(H), name="faded", update=faded_update, init_params=init_own)
LEAKY = jaxrnn.linear_cell(
    "leaky", H, gates=("input",), coefficients=leaky_coefficients, init_params=init_own
)
OTHERS = {
    "one number": {"a": jnp.array(0.3), "b": jnp.array(0.2)},
    "another order": collections.OrderedDict(b=jnp.full((1, H), 0.2), a=jnp.full(H, 0.3)),
    "integers": {"a": jnp.arange(H), "b": jnp.zeros((1, H))},
    "booleans": {"a": jnp.arange(H) % 2 == 0, "b": jnp.zeros((1, H))},
    "another precision": {"a": jnp.ones(H, jnp.bfloat16), "b": jnp.zeros((1, H))},
}


@pytest.mark.parametrize("others", OTHERS)
@pytest.mark.parametrize("cell", [FADED, LEAKY], ids=lambda cell: cell.name)
def test_parameters_unlike_those_of_init_params_mean_the_same(cell, others):
    """Code that was compiled for the others' shapes, order or numbers must not read these."""
    drawn = jaxrnn.recurrent(cell).init(jax.random.key(0), D)
    inputs = jax.random.normal(jax.random.key(1), (T, 3, D))

    def loss(b_ih, own, implementation):
        params = drawn._replace(b_ih=b_ih, cell=own)
        outputs, _ = jaxrnn.unroll(cell, params, inputs, implementation=implementation)
        return jnp.sum(outputs**2)

    own = OTHERS[others]
    trainable = all(jnp.issubdtype(p.dtype, jnp.floating) for p in jax.tree.leaves(own))
    derivative = jax.value_and_grad(loss, (0, 1) if trainable else 0)
    came, expected = (derivative(drawn.b_ih, own, how) for how in (None, "autodiff"))
    # bfloat16 gradients have three digits; the others are sums of 21 steps.
    close = functools.partial(np.testing.assert_allclose, rtol=1e-2, atol=1e-4)
    jax.tree.map(close, came, expected)
    close(loss(drawn.b_ih, own, None), loss(drawn.b_ih, own, "autodiff"))


SIZES = [(1, 1, 1), (3, 130, 33), (4, 9, 200)]
SIZES += in_matrix((60, 2, 20), (2, 3, 17), (5, 7, 64), (10_000, 1, 5), (3, 12, 520))
SIZES += in_matrix((7, 13, 257), (2, 6, 96), (9, 25, 31))


@pytest.mark.parametrize(("num_steps", "batch_size", "size"), SIZES)
@pytest.mark.parametrize("name", [*in_matrix("rnn", "lstm"), "gru"])
def test_sizes_that_leave_tails(name, num_steps, batch_size, size, x64):
    cell, random = getattr(jaxrnn, name)(size), np.random.default_rng(0)

    def draw(like):  # in NumPy, as JAX would compile for each size
        return random.normal(size=like.shape)

    shapes = jax.eval_shape(lambda: jaxrnn.recurrent(cell).init(jax.random.key(0), D))
    params = jax.tree.map(lambda p: 0.5 * draw(p) / np.sqrt(p.shape[0]), shapes)
    inputs = random.normal(size=(num_steps, batch_size, D))
    start = jax.eval_shape(lambda: cell.initial_carry(batch_size))
    carries = [jax.tree.map(draw, start) for _ in range(2)]
    lengths = np.arange(batch_size) % (num_steps + 1)
    check(Case(cell, params, inputs, *carries), jnp.float64, {"lengths": lengths})


def random_cells(number):
    generator = np.random.default_rng(0)
    return [
        generator.integers(0, 100, (generator.integers(1, 9), 3)).tolist() for _ in range(number)
    ]


DRAWN = random_cells(300)
LONGEST = sorted(DRAWN[:12], key=len)[-4:]


def build_in_haste(source, shared, headers, flags):
    """Code that is hardly optimised compiles in half the time.

    The last of several levels counts.  What all cells share is compiled without these flags.
    """
    return build.build(source, shared, headers, (*flags, "-O1"))


@pytest.mark.parametrize(
    "steps", [*LONGEST, *in_matrix(*(steps for steps in DRAWN if steps not in LONGEST))]
)
def test_random_programs(steps, x64, monkeypatch):
    monkeypatch.setattr("jaxrnn.recurrence.native.choice.build", build_in_haste)
    case = make_case("lstm")
    cell = make_cell(random_update(steps), lambda key: jax.tree.map(jnp.asarray, own_params()))
    params = jaxrnn.recurrent(cell).init(jax.random.key(0), D)
    size, batch_size = cell.hidden_size, case.inputs.shape[1]
    params = jax.tree.map(lambda p: p.astype(jnp.float64), params)
    carry, reset_carry = (
        jax.tree.map(lambda c: c[:, :size], carry) for carry in (case.carry, case.reset_carry)
    )
    assert carry.hidden.shape == (batch_size, size)
    case = case._replace(cell=cell, params=params, carry=carry, reset_carry=reset_carry)
    check(case, jnp.float64)


@pytest.mark.parametrize(
    ("name", "outer"),
    [
        ("gru", jax.jacrev),
        *in_matrix(("gru", jax.jacfwd), ("peephole", jax.jacrev), ("peephole", jax.jacfwd)),
    ],
)
def test_second_derivatives(name, outer, x64):
    case = make_case(name)

    def product(implementation):
        def function(direction):
            params = case.params._replace(w_hh=case.params.w_hh + direction * case.params.w_hh)
            both = WHEN["both"]
            return loss(case, implementation, both, {}, params, *case[2:])[0]

        return jax.jit(outer(jax.grad(function)))(jnp.float64(0.1))

    np.testing.assert_allclose(product("native"), product("autodiff"), rtol=1e-10)


def test_nan_in_the_padding_reaches_nothing():
    case = make_case("lstm", jnp.float32)
    lengths = WHEN["lengths"]["lengths"]
    padding = jnp.arange(T)[:, None] >= lengths[None]
    dirty = jnp.where(padding[..., None], jnp.nan, case.inputs)

    def run(inputs):
        function = functools.partial(loss, case, "native", {"lengths": lengths}, {}, case.params)
        return jax.jit(jax.value_and_grad(function, has_aux=True))(inputs, case.carry, case.carry)

    jax.tree.map(np.testing.assert_array_equal, run(dirty), run(case.inputs))


def test_nan_stays_in_its_row():
    case = make_case("gru", jnp.float32)
    outputs, _ = jaxrnn.unroll(
        case.cell, case.params, case.inputs.at[2, 1].set(jnp.nan), implementation="native"
    )
    expected = np.zeros(outputs.shape[:2], bool)
    expected[2:, 1] = True
    np.testing.assert_array_equal(np.isnan(outputs).all(axis=-1), expected)
    np.testing.assert_array_equal(np.isnan(outputs).any(axis=-1), expected)


def test_calls_at_once_give_the_same_bits():
    cell = jaxrnn.lstm(48)
    params = jaxrnn.recurrent(cell).init(jax.random.key(0), 5)
    inputs = jax.random.normal(jax.random.key(1), (30, 8, 5))

    @jax.jit
    def gradient(params, inputs):
        run = functools.partial(jaxrnn.unroll, cell, implementation="native")
        return jax.grad(lambda params: run(params, inputs)[0].sum())(params)

    expected = gradient(params, inputs)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for result in pool.map(lambda _: gradient(params, inputs), range(64)):
            jax.tree.map(np.testing.assert_array_equal, result, expected)


def compiled(function, *arguments):
    """How often the program for a function calls native code, and its text."""
    text = jax.jit(function).lower(*arguments).compile().as_text()
    return len(re.findall('custom_call_target="jaxrnn_', text)), text


def gradient(case, **options):
    """The gradient of a run, as a function of parameters and inputs."""

    def function(params, inputs):
        outputs, _ = jaxrnn.unroll(case.cell, params, inputs, **options)
        return jnp.sum(outputs.astype(params.b_ih.dtype) ** 2)

    return jax.grad(function)


@pytest.fixture
def lstm():
    return make_case("lstm", jnp.float32)


@pytest.mark.parametrize("name", CELLS)
def test_a_program_calls_native_code_by_default(name):
    case = make_case(name, jnp.float32)
    calls, text = compiled(gradient(case), case.params, case.inputs)
    assert calls == 2
    assert " while(" not in text


@pytest.mark.parametrize("implementation", ["scan", "autodiff"])
def test_other_implementations_do_not(lstm, implementation):
    function = gradient(lstm, implementation=implementation)
    assert compiled(function, lstm.params, lstm.inputs)[0] == 0


def test_short_sequences_do_not(lstm, monkeypatch):
    monkeypatch.delenv("JAXRNN_NATIVE", raising=False)

    def run(params, inputs):
        return jaxrnn.unroll(lstm.cell, params, inputs)[0]

    assert compiled(gradient(lstm), lstm.params, lstm.inputs[:1])[0] == 0
    assert compiled(run, lstm.params, lstm.inputs[:4])[0] == 0
    assert compiled(run, lstm.params, jnp.concatenate([lstm.inputs] * 2))[0] == 1


def test_other_dtypes_do_not(lstm, x64, monkeypatch):
    monkeypatch.delenv("JAXRNN_NATIVE", raising=False)
    assert compiled(gradient(lstm, dtype=jnp.bfloat16), lstm.params, lstm.inputs)[0] == 0
    case = make_case("lstm", jnp.float64)
    assert compiled(gradient(case), case.params, case.inputs)[0] == 0
    assert compiled(gradient(case, implementation="native"), case.params, case.inputs)[0] == 2


def test_the_environment_switches_it(lstm, monkeypatch):
    monkeypatch.setenv("JAXRNN_NATIVE", "0")
    assert compiled(gradient(lstm), lstm.params, lstm.inputs)[0] == 0
    assert "JAXRNN_NATIVE" in jaxrnn.implementations(lstm.cell)["native"]
    monkeypatch.setenv("JAXRNN_NATIVE", "1")
    assert compiled(gradient(lstm), lstm.params, lstm.inputs[:1])[0] == 2


def test_vmap_hands_over_to_the_scan(lstm):
    inputs = jnp.stack([lstm.inputs, 2 * lstm.inputs])
    mapped = jax.vmap(gradient(lstm), in_axes=(None, 0))
    assert compiled(mapped, lstm.params, inputs)[0] == 0
    single = [gradient(lstm)(lstm.params, each).w_hh for each in inputs]
    np.testing.assert_allclose(mapped(lstm.params, inputs).w_hh, single, atol=1e-5)


def test_forward_mode_runs_native_code_and_a_loop_of_tangents(lstm):
    def tangent(params, inputs):
        run = functools.partial(jaxrnn.unroll, lstm.cell, inputs=inputs)
        return jax.jvp(run, (params,), (params,))[1][0]

    assert compiled(tangent, lstm.params, lstm.inputs)[0] == 1
    _, expected = jax.jvp(
        lambda p: jaxrnn.unroll(lstm.cell, p, lstm.inputs, implementation="autodiff")[0],
        (lstm.params,),
        (lstm.params,),
    )
    np.testing.assert_allclose(tangent(lstm.params, lstm.inputs), expected, atol=1e-5)


def test_an_export_holds_no_native_code(lstm):
    exported = jax.export.export(jax.jit(gradient(lstm)))(lstm.params, lstm.inputs)
    assert "jaxrnn_" not in exported.mlir_module()


def test_weights_of_other_forms_take_the_scan(lstm):
    layer = jaxrnn.recurrent(lstm.cell, projection_size=3)
    params = layer.init(jax.random.key(0), D)
    function = gradient(lstm)
    assert compiled(function, params, lstm.inputs)[0] == 0


def test_rows_on_several_devices_take_the_scan():
    """XLA would gather the operands of a custom call."""
    case = make_case("lstm", jnp.float32)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    inputs = jnp.concatenate([case.inputs] * 4, axis=1)[:, :16]
    sharded = jax.device_put(inputs, NamedSharding(mesh, PartitionSpec(None, "data")))
    calls, text = compiled(gradient(case), case.params, sharded)
    assert calls == 0
    assert "all-gather" not in text


@pytest.mark.parametrize(
    "make",
    [
        *(jaxrnn.peephole_lstm, jaxrnn.rg_lru),
        *in_matrix(jaxrnn.rnn, jaxrnn.gru, jaxrnn.lstm, jaxrnn.cifg, jaxrnn.mgu, jaxrnn.slstm),
        *in_matrix(jaxrnn.min_gru, jaxrnn.lru, jaxrnn.s5, jaxrnn.qrnn, jaxrnn.sru, jaxrnn.ema),
    ],
)
def test_in_shard_map_shared_arrays_get_the_sum_of_the_gradients_of_all_devices(make):
    """Own parameters and learned carries, whose sums over steps native code computes itself."""
    cell = make(H)
    params = jaxrnn.recurrent(cell).init(jax.random.key(0), D)
    learned = jax.tree.map(lambda array: 0.5 * jnp.ones_like(array[0]), cell.initial_carry(1))
    inputs = jax.random.normal(jax.random.key(1), (T, 16, D))
    resets = jax.random.bernoulli(jax.random.key(2), 0.3, inputs.shape[:2])

    @jax.grad
    def gradient(shared, inputs, resets):
        params, learned = shared
        carry = jax.tree.map(lambda c: jnp.tile(c[None], (inputs.shape[1], 1)), learned)
        outputs, _ = jaxrnn.unroll(cell, params, inputs, carry, resets=resets, reset_carry=carry)
        return jnp.sum(outputs**2)

    columns = PartitionSpec(None, "data")
    sharded = jax.shard_map(
        gradient,
        mesh=jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,)),
        in_specs=(PartitionSpec(), columns, columns),
        out_specs=PartitionSpec(),
    )
    arguments = (params, learned), inputs, resets
    assert compiled(sharded, *arguments)[0] > 0
    came, expected = jax.jit(sharded)(*arguments), gradient(*arguments)

    def assert_close(came, expected):  # sums over 16 rows of seven steps
        np.testing.assert_allclose(came, expected, rtol=0, atol=1e-4 * np.abs(expected).max())

    jax.tree.map(assert_close, came, expected)


@pytest.mark.parametrize("make", [jaxrnn.peephole_lstm, jaxrnn.gru, jaxrnn.min_gru])
def test_in_shard_map_devices_may_differ_in_their_carries_alone(make):
    cell = make(H)
    params = jaxrnn.recurrent(cell).init(jax.random.key(0), D)
    carry = cell.initial_carry(8)
    carry = carry._replace(hidden=jax.random.normal(jax.random.key(1), carry.hidden.shape))

    @jax.grad
    def gradient(params, hidden):
        start = jax.tree.map(jnp.zeros_like, cell.initial_carry(len(hidden)))
        inputs = jnp.ones((T, len(hidden), D))
        outputs, _ = jaxrnn.unroll(cell, params, inputs, start._replace(hidden=hidden))
        return jnp.sum(outputs**2)

    sharded = jax.shard_map(
        gradient,
        mesh=jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,)),
        in_specs=(PartitionSpec(), PartitionSpec("data")),
        out_specs=PartitionSpec(),
    )
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    came = jax.jit(sharded)(params, carry.hidden)
    jax.tree.map(close, came, gradient(params, carry.hidden))


def test_shard_map_and_pmap_keep_it():
    case = make_case("peephole", jnp.float32)
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    inputs = jnp.concatenate([case.inputs] * 4, axis=1)[:, :16]
    one_device = gradient(case)(case.params, inputs)
    columns = PartitionSpec(None, "data")

    @functools.partial(
        jax.shard_map, mesh=mesh, in_specs=(PartitionSpec(), columns), out_specs=PartitionSpec()
    )
    def sharded(params, inputs):  # the gradient of what is the same everywhere sums over devices
        return gradient(case)(params, inputs)

    calls, _ = compiled(sharded, case.params, inputs)
    assert calls == 2
    # Sums over 16 rows of seven steps.
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    jax.tree.map(close, jax.jit(sharded)(case.params, inputs), one_device)

    def mapped(params, inputs):
        return jax.lax.psum(gradient(case)(params, inputs), "data")

    split = inputs.reshape(T, 4, 4, D)
    run = jax.pmap(mapped, axis_name="data", in_axes=(None, 1), out_axes=None)
    jax.tree.map(close, run(case.params, split), one_device)


def signs_update(cell_params, input_gates, hidden_gates, carry):
    gate = input_gates[0] + hidden_gates[0]
    zero = jnp.where(gate > 0, 0.0, -0.0).astype(gate.dtype)
    return jaxrnn.HiddenCarry(jnp.arctan2(zero, -jnp.abs(gate)) / 10 + gate)  # plus or minus pi


def test_zeros_keep_their_signs(lstm):
    zeros = jaxrnn.zero_carry(jaxrnn.HiddenCarry, H)
    cell = jaxrnn.Cell("signs", H, gates=("a",), initial_carry=zeros, update=signs_update)
    params = jaxrnn.recurrent(cell).init(jax.random.key(0), D)
    case = lstm._replace(cell=cell, params=params, carry=zeros(5), reset_carry=zeros(5))
    check(case, jnp.float32)


def test_activations_with_constant_slopes_are_eligible_with_x64(x64):
    for activation in ("relu", jax.nn.elu, jax.nn.leaky_relu):
        assert jaxrnn.implementations(jaxrnn.rnn(H, activation))["native"] == "available"


def test_what_native_code_cannot_do_is_an_error_when_it_is_asked_for(lstm):
    layer = jaxrnn.recurrent(lstm.cell, projection_size=3)
    params = layer.init(jax.random.key(0), D)
    linear = jaxrnn.min_gru(H)
    halves = jax.tree.map(
        lambda p: p.astype(jnp.bfloat16), jaxrnn.recurrent(linear).init(jax.random.key(0), D)
    )
    for cell, arguments, options, message in [
        (lstm.cell, params, {}, "w_hh is a LowRank"),
        (lstm.cell, lstm.params, {"dtype": jnp.bfloat16}, "multiply in bfloat16"),
        (linear, halves, {}, "it does not compute in bfloat16"),
    ]:
        inputs = lstm.inputs.astype(arguments.w_ih.dtype)
        with pytest.raises(ValueError, match=message):
            jaxrnn.unroll(cell, arguments, inputs, implementation="native", **options)


def mixing_update(cell_params, input_gates, hidden_gates, carry):
    return jaxrnn.HiddenCarry(jnp.tanh(input_gates[0] + jnp.roll(hidden_gates[0], 1, axis=-1)))


def test_a_cell_whose_units_read_each_other_takes_the_scan(lstm):
    zeros = jaxrnn.zero_carry(jaxrnn.HiddenCarry, H)
    cell = jaxrnn.Cell("mixing", H, gates=("a",), initial_carry=zeros, update=mixing_update)
    reason = jaxrnn.implementations(cell)["native"]
    assert reason.startswith("the cell mixing is not eligible: it has")
    params = jaxrnn.recurrent(cell).init(jax.random.key(0), D)
    with pytest.raises(ValueError, match="not eligible"):
        jaxrnn.unroll(cell, params, lstm.inputs, implementation="native")
    case = lstm._replace(cell=cell)
    assert compiled(gradient(case), params, lstm.inputs)[0] == 0


FUNCTIONS = {
    "tanh": (jnp.tanh, np.tanh),
    "sigmoid": (jax.nn.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
    "exp": (jnp.exp, np.exp),
    "softplus": (jax.nn.softplus, lambda x: np.logaddexp(x, 0)),
    "expm1": (jnp.expm1, np.expm1),
    "log": (lambda x: jnp.log(jnp.abs(x)), lambda x: np.log(np.abs(x))),
    "log1p": (
        lambda x: jnp.log1p(jnp.maximum(x, -0.9)),
        lambda x: np.log1p(np.maximum(x, -0.9)),
    ),
    "erf": (jax.lax.erf, np.vectorize(math.erf)),
}


Values = collections.namedtuple("Values", ["hidden", *FUNCTIONS])
"""A carry with the values of all functions."""
MAGNITUDES = np.geomspace(1e-30, 87, 25_000).astype(np.float32)
EXTREMES = np.array([[0, 1e-38, 9, 9.1, 88.7, 88.8, 104, 1e4, 3e38, np.inf, np.nan]], np.float32)
NUMBERS = {
    "many": np.concatenate([MAGNITUDES, -MAGNITUDES]).reshape(100, 500),
    "extreme": np.concatenate([EXTREMES, -EXTREMES]),
}


@functools.cache
def apply_all(of, implementation):
    """Apply all functions, as the update of one cell, to an array [B, H]."""

    def update(cell_params, input_gates, hidden_gates, carry):
        x = input_gates[0]
        return Values(0 * hidden_gates[0], *(function(x) for function, _ in FUNCTIONS.values()))

    batch_size, size = NUMBERS[of].shape
    zeros = jaxrnn.zero_carry(Values, size)
    cell = jaxrnn.Cell("functions", size, gates=("a",), initial_carry=zeros, update=update)
    steps = scan.Steps((jnp.asarray(NUMBERS[of])[None],), None, None)
    params = jaxrnn.LoopParams(jnp.zeros((size, size)), None, ())
    run = functools.partial(primitives.run, Options(cell, implementation=implementation))
    return jax.device_get(jax.jit(run)(params, steps, zeros(batch_size), None)[1])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_as_accurate_as_those_of_xla(name):
    exact = FUNCTIONS[name][1]
    numbers = NUMBERS["many"]
    expected = exact(numbers.astype(np.float64))
    normal = np.abs(expected) > 1e-37  # the CPU may flush smaller ones to zero
    unit = np.spacing(np.abs(expected.astype(np.float32))).astype(np.float64)

    def largest_error(implementation):
        error = np.abs(getattr(apply_all("many", implementation), name) - expected) / unit
        return error[normal].max()

    assert largest_error("native") <= largest_error("scan") + 0.1  # units in the last place


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_extreme_numbers_are_those_of_xla(name):
    native, xla = (getattr(apply_all("extreme", how), name) for how in ("native", "scan"))
    np.testing.assert_allclose(native, xla, rtol=1e-6, atol=1e-37)


def digest_of_native_results():
    """Return a digest of outputs, and of gradients with respect to inputs and carry.

    XLA, whose sums may depend on its threads, multiplies only by an identity.  A recurrence of
    complex numbers follows, whose size leaves a part of a vector at its end.
    """
    cell, random = jaxrnn.lstm(70), np.random.default_rng(0)
    w_hh, inputs, *carry = (
        random.normal(size=shape).astype("float32")
        for shape in [(70, 280), (20, 45, 280), (45, 70), (45, 70)]
    )
    identity, zeros = np.eye(280, dtype="float32"), np.zeros(280, "float32")
    params = jaxrnn.RecurrentParams(identity, w_hh / 8, zeros)

    def loss(inputs, carry, params):
        outputs, _ = jaxrnn.unroll(cell, params, inputs, carry, implementation="native")
        return (outputs**2).sum(), outputs

    derivative = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
    leaves = jax.tree.leaves(derivative(inputs, jaxrnn.LSTMCarry(*carry), params))
    a, b = random.normal(size=(2, 4000, 1, 101, 2)).astype("float32").view("complex64")[..., 0]
    leaves += jax.jit(linear_recurrence)(a / abs(a), b, b[0])
    return hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves)).hexdigest()


ON_ONE_CPU = """
import os
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
import hashlib, jax, jaxrnn, numpy as np
from jaxrnn.recurrence.linear_recurrence import linear_recurrence
{function}
print(digest_of_native_results(), end="")
"""


def test_the_bits_do_not_depend_on_the_number_of_threads():
    """XLA has one for each CPU or, if there are more, for each device; here there are eight."""
    program = ON_ONE_CPU.format(function=inspect.getsource(digest_of_native_results))
    flags = re.sub(r"--xla_force_host_platform_device_count=\d+", "", os.environ["XLA_FLAGS"])
    came = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        check=True,
    )
    assert came.stdout == digest_of_native_results()
