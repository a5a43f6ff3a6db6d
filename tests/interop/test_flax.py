"""Ports of Flax's recurrent cells, nnx and linen: Flax itself is the oracle."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import pytest
from comparison import (
    assert_close,
    assert_same_outputs_and_gradients,
    drawn,
    exactly,
    lenient,
    like,
)
from flax import linen, nnx
from marks import in_matrix

import jaxrnn
from jaxrnn.interop.flax import carry_from_flax, carry_to_flax, from_flax, to_linen, to_nnx

T, B, D, H = 6, 3, 4, 5
LENGTHS = jnp.array([6, 1, 4])  # none is 0, where Flax takes another carry: test_flax_defects.py
CELLS = ("SimpleCell", "GRUCell", "LSTMCell", "OptimizedLSTMCell")
LINEN_CELLS = (*CELLS, "MGUCell")
WAYS = ("forward", "backward")
GRU = jaxrnn.recurrent(jaxrnn.gru(H))
OURS = {
    "rnn": jaxrnn.rnn(H),
    "gru": jaxrnn.gru(H),
    "lstm": jaxrnn.lstm(H),
    "mgu": jaxrnn.mgu(H, as_in_flax=True),
}


def inits(*biases):
    kernels = ("kernel_init", "recurrent_kernel_init")
    return dict.fromkeys((*kernels, *(biases or ("bias_init",))), drawn(0))


def nnx_cell(name, **options):
    options = inits() | {"dtype": None} | options
    return getattr(nnx, name)(D, H, rngs=nnx.Rngs(0), **options)


def linen_cell(name, **options):
    biases = ("forget_bias_init", "activation_bias_init") if name == "MGUCell" else ()
    return getattr(linen, name)(H, **(inits(*biases) | options))


def variables_of(module, dtype=jnp.float32):
    """Draw the variables of a linen module, which is a cell or runs one over time."""
    is_cell = isinstance(module, linen.RNNCellBase)
    over_time = linen.RNN(module) if is_cell else module
    with lenient():
        variables = over_time.init(jax.random.key(0), jnp.zeros((B, T, D), dtype))
    return {"params": variables["params"]["cell"]} if is_cell else variables


def random_params(layer):
    return like(jax.eval_shape(lambda: layer.init(jax.random.key(0), D)), seed=1)


def random_carry(layer, params):
    """Draw a carry, in the form of Flax's."""
    return carry_to_flax(like(layer.initial_carry(params, B), seed=2))


def random_inputs(dtype=jnp.float32):
    return like(jax.ShapeDtypeStruct((T, B, D), dtype), seed=3)


def call_flax(call, inputs, carry):
    """Run `call`, which is batch-major, over the lengths: (outputs [T, B, F], carry)."""
    with lenient():
        carry, outputs = call(
            jnp.swapaxes(inputs, 0, 1), initial_carry=carry, seq_lengths=LENGTHS, return_carry=True
        )
    valid = jnp.arange(T)[:, None] < LENGTHS[None]
    outputs = jnp.swapaxes(outputs, 0, 1)
    return jnp.where(valid[:, :, None], outputs, jnp.zeros_like(outputs)), carry


def call_ours(layer, params, inputs, carry):
    outputs, carry = layer.apply(params, inputs, carry_from_flax(layer, carry), lengths=LENGTHS)
    return outputs, carry_to_flax(carry)


@pytest.mark.parametrize(
    "name", ["LSTMCell", *in_matrix("SimpleCell", "GRUCell", "OptimizedLSTMCell")]
)
def test_an_nnx_cell_over_time_has_a_layer_that_equals_it(name, x64):
    module = nnx.RNN(nnx_cell(name, param_dtype=jnp.float64))
    graph, weights, rest = nnx.split(module, nnx.Param, ...)
    layer, params = from_flax(module)
    carry = random_carry(layer, params)

    def ours(weights, inputs):
        return call_ours(*from_flax(nnx.merge(graph, weights, rest)), inputs, carry)

    def theirs(weights, inputs):
        return call_flax(nnx.merge(graph, weights, rest), inputs, carry)

    inputs = random_inputs(jnp.float64)
    assert_same_outputs_and_gradients(ours, theirs, weights, inputs)


@pytest.mark.parametrize(
    "name", ["LSTMCell", "MGUCell", *in_matrix("SimpleCell", "GRUCell", "OptimizedLSTMCell")]
)
def test_a_linen_cell_over_time_has_a_layer_that_equals_it(name, x64):
    module = linen.RNN(linen_cell(name, param_dtype=jnp.float64))
    variables = variables_of(module, jnp.float64)
    layer, params = from_flax(module, variables)
    carry = random_carry(layer, params)

    def ours(variables, inputs):
        return call_ours(*from_flax(module, variables), inputs, carry)

    def theirs(variables, inputs):
        return call_flax(functools.partial(module.apply, variables), inputs, carry)

    inputs = random_inputs(jnp.float64)
    assert_same_outputs_and_gradients(ours, theirs, variables, inputs)


def flax_call(library, exported):
    """Return an exported module as a function of batch-major inputs."""
    if library == "nnx":
        return exported if isinstance(exported, nnx.Bidirectional) else nnx.RNN(exported)
    module, variables = exported
    if isinstance(module, linen.RNNCellBase):
        module, variables = linen.RNN(module), {"params": {"cell": variables["params"]}}
    return functools.partial(module.apply, variables)


EXPORTS = {"nnx": to_nnx, "linen": to_linen}


def without_hidden_bias_of_n(params):
    """The GRUCell of nnx has none."""
    return params._replace(b_hh=params.b_hh.at[2 * H :].set(0))


@pytest.mark.parametrize(
    ("name", "library"),
    [
        *itertools.product(["rnn", "gru", "bidirectional lstm"], EXPORTS),
        ("bidirectional mgu", "linen"),
    ],
)
def test_a_layer_has_a_flax_module_that_equals_it_and_comes_back(name, library):
    cell = OURS[name.split()[-1]]
    layer = jaxrnn.recurrent(cell)
    layer = jaxrnn.bidirectional(layer) if name.startswith("bidirectional") else layer
    params = random_params(layer)
    if cell.hidden_bias and library == "nnx":
        params = without_hidden_bias_of_n(params)
    inputs, carry = random_inputs(), random_carry(layer, params)
    outputs_and_carry = call_ours(layer, params, inputs, carry)

    exported = EXPORTS[library](layer, params)
    # float32, 6 steps
    assert_close(call_flax(flax_call(library, exported), inputs, carry), outputs_and_carry, 1e-6)

    again, back = from_flax(*(exported if library == "linen" else (exported,)))
    if cell.hidden_bias:  # two gates add b_ih and b_hh, so that one bias came back
        assert_close(call_ours(again, back, inputs, carry), outputs_and_carry, 1e-6)
    else:
        assert again == layer
        assert_close(back, params, 0)


@pytest.mark.parametrize("name", CELLS)
def test_weights_of_nnx_come_back_as_they_were(name):
    cell = nnx_cell(name)
    optimized = name == "OptimizedLSTMCell"
    back = to_nnx(*from_flax(cell), optimized_lstm=optimized)
    assert type(back) is type(cell)
    assert_close(nnx.to_pure_dict(nnx.state(back, nnx.Param)), nnx.to_pure_dict(nnx.state(cell)), 0)


@pytest.mark.parametrize("name", LINEN_CELLS)
def test_weights_of_linen_come_back_as_they_were(name):
    module = linen_cell(name)
    variables = variables_of(module)
    optimized = name == "OptimizedLSTMCell"
    back, back_variables = to_linen(*from_flax(module, variables), optimized_lstm=optimized)
    assert type(back) is type(module)
    assert_close(back_variables, variables, 0)


def test_a_simple_cell_keeps_its_activation():
    cell = nnx_cell("SimpleCell", activation_fn=jax.nn.relu, dtype=jnp.float32)  # the default
    layer, params = from_flax(cell)
    assert layer == jaxrnn.recurrent(jaxrnn.rnn(H, "relu"))
    inputs, carry = random_inputs(), random_carry(layer, params)
    expected = call_flax(nnx.RNN(cell), inputs, carry)
    assert_close(call_ours(layer, params, inputs, carry), expected, 1e-5)
    back = to_nnx(layer, params, activation=jax.nn.relu)
    module, _ = to_linen(layer, params, activation=jax.nn.relu)
    assert back.activation_fn is module.activation_fn is jax.nn.relu
    assert to_nnx(layer, params, activation="relu").activation_fn is jax.nn.relu


@pytest.mark.parametrize("library", ["nnx", *in_matrix("linen")])
def test_an_rnn_that_runs_backward_and_keeps_the_order_is_a_reversed_layer(library):
    if library == "nnx":
        module = call = nnx.RNN(nnx_cell("SimpleCell"), reverse=True, keep_order=True)
        layer, params = from_flax(module)
    else:
        module = linen.RNN(linen_cell("SimpleCell"), reverse=True, keep_order=True)
        variables = variables_of(module)
        layer, params = from_flax(module, variables)
        call = functools.partial(module.apply, variables)
    assert layer == jaxrnn.recurrent(jaxrnn.rnn(H), reverse=True)
    inputs, carry = random_inputs(), random_carry(layer, params)
    expected = call_flax(call, inputs, carry)
    assert_close(call_ours(layer, params, inputs, carry), expected, 1e-5)  # float32, 6 steps


def test_variables_come_with_or_without_their_collection_and_boxed():
    partitioned = linen.with_partitioning(drawn(0), (None, None))
    module = linen.GRUCell(H, kernel_init=partitioned)
    variables = variables_of(module)
    assert isinstance(variables["params"]["ir"]["kernel"], linen.Partitioned)
    _, params = from_flax(module, variables)
    _, same = from_flax(module, linen.unbox(variables)["params"])
    assert_close(params, same, 0)
    assert params.w_ih.shape == (D, 3 * H)


class Derived(nnx.GRUCell):
    """A cell that may compute anything."""


def bidirectional_of(forward, backward=None, **options):
    return nnx.Bidirectional(nnx.RNN(forward), nnx.RNN(backward or forward), **options)


ONE_BY_ONE = (
    "cannot be ported: port its layers one by one and put them in a jaxrnn.stack (linen stores the"
    " weights of a cell that several layers share only under the first of them)"
)
KNOWN = "SimpleCell, GRUCell, LSTMCell, OptimizedLSTMCell, MGUCell"
REFUSED = {
    "another cell": (
        lambda: linen.ConvLSTMCell(H, (3,)),
        f"linen.ConvLSTMCell cannot be ported, only {KNOWN} can",
    ),
    "a subclass": (
        lambda: Derived(D, H, rngs=nnx.Rngs(0), **inits()),
        f"nnx.Derived cannot be ported, only {KNOWN} can",
    ),
    "gate_fn": (
        lambda: nnx_cell("GRUCell", gate_fn=jax.nn.hard_sigmoid),
        "nnx.GRUCell with gate_fn=hard_sigmoid cannot be ported: jaxrnn's gates are sigmoids",
    ),
    "activation_fn": (
        lambda: linen_cell("LSTMCell", activation_fn=jax.nn.relu),
        "linen.LSTMCell with activation_fn=relu cannot be ported: gru, lstm and mgu use tanh",
    ),
    "reset_gate": (
        lambda: linen_cell("MGUCell", reset_gate=False),
        "linen.MGUCell with reset_gate=False cannot be ported: the gate of mgu always scales the"
        " recurrent product, too",
    ),
    "residual": (
        lambda: nnx_cell("SimpleCell", residual=True),
        "nnx.SimpleCell with residual=True cannot be ported: rnn does not add its hidden state"
        " before the activation",
    ),
    "carry_init": (
        lambda: linen_cell("GRUCell", carry_init=jax.nn.initializers.ones),
        "linen.GRUCell with carry_init=ones cannot be ported: jaxrnn starts from zeros: port the"
        " cell without it, then pass its carry or learn one",
    ),
    "promote_dtype": (
        lambda: nnx_cell("LSTMCell", promote_dtype=lambda args, **options: args),
        "nnx.LSTMCell with promote_dtype=<lambda> cannot be ported: jaxrnn's cells have no such"
        " function",
    ),
    "dtype": (
        lambda: nnx_cell("LSTMCell", dtype=jnp.bfloat16),
        "a cell of several dtypes cannot be ported, and this one has float32 and bfloat16: Flax"
        " also rounds the gates, while recurrent(cell, dtype=...) rounds only what it multiplies;"
        " port the weights in a cell with dtype=None",
    ),
    "param_dtype": (
        lambda: linen_cell("GRUCell", param_dtype=jnp.bfloat16),
        "a cell of several dtypes cannot be ported, and this one has float32 and bfloat16: Flax"
        " also rounds the gates, while recurrent(cell, dtype=...) rounds only what it multiplies;"
        " port the weights in a cell with dtype=None",
    ),
    "reverse": (
        lambda: nnx.RNN(nnx_cell("GRUCell"), reverse=True),
        "an RNN with reverse=True returns the last step's output first, jaxrnn's stay in their"
        " places: port the one with keep_order=True",
    ),
    "a Sequential of nnx": (
        lambda: nnx.Sequential(nnx.RNN(nnx_cell("GRUCell"))),
        f"nnx.Sequential {ONE_BY_ONE}",
    ),
    "a Sequential of linen": (
        lambda: linen.Sequential([linen.RNN(linen_cell("GRUCell"))]),
        f"linen.Sequential {ONE_BY_ONE}",
    ),
    "merge_fn": (
        lambda: bidirectional_of(nnx_cell("GRUCell"), merge_fn=jnp.add),
        "a Bidirectional with a merge_fn cannot be ported: port one without it, and give"
        " jaxrnn.bidirectional the merge",
    ),
    "directions": (
        lambda: bidirectional_of(nnx_cell("GRUCell"), nnx_cell("LSTMCell")),
        "both directions must have the same cell to be one bidirectional layer",
    ),
    "not an RNN": (
        lambda: nnx.Bidirectional(nnx_cell("GRUCell"), nnx_cell("GRUCell")),
        "a Bidirectional of GRUCell cannot be ported, only one of RNN can",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_has_no_layer_is_refused_with_the_reason(why):
    make, text = REFUSED[why]
    module = make()
    variables = variables_of(linen.GRUCell(H)) if isinstance(module, linen.Module) else None
    with pytest.raises(ValueError, match=exactly(text)):
        from_flax(module, variables)


def test_weights_that_do_not_fit_are_all_named():
    module = linen.Bidirectional(linen.RNN(linen_cell("GRUCell")), linen.RNN(linen_cell("GRUCell")))
    variables = variables_of(module)
    forward, backward = (variables["params"][f"{way}_rnn"]["cell"] for way in WAYS)
    forward["hr"]["bias"] = jnp.zeros(H)
    forward["iz"]["kernel"] = jnp.zeros((D + 1, H))
    del backward["hn"]["bias"]
    backward["in"]["bias"] = jnp.zeros(H + 1)
    text = (
        "the weights of linen.Bidirectional do not fit: backward_rnn.cell.hn.bias is missing;"
        " forward_rnn.cell.hr.bias is unexpected;"
        " forward_rnn.cell.iz.kernel has shape (5, 5), expected (4, 5);"
        " backward_rnn.cell.in.bias has shape (6,), expected (5,)"
    )
    with pytest.raises(ValueError, match=exactly(text)):
        from_flax(module, variables)

    cell = nnx_cell("OptimizedLSTMCell")
    cell.dense_i.bias, cell.dense_h.bias = cell.dense_h.bias, None
    text = (
        "the weights of nnx.OptimizedLSTMCell do not fit: dense_h.bias is missing;"
        " dense_i.bias is unexpected"
    )
    with pytest.raises(ValueError, match=exactly(text)):
        from_flax(cell)


def test_arguments_of_another_type_are_refused(as_users_run):
    with pytest.raises(TypeError, match="variables must be given with a linen module, got None"):
        from_flax(linen.GRUCell(H))
    with pytest.raises(TypeError, match="variables must be None: an nnx module holds its own"):
        from_flax(nnx_cell("GRUCell"), {})
    with pytest.raises(TypeError, match="module must be a recurrent Flax cell or an RNN, got "):
        from_flax(jaxrnn.gru(H))
    with pytest.raises(TypeError, match="layer must be of type Layer to become a Flax cell, "):
        to_nnx(jaxrnn.gru(H), {})
    with pytest.raises(TypeError, match="params must be those of Recurrent"):
        to_linen(GRU, {})


NOT_OF_FLAX = {
    "a stack": (
        jaxrnn.stack([GRU, GRU]),
        "Stack(Recurrent(gru(5)), Recurrent(gru(5))) cannot be ported, only recurrent(cell) and"
        " bidirectional of that can: port the layers of a stack one by one",
    ),
    "a projection": (
        jaxrnn.recurrent(jaxrnn.lstm(H), projection_size=2),
        "a layer whose w_hh is LowRank cannot become a Flax cell, whose recurrent weights are one"
        " matrix",
    ),
    "heads": (
        jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.lstm(H), num_heads=H)),
        "a layer whose w_hh is BlockDiagonal cannot become a Flax cell, whose recurrent weights are"
        " one matrix",
    ),
    "reverse": (
        jaxrnn.recurrent(jaxrnn.lstm(H), reverse=True),
        "recurrent(..., reverse=True) cannot become a Flax cell, where reverse would be lost or"
        " mean something else: port the layer without it; the params are the same",
    ),
    "merge": (
        jaxrnn.bidirectional(GRU, merge="product"),
        "bidirectional(..., merge='product') cannot become a Flax module, which concatenates the"
        " outputs of both directions",
    ),
    "dtype": (
        jaxrnn.recurrent(jaxrnn.lstm(H), dtype=jnp.bfloat16),
        "recurrent(..., dtype=bfloat16) cannot become a Flax cell, where dtype would be lost or"
        " mean something else: port the layer without it; the params are the same",
    ),
    "recurrent dropout": (
        jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.gru(H), recurrent_dropout=0.5)),
        "recurrent(..., recurrent_dropout=0.5) cannot become a Flax cell, where recurrent_dropout"
        " would be lost or mean something else: port the layer without it; the params are the same",
    ),
    "weight drop": (
        jaxrnn.recurrent(jaxrnn.gru(H), weight_drop=0.5),
        "recurrent(..., weight_drop=0.5) cannot become a Flax cell, where weight_drop would be lost"
        " or mean something else: port the layer without it; the params are the same",
    ),
    "zoneout": (
        jaxrnn.recurrent(jaxrnn.gru(H), zoneout=0.1),
        "recurrent(..., zoneout=0.1) cannot become a Flax cell, where zoneout would be lost or mean"
        " something else: port the layer without it; the params are the same",
    ),
    "the reset before": (
        jaxrnn.recurrent(jaxrnn.gru(H, reset_after=False)),
        "the cell gru_reset_before cannot be ported: Flax's GRUCell resets after the recurrent"
        " product",
    ),
    "the paper's mgu": (
        jaxrnn.recurrent(jaxrnn.mgu(H)),
        "the cell mgu cannot be ported: Flax's MGUCell has the equations of mgu(...,"
        " as_in_flax=True)",
    ),
    "the activation": (
        jaxrnn.recurrent(jaxrnn.rnn(H, jax.nn.relu)),
        "the cell rnn cannot be ported: its activation is not activation=tanh: pass the one it has",
    ),
    "one's own": (
        jaxrnn.recurrent(dataclasses.replace(jaxrnn.lstm(H), name="mine", update=max)),
        "the cell mine cannot be ported: Flax has no cell with its equations",
    ),
}


@pytest.mark.parametrize("export", [to_nnx, to_linen])
@pytest.mark.parametrize("why", NOT_OF_FLAX)
def test_what_has_no_cell_of_flax_is_refused_with_the_reason(why, export):
    layer, text = NOT_OF_FLAX[why]
    with pytest.raises(ValueError, match=exactly(text)):
        export(layer, random_params(layer))


def test_a_hidden_bias_of_the_gate_n_has_no_place_in_nnx():
    text = (
        "nnx.GRUCell has no bias for the hidden gate n, but params.b_hh is not zero there: use"
        " to_linen, whose GRUCell has one"
    )
    with pytest.raises(ValueError, match=exactly(text)):
        to_nnx(GRU, random_params(GRU))


def test_nnx_has_no_minimal_gated_unit():
    layer = jaxrnn.recurrent(OURS["mgu"])
    text = "the cell mgu cannot be ported: nnx has no MGUCell: use to_linen"
    with pytest.raises(ValueError, match=exactly(text)):
        to_nnx(layer, random_params(layer))
