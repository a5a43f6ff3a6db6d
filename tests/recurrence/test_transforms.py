"""The engine under JAX's transformations: each against the same function without them."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from marks import in_matrix
from recurrence.cases import make_case

import jaxrnn

NAMES = ["peephole", *in_matrix("gru", "rnn", "lstm")]
ROWS = 8
WHEN = {
    "whole": {},
    "both": {
        "lengths": np.array([0, 7, 1, 2, 7, 3, 5, 6], np.int32),
        "resets": np.array([[(t + 2 * b) % 3 == 0 for b in range(ROWS)] for t in range(7)]),
    },
}
# Lengths and resets take the way of whole sequences, and more.
EVERY_WAY = pytest.mark.parametrize("when", [*in_matrix("whole"), "both"])


def make_problem(name):
    """A loss that is a mean over rows, its parameters, and eight rows of inputs."""
    case = make_case(name)
    inputs = jax.random.normal(jax.random.key(5), (7, ROWS, 4), jnp.float64)

    def loss(params, inputs, when, implementation=None):
        carry = case.cell.initial_carry(inputs.shape[1], inputs.dtype)
        outputs, last = jaxrnn.unroll(
            case.cell, params, inputs, carry, implementation=implementation, **when
        )
        return jnp.sin(outputs).sum(axis=(0, 2)).mean() + jnp.square(last.hidden).sum(-1).mean()

    return loss, case.params, inputs


def by_autodiff(loss, params, inputs, when):
    """The value and the gradient of the parameters, as JAX differentiates the plain loop."""
    value_and_grad = jax.jit(jax.value_and_grad(loss), static_argnums=3)
    return value_and_grad(params, inputs, when, "autodiff")


def assert_equal(came, expected):
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


@pytest.fixture
def mesh():
    assert jax.device_count() == 8, "the tests need the eight devices of tests/conftest.py"
    return jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))


def specs(when):
    return {"lengths": P("data"), "resets": P(None, "data")} if when == "both" else {}


@pytest.mark.parametrize("name", NAMES)
def test_vmap_over_params_and_over_inputs(name, x64):
    loss, params, inputs = make_problem(name)
    grad = jax.jit(jax.grad(loss))
    many_params = jax.tree.map(lambda p: jnp.stack([p, 2 * p]), params)
    many_inputs = jnp.stack([inputs, -inputs])
    assert_equal(
        jax.vmap(grad, in_axes=(0, 0, None))(many_params, many_inputs, {}),
        jax.tree.map(
            lambda *leaves: jnp.stack(leaves),
            grad(params, inputs, {}),
            grad(jax.tree.map(lambda p: 2 * p, params), -inputs, {}),
        ),
    )


@pytest.mark.parametrize("name", NAMES)
def test_gradients_per_example(name, x64):
    loss, params, inputs = make_problem(name)
    grad = jax.jit(jax.grad(loss))
    rows = jax.vmap(lambda row: grad(params, row[:, None], {}), in_axes=1)(inputs)
    mean = jax.tree.map(lambda g: g.mean(axis=0), rows)
    assert_equal(mean, grad(params, inputs, {}))


@EVERY_WAY
@pytest.mark.parametrize("name", NAMES)
def test_jit_and_remat(name, when, x64):
    loss, params, inputs = make_problem(name)
    _, expected = by_autodiff(loss, params, inputs, WHEN[when])
    assert_equal(jax.jit(jax.grad(loss))(params, inputs, WHEN[when]), expected)
    assert_equal(jax.jit(jax.grad(jax.checkpoint(loss)))(params, inputs, WHEN[when]), expected)


@pytest.mark.matrix  # gradients linearise, too
@pytest.mark.parametrize("name", NAMES)
def test_linearize_equals_autodiff(name, x64):
    loss, params, inputs = make_problem(name)
    tangents = [
        jax.linearize(lambda p, how=how: loss(p, inputs, WHEN["both"], how), params)[1](params)
        for how in ("scan", "autodiff")
    ]
    assert_equal(*tangents)


@EVERY_WAY
@pytest.mark.parametrize("name", NAMES)
def test_shard_map(name, when, x64, mesh):
    """Value and gradient of the mean over devices; the carry of zeros varies as the inputs do."""
    loss, params, inputs = make_problem(name)

    def mean_loss(params, inputs, when):
        return lax.pmean(loss(params, inputs, when), "data")

    sharded = jax.shard_map(
        jax.value_and_grad(mean_loss),
        mesh=mesh,
        in_specs=(P(), P(None, "data"), specs(when)),
        out_specs=P(),
    )
    expected = by_autodiff(loss, params, inputs, WHEN[when])
    assert_equal(jax.jit(sharded)(params, inputs, WHEN[when]), expected)


@pytest.mark.parametrize(
    "options",
    [
        *in_matrix({"remat_every": 3}, {"dtype": "bfloat16"}),
        {"remat_every": 3, "dtype": "bfloat16"},
    ],
)
@pytest.mark.parametrize("cell", [jaxrnn.lstm(4), jaxrnn.gru(4, reset_after=False)])
def test_shard_map_of_what_changes_the_loop(cell, options, mesh):
    layer = jaxrnn.recurrent(cell, **options)
    params = layer.init(jax.random.key(0), 4)
    inputs = jax.random.normal(jax.random.key(5), (7, ROWS, 4))

    def loss(params, inputs):
        outputs, _ = layer.apply(params, inputs, layer.initial_carry(params, inputs.shape[1]))
        return jnp.square(outputs.astype(jnp.float32)).mean()

    def mean_loss(params, inputs):
        return lax.pmean(loss(params, inputs), "data")

    sharded = jax.shard_map(
        jax.grad(mean_loss), mesh=mesh, in_specs=(P(), P(None, "data")), out_specs=P()
    )
    came, expected = (jax.jit(f)(params, inputs) for f in (sharded, jax.grad(loss)))
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(expected), strict=True):
        # each device rounds its own sums to bfloat16, by up to 2^-9 of their size, a few times
        tolerance = 1e-2 if "dtype" in options else 1e-6
        np.testing.assert_allclose(a, b, atol=tolerance * float(np.abs(b).max()))


@pytest.mark.parametrize("varies", ["w_hh", "b_ih", "inputs", "resets"])
@pytest.mark.parametrize("remat_every", [None, *in_matrix(3)])
def test_shard_map_where_one_array_varies_over_devices(varies, remat_every, mesh):
    cell = jaxrnn.lstm(4)
    layer = jaxrnn.recurrent(cell, remat_every=remat_every)
    params = layer.init(jax.random.key(0), 4)
    inputs = jax.random.normal(jax.random.key(5), (7, 2, 4))
    resets = jax.random.bernoulli(jax.random.key(6), 0.3, (7, 2))
    arrays = {"inputs": inputs, "resets": resets, "w_hh": params.w_hh, "b_ih": params.b_ih}
    many = jnp.stack([arrays[varies]] * 4).at[1:].set(jnp.zeros_like(arrays[varies]))

    def run(given):
        now = arrays | {varies: given}
        own = params._replace(w_hh=now["w_hh"], b_ih=now["b_ih"])
        carry = layer.initial_carry(own, 2)
        return layer.apply(own, now["inputs"], carry, resets=now["resets"])[0]

    came = jax.jit(
        jax.shard_map(
            lambda given: run(given[0])[None], mesh=mesh, in_specs=P("data"), out_specs=P("data")
        )
    )(many)
    for device in range(4):
        np.testing.assert_allclose(came[device], run(many[device]), atol=1e-6)


@pytest.mark.parametrize("kind", ["vectors", "ids"])
def test_lengths_make_devices_talk_to_one_another_no_more_than_none_do(kind, mesh):
    """Rows lie on different devices, and padding is a matter of its own row."""
    cell = jaxrnn.lstm(4)
    layer = jaxrnn.recurrent(cell)
    params = jax.device_put(layer.init(jax.random.key(0), 4), NamedSharding(mesh, P()))
    inputs = jnp.ones((7, ROWS, 4)) if kind == "vectors" else jnp.ones((7, ROWS), jnp.int32)
    inputs = jax.device_put(inputs, NamedSharding(mesh, P(None, "data")))
    lengths = jax.device_put(WHEN["both"]["lengths"], NamedSharding(mesh, P("data")))
    run = jax.jit(
        lambda params, inputs, lengths: layer.apply(
            params, inputs, layer.initial_carry(params, ROWS), lengths=lengths
        )
    )
    program = run.lower(params, inputs, lengths).compile().as_text()
    for collective in ("all-gather", "all-reduce", "all-to-all", "collective-permute"):
        assert collective not in program


@EVERY_WAY
@pytest.mark.parametrize("name", NAMES)
def test_pmap(name, when, x64):
    loss, params, inputs = make_problem(name)

    def mean_grad(params, inputs, when):
        return lax.pmean(jax.grad(loss)(params, inputs, when), "data")

    def split(array, axis):
        return np.stack(np.split(np.asarray(array), 4, axis))

    axes = {"lengths": 0, "resets": 1}
    shards = {key: split(value, axes[key]) for key, value in WHEN[when].items()}
    grads = jax.pmap(mean_grad, "data", in_axes=(None, 0, 0))(params, split(inputs, 1), shards)
    _, expected = by_autodiff(loss, params, inputs, WHEN[when])
    for device in range(4):
        assert_equal(jax.tree.map(lambda g, d=device: g[d], grads), expected)


@pytest.mark.parametrize("name", NAMES)
def test_jit_with_shardings(name, x64, mesh):
    loss, params, inputs = make_problem(name)
    placed = (
        jax.device_put(params, NamedSharding(mesh, P())),
        jax.device_put(inputs, NamedSharding(mesh, P(None, "data"))),
    )
    _, expected = by_autodiff(loss, params, inputs, {})
    assert_equal(jax.jit(jax.grad(loss))(*placed, {}), expected)


def test_a_step_function_is_traced_once_per_shape():
    case = make_case("lstm", jnp.float32)
    traces = []

    @jax.jit
    def run(params, inputs):
        traces.append(inputs.shape)
        cell = jaxrnn.lstm(case.cell.hidden_size)  # made anew, yet equal
        return jaxrnn.unroll(cell, params, inputs, case.carry)

    for inputs in (case.inputs, 2 * case.inputs, case.inputs[:3]):
        run(case.params, inputs)
    assert traces == [(7, 5, 4), (3, 5, 4)]


def test_calls_without_jit_compile_once():
    """The loop's body is a new closure at each call; its program must not be."""
    case = make_case("lstm", jnp.float32)
    compiled = []

    def grad():
        def loss(params):
            return jaxrnn.unroll(case.cell, params, case.inputs, case.carry)[0].sum()

        return jax.grad(loss)(case.params)

    grad()
    handler = logging.Handler()
    handler.emit = lambda record: compiled.append(record.getMessage())
    logging.getLogger("jax").addHandler(handler)
    try:
        with jax.log_compiles():
            grad()
    finally:
        logging.getLogger("jax").removeHandler(handler)
    assert not [message for message in compiled if message.startswith("Compiling")]
