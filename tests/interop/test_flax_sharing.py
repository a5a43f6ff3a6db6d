"""Cells and RNNs of Flax that serve twice, in two directions or in two layers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from comparison import (
    assert_close,
    assert_same_outputs,
    assert_same_outputs_and_gradients,
    drawn,
    exactly,
    lenient,
    like,
)
from flax import linen, nnx
from marks import in_matrix
from test_flax import (
    CELLS,
    LENGTHS,
    B,
    H,
    T,
    call_flax,
    call_ours,
    inits,
    linen_cell,
    nnx_cell,
    random_carry,
    random_inputs,
    variables_of,
)

import jaxrnn
from jaxrnn.interop.flax import from_flax

# A Bidirectional overrides all of these.
OPTIONS = {"time_major": True, "return_carry": True, "reverse": True, "keep_order": True}


def one_cell(library, cell):
    return library.Bidirectional(library.RNN(cell), library.RNN(cell))


def one_rnn(library, cell):
    over_time = library.RNN(cell)
    return library.Bidirectional(over_time, over_time)


def one_cell_with_options(library, cell):
    forward, backward = library.RNN(cell, **OPTIONS), library.RNN(cell, unroll=2)
    return library.Bidirectional(forward, backward, return_carry=True)


# The ways without a mark do not depend on the cell, nor gradients on the options.
WAYS = in_matrix(*((name, one_cell, assert_same_outputs_and_gradients) for name in CELLS))
WAYS += [
    ("GRUCell", one_rnn, assert_same_outputs_and_gradients),
    ("OptimizedLSTMCell", one_cell_with_options, assert_same_outputs),
]
WAYS_TO_SHARE = pytest.mark.parametrize(("name", "share", "assert_same"), WAYS)


@WAYS_TO_SHARE
def test_directions_of_linen_that_share_a_cell_equal_two_copies(name, share, assert_same, x64):
    module = share(linen, linen_cell(name, param_dtype=jnp.float64))
    variables = variables_of(module, jnp.float64)
    assert list(variables["params"]) == ["forward_rnn"]  # where linen stores what is shared
    layer, params = from_flax(module, variables)
    assert isinstance(layer, jaxrnn.layers.Bidirectional)
    assert_close(params.forward, params.backward, 0)
    carry = random_carry(layer, params)

    def ours(variables, inputs):
        return call_ours(*from_flax(module, variables), inputs, carry)

    def theirs(variables, inputs):
        return call_flax(functools.partial(module.apply, variables), inputs, carry)

    assert_same(ours, theirs, variables, random_inputs(jnp.float64))


@WAYS_TO_SHARE
def test_directions_of_nnx_that_share_a_cell_equal_two_copies(name, share, assert_same, x64):
    module = share(nnx, nnx_cell(name, param_dtype=jnp.float64))
    graph, weights, rest = nnx.split(module, nnx.Param, ...)
    layer, params = from_flax(module)
    assert_close(params.forward, params.backward, 0)
    carry = random_carry(layer, params)

    def ours(weights, inputs):
        return call_ours(*from_flax(nnx.merge(graph, weights, rest)), inputs, carry)

    def theirs(weights, inputs):
        return call_flax(nnx.merge(graph, weights, rest), inputs, carry)

    assert_same(ours, theirs, weights, random_inputs(jnp.float64))


def test_directions_of_nnx_may_share_a_single_kernel():
    forward, backward = nnx_cell("GRUCell"), nnx_cell("GRUCell", kernel_init=drawn(1))
    backward.dense_h.kernel = forward.dense_h.kernel
    module = nnx.Bidirectional(nnx.RNN(forward), nnx.RNN(backward))
    layer, params = from_flax(module)
    np.testing.assert_array_equal(params.forward.w_hh, params.backward.w_hh)
    assert (params.forward.w_ih != params.backward.w_ih).all()
    inputs, carry = random_inputs(), random_carry(layer, params)
    # float32, 6 steps
    assert_close(call_ours(layer, params, inputs, carry), call_flax(module, inputs, carry), 1e-6)


class Sharing(linen.Module):
    """A model whose cell is its own, and so is not stored under either direction."""

    def setup(self):
        self.cell = linen_cell("GRUCell")
        self.both = one_cell(linen, self.cell)

    def __call__(self, inputs, **options):
        return self.both(inputs, **options)


def test_a_shared_cell_that_a_model_stores_is_handed_over_by_name():
    model = Sharing()
    variables = variables_of(model)
    assert list(variables["params"]) == ["cell"]
    weights = {"forward_rnn": {"cell": variables["params"]["cell"]}}
    bound = model.bind(variables)
    for module in (one_cell(linen, linen_cell("GRUCell")), bound.both):
        layer, params = from_flax(module, weights)
        inputs, carry = random_inputs(), random_carry(layer, params)
        assert_close(call_ours(layer, params, inputs, carry), call_flax(bound, inputs, carry), 1e-6)


def test_weights_that_a_shared_cell_would_not_read_are_refused():
    apart = linen.Bidirectional(
        linen.RNN(linen_cell("SimpleCell")), linen.RNN(linen_cell("SimpleCell"))
    )
    variables = variables_of(apart)
    shared = one_cell(linen, linen_cell("SimpleCell"))
    text = (
        "the weights of linen.Bidirectional do not fit: backward_rnn.cell.h.kernel is unexpected;"
        " backward_rnn.cell.i.bias is unexpected; backward_rnn.cell.i.kernel is unexpected"
    )
    with pytest.raises(ValueError, match=exactly(text)):
        from_flax(shared, variables)
    del variables["params"]["backward_rnn"]
    assert_close(*from_flax(shared, variables)[1], 0)
    with pytest.raises(ValueError, match=r"backward_rnn\.cell\.i\.kernel is missing"):
        from_flax(apart, variables)


def wide_inputs():
    """Inputs as wide as the hidden state, so that one cell can be stacked on itself."""
    return like(jax.ShapeDtypeStruct((T, B, H), jnp.float32), seed=3)


def assert_stack_equals(sequential, pairs):
    layers, params = zip(*pairs, strict=True)
    layer, inputs = jaxrnn.stack(layers), wide_inputs()
    outputs, _ = layer.apply(params, inputs, layer.initial_carry(params, B))
    with lenient():
        expected = sequential(jnp.swapaxes(inputs, 0, 1))
    np.testing.assert_allclose(outputs, jnp.swapaxes(expected, 0, 1), atol=1e-6)


@pytest.mark.parametrize("shared", ["cell", "rnn"])
def test_layers_of_linen_that_share_a_cell_are_ported_one_by_one(shared):
    cell = linen_cell("OptimizedLSTMCell")
    over_time = linen.RNN(cell)
    layers = [over_time, over_time if shared == "rnn" else linen.RNN(cell)]
    sequential = linen.Sequential(layers)
    with lenient():
        variables = sequential.init(jax.random.key(0), jnp.swapaxes(wide_inputs(), 0, 1))
    assert list(variables["params"]) == ["layers_0"]
    pairs = [from_flax(layer, variables["params"]["layers_0"]) for layer in layers]
    assert_stack_equals(functools.partial(sequential.apply, variables), pairs)


@pytest.mark.parametrize("shared", ["cell", "rnn"])
def test_layers_of_nnx_that_share_a_cell_are_ported_one_by_one(shared):
    cell = nnx.GRUCell(H, H, rngs=nnx.Rngs(0), **inits())
    over_time = nnx.RNN(cell)
    layers = [over_time, over_time if shared == "rnn" else nnx.RNN(cell)]
    assert_stack_equals(nnx.Sequential(*layers), [from_flax(layer) for layer in layers])


@pytest.mark.parametrize("library", ["nnx", "linen"])
def test_a_cell_runs_backward_as_an_rnn_that_keeps_the_order(library):
    options = {"reverse": True, "keep_order": True}
    if library == "nnx":
        cell, variables = nnx_cell("GRUCell"), None
        over_time = nnx.RNN(cell, **options)
    else:
        cell = linen_cell("GRUCell")
        variables = variables_of(cell)
        over_time = functools.partial(
            linen.RNN(cell, **options).apply, {"params": {"cell": variables["params"]}}
        )
    layer, params = from_flax(cell, variables)
    inputs, start = random_inputs(), drawn(2)(None, (B, H), jnp.float32)
    outputs, carry = jaxrnn.unroll(
        layer.cell, params, inputs, jaxrnn.HiddenCarry(start), lengths=LENGTHS, reverse=True
    )
    assert_close((outputs, carry.hidden), call_flax(over_time, inputs, start), 1e-6)


@pytest.mark.parametrize("options", [{"time_major": True}, {"return_carry": True}, {"unroll": 3}])
def test_how_an_rnn_is_called_changes_no_value(options):
    cell = linen_cell("LSTMCell")
    variables = variables_of(linen.RNN(cell))
    over_time = linen.RNN(cell, **options)
    layer, params = from_flax(over_time, variables)
    inputs = random_inputs()
    outputs, _ = layer.apply(params, inputs, layer.initial_carry(params, B))
    time_major = "time_major" in options
    with lenient():
        came = over_time.apply(variables, inputs if time_major else jnp.swapaxes(inputs, 0, 1))
    came = came[1] if "return_carry" in options else came
    expected = came if time_major else jnp.swapaxes(came, 0, 1)
    np.testing.assert_allclose(outputs, expected, atol=1e-6)


def test_weights_of_every_step_are_refused():
    """A cell that `linen.RNN` scans over its parameters is another one at each step."""
    own = {"variable_axes": {"params": 0}, "variable_broadcast": False}
    over_time = linen.RNN(linen_cell("SimpleCell"), **own, split_rngs={"params": True})
    with pytest.raises(
        ValueError, match=r"cell\.h\.kernel has shape \(6, 5, 5\), expected \(5, 5\)"
    ):
        from_flax(over_time, variables_of(over_time))
