"""Every cell with every feature of `benchmarks/cell_features.py`, against loops in NumPy.

CI takes the features that depend on a cell's equations with all cells, and those that are matters
of the engine with a few cells of each kind; `--matrix` takes all with all.
"""

import functools
import pickle
import re

import cell_oracles
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from cell_table import (
    FEW,
    LENGTHS,
    PADDING,
    RESETS,
    TESTED,
    TWICE,
    WHEN,
    Arguments,
    B,
    D,
    H,
    T,
    assert_close,
    cells_with,
    central_difference,
    derivative_along,
    derivatives_of,
    draw,
    inner,
    make_arguments,
    make_params,
    move,
    oracle,
    positive,
    run,
    spoil,
)
from jax import lax
from marks import in_matrix

import jaxrnn
from benchmarks.cell_features import CELLS, FEATURES, matrix, reason
from jaxrnn.cells import LinearCell
from jaxrnn.model_config import CELLS as BY_NAME


@pytest.fixture(autouse=True)
def native_code_where_it_is_asked_for(request, monkeypatch):
    """To compile it takes seconds for each cell."""
    if not {"native", "matrix"} & set(re.findall("[a-z]+", request.node.name)):
        monkeypatch.setenv("JAXRNN_NATIVE", "0")


@pytest.mark.parametrize("when", [*in_matrix("whole"), "both"])
@pytest.mark.parametrize("reverse", [False, *in_matrix(True)])
@cells_with(
    "values and gradients, as of a loop in NumPy",
    "`lengths`, NaN in the padding",
    "`resets`, `reset_carry`",
    "`vmap`, forward mode, second derivatives",
)
def test_values_and_derivatives(name, reverse, when, x64, how_many):
    """In CI forward mode and second derivatives are those of one cell of each kind."""
    cell, arguments = CELLS[name](H), make_arguments(name)
    given = spoil(arguments) if when == "both" else arguments
    options = WHEN[when] | {"reverse": reverse}
    function = functools.partial(oracle, name, options)
    expected = function(given)
    random = np.random.default_rng(2)
    direction, weights = (draw(random, like, np.float64) for like in (arguments, expected))

    twice = how_many(name in TWICE, True)
    derivatives = derivatives_of(functools.partial(run, cell, options), twice)
    (values, gradients), others = derivatives(given, weights, direction)
    # sums of a few dozen terms of size 1 in float64
    assert_close(values, expected, 1e-12)
    exact = 1e-9 if name in cell_oracles.COMPLEX else 1e-11

    # of each array by itself
    nothing, structure = jax.tree.map(np.zeros_like, direction), jax.tree.structure(arguments)
    leaves = [*map(jax.tree.leaves, (nothing, direction, gradients))]
    for k, (along, gradient) in enumerate(zip(*leaves[1:], strict=True)):
        one = structure.unflatten([*leaves[0][:k], along, *leaves[0][k + 1 :]])
        change = inner(weights, derivative_along(name, function, given, one))
        # sums of a hundred terms
        np.testing.assert_allclose(
            np.vdot(gradient, along), change, rtol=10 * exact, atol=10 * exact
        )
    if when == "both":
        assert not np.where(PADDING, gradients.inputs, 0).any()
        clean = derivatives(arguments, weights, direction)
        assert_close(((values, gradients), others), clean, 0)
    if not twice:
        return

    tangents, products = others
    assert_close(tangents, derivative_along(name, function, given, direction), exact)

    def gradients_at(step):
        moved = move(given, step, direction)
        return jax.device_get(derivatives(moved, weights, direction)[0][1])

    # 1e-15 of values up to 1000 over h, and h^4 times a fifth derivative, which is up to 1e9 where
    # a normalisation divides by a small deviation.
    assert_close(products, central_difference(gradients_at, 1e-4), 1e-6)


@pytest.mark.parametrize("differentiated", [False, *in_matrix(True)])
@cells_with(
    "`reverse`, `bidirectional`, `stack`", few=["lstm", "gru_reset_before", "min_gru", "s5"]
)
def test_layers_of_both_directions_under_one_that_runs_backward(name, differentiated, x64):
    layer = jaxrnn.recurrent(CELLS[name](H))
    backward = jaxrnn.recurrent(CELLS[name](H), reverse=True)
    network = jaxrnn.stack([jaxrnn.bidirectional(layer), backward])
    random = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), D))
    params = draw(random, shapes, np.float64, 0.5)
    start = jax.eval_shape(lambda: network.initial_carry(params, B))
    both, one = (draw(random, start, np.float64) for _ in range(2))
    carry, reset_carry = (
        jax.tree.map(
            functools.partial(positive, name), each, is_leaf=lambda c: hasattr(c, "hidden")
        )
        for each in (both, one)
    )
    inputs = draw(random, np.empty((T, B, D)), np.float64)
    given = spoil(Arguments(params, inputs, carry, reset_carry))

    def function(arguments):
        return reference.network(name, *arguments, reverse={1}, **WHEN["both"])

    def apply(arguments):
        params, inputs, carry, reset_carry = arguments
        return network.apply(params, inputs, carry, reset_carry=reset_carry, **WHEN["both"])

    outputs, ends = function(given)
    kinds = ([type(c) for c in carry[0]], [type(carry[1])])
    ends = [
        [kind(**end) for kind, end in zip(*pair, strict=True)]
        for pair in zip(kinds, ends, strict=True)
    ]
    if not differentiated:
        assert_close(jax.jit(apply)(given), (outputs, ends), 1e-11)  # as above, twice
        return
    random = np.random.default_rng(1)
    direction, weights = (draw(random, like, np.float64) for like in (given, apply(given)))
    values, pull_back = jax.vjp(jax.jit(apply), given)
    assert_close(values, (outputs, ends), 1e-11)
    d_outputs, d_ends = derivative_along(name, function, given, direction)
    d_ends = [
        [kind(**end) for kind, end in zip(*pair, strict=True)]
        for pair in zip(kinds, d_ends, strict=True)
    ]
    change = inner(jax.tree.leaves(weights), jax.tree.leaves((d_outputs, d_ends)))
    assert_close(inner(pull_back(weights)[0], direction), change, 1e-7)


@cells_with(
    "`jaxrnn.step` by step, chunk by chunk",
    "`return_carries`",
    "`remat_every`",
    "`dtype=bfloat16`",
    "`vmap`, forward mode, second derivatives",
    "inputs of token ids",
    few=["slstm_of_two_heads", "gru_reset_before", "min_gru", "s5"],
)
def test_other_ways_to_the_same_values(name):
    cell, arguments = CELLS[name](H), make_arguments(name, np.float32)
    layer = jaxrnn.recurrent(cell)
    ids = np.arange(T * B).reshape(T, B) % D

    @jax.jit
    def apply(arguments):
        return run(cell, WHEN["both"], arguments)

    @jax.jit
    def ways(arguments):
        params, inputs, carry, reset_carry = arguments
        later = np.maximum(LENGTHS - 3, 0)

        def advance(carry, now):
            inputs, resets = now
            outputs, carry = jaxrnn.step(layer, params, inputs, carry, resets=resets)
            return carry, (outputs, carry)

        def chunk(carry, steps, lengths):
            own = {"lengths": lengths, "resets": RESETS[steps]}
            return run(cell, own, Arguments(params, inputs[steps], carry, reset_carry))

        first, middle = chunk(carry, slice(3), np.minimum(LENGTHS, 3))
        second, last = chunk(middle, slice(3, T), later)
        many = jax.tree.map(lambda p: jnp.stack([p, p / 2]), params)
        options = {"remat_every": 2, "return_carries": True}
        return {
            "chunks": (jnp.concatenate([first, second]), last),
            "carries": run(cell, WHEN["both"], arguments, **options),
            "resets": layer.apply(params, inputs, carry, resets=RESETS, return_carries=True),
            "steps": lax.scan(advance, carry, (inputs, RESETS))[1],
            "many": jax.vmap(lambda own: run(cell, WHEN["both"], arguments._replace(params=own)))(
                many
            ),
            "ids": run(cell, WHEN["both"], arguments._replace(inputs=ids)),
            "bfloat16": run(cell, WHEN["both"], arguments, dtype="bfloat16"),
        }

    came, (outputs, last) = ways(arguments), apply(arguments)
    close = 1e-6  # a few units in the last place of float32
    assert_close(came["chunks"], (outputs, last), close)
    assert_close(came["carries"][0], outputs, close)
    assert_close(jax.tree.map(lambda c: c[-1], came["carries"][1]), last, close)
    assert_close(came["steps"], came["resets"], close)
    halved = arguments._replace(params=jax.tree.map(lambda p: p / 2, arguments.params))
    assert_close(jax.tree.map(lambda x: x[0], came["many"]), (outputs, last), close)
    assert_close(jax.tree.map(lambda x: x[1], came["many"]), apply(halved), close)
    one_hot = arguments._replace(inputs=jax.nn.one_hot(ids, D))
    assert_close(came["ids"], apply(one_hot), close)
    rounded, rounded_last = came["bfloat16"]
    assert rounded.dtype == jnp.bfloat16
    assert all(c.dtype == jnp.float32 for c in rounded_last)
    # bfloat16 rounds to 2^-9 of a value; sums over a few products of size 1, five steps of them
    assert_close(rounded, outputs, 0.05)


@pytest.mark.parametrize("reverse", [*in_matrix(False), True])
@cells_with("`return_carries`", "`reverse`, `bidirectional`, `stack`", few=FEW)
def test_the_carry_of_every_step(name, reverse, x64):
    """It is the last one of a sequence that ends there; padding leaves it as it is."""
    arguments = make_arguments(name)
    options = WHEN["both"] | {"reverse": reverse}
    function = functools.partial(run, CELLS[name](H), options, return_carries=True)
    outputs, carries = jax.jit(function)(spoil(arguments))
    for t in range(T):
        steps = slice(t, T) if reverse else slice(t + 1)
        lengths = np.maximum(LENGTHS - t, 0) if reverse else np.minimum(LENGTHS, t + 1)
        when = {"lengths": lengths, "resets": RESETS[steps], "reverse": reverse}
        own = arguments._replace(inputs=arguments.inputs[steps])
        expected, last = oracle(name, when, own)
        assert_close(outputs[t], expected[0 if reverse else t], 1e-12)
        assert_close(jax.tree.map(lambda c, t=t: c[t], carries), last, 1e-12)


@cells_with("`remat_every`", few=["gru_reset_before", "sru"])
def test_gradients_of_other_ways_equal_those_of_autodiff(name, x64):
    arguments = make_arguments(name)
    cell = CELLS[name](H)
    ways = [{"implementation": "autodiff"}, {"remat_every": 2}, {"return_carries": True}]
    if isinstance(cell, LinearCell):
        ways += [{"implementation": "associative_scan"}, {"implementation": "scan"}]

    def loss(arguments, options):
        outputs, carry = run(cell, WHEN["both"], arguments, **options)
        if options.get("return_carries"):
            assert outputs.shape == carry.hidden.shape
            carry = jax.tree.map(lambda c: c[-1], carry)
        terms = enumerate([outputs, *jax.tree.leaves(carry)])
        return sum(jnp.square(jnp.sin(x + k)).sum() for k, x in terms)

    @jax.jit
    def losses(arguments):
        return [jax.value_and_grad(loss)(arguments, options) for options in ({}, *ways)]

    expected, *others = losses(arguments)
    for other in others:
        assert_close(other, expected, 1e-11)


@pytest.mark.parametrize(
    "options",
    [{}, *in_matrix({"reverse": True}, {"return_carries": True}, {"remat_every": 2})],
    ids=lambda options: next(iter(options), "plain"),
)
@cells_with('implementation "native"', few=["slstm", "sru"])
def test_native_code(name, options):
    """Compiled from the equations, against the loop of which it takes the place."""
    if (why := reason('implementation "native"', name)) is not None:
        pytest.skip(why)
    arguments = make_arguments(name, np.float32)
    random = np.random.default_rng(1)
    weights = draw(random, arguments.inputs[..., :1], np.float32)

    @functools.partial(jax.jit, static_argnums=0)
    def derivative(implementation, arguments):
        def loss(arguments):
            how = options | {"implementation": implementation}
            outputs, carry = run(CELLS[name](H), WHEN["both"], arguments, **how)
            ends = sum(jnp.sin(c).sum() for c in carry)
            return (weights * outputs).sum() + ends, (outputs, carry)

        return jax.value_and_grad(loss, has_aux=True)(arguments)

    # sums of a hundred terms of size 1 in float32
    assert_close(*(derivative(each, arguments) for each in ("native", "scan")), 2e-5)


@cells_with('implementation "scan"', 'implementation "autodiff"', few=["rnn", "lstm", "min_gru"])
def test_scan_and_autodiff_give_the_same_carries(name):
    cell, arguments = CELLS[name](H), make_arguments(name, np.float32)

    def results(implementation):
        function = functools.partial(
            run, cell, WHEN["both"], implementation=implementation, return_carries=True
        )
        return jax.jit(function)(arguments)

    assert_close(results("scan"), results("autodiff"), 1e-6)


@cells_with('implementation "associative_scan"', few=["rg_lru", "lru"])
def test_evaluation_as_a_tree(name, x64):
    """Over more steps, of a number that is no power of two."""
    cell, arguments = CELLS[name](H), make_arguments(name)
    inputs = jnp.concatenate([arguments.inputs] * 3)
    when = {
        "lengths": np.array([15, 0, 11]),
        "resets": np.concatenate([RESETS & False, *[RESETS] * 2]),
    }
    long = arguments._replace(inputs=inputs)

    @jax.jit
    def both_ways(arguments):
        return [
            jax.vjp(functools.partial(run, cell, when, implementation=how), arguments)[0]
            for how in ("associative_scan", "scan")
        ]

    assert_close(*both_ways(long), 1e-11)


def oracle_of_outputs(name, params, inputs, start, **options):
    return reference.unroll(name, params, inputs, start._asdict(), **options)[0]


@cells_with("`num_heads`", few=["cifg", "mgu"])
def test_heads(name):
    cell = CELLS[name](H)
    layer = jaxrnn.recurrent(cell, num_heads=2)
    params = make_params(cell, np.random.default_rng(0), np.float32, num_heads=2)
    assert params.w_hh.blocks.shape == (2, H // 2, len(cell.gates), H // 2)
    arguments = make_arguments(name, np.float32)
    outputs, _ = layer.apply(params, arguments.inputs, arguments.carry, lengths=LENGTHS)
    expected = oracle_of_outputs(name, params, arguments.inputs, arguments.carry, lengths=LENGTHS)
    assert_close(outputs, expected, 1e-5)  # sums of a few products of size 1 in float32, five times


@cells_with("`projection_size`", few=["peephole_lstm", "layer_norm_lstm"])
def test_projections(name):
    cell = CELLS[name](H)
    layer = jaxrnn.recurrent(cell, projection_size=3)
    params = make_params(cell, np.random.default_rng(0), np.float32, projection_size=3)
    arguments = make_arguments(name, np.float32)
    outputs, _ = layer.apply(params, arguments.inputs, arguments.carry, lengths=LENGTHS)
    down, up = params.w_hh
    expected = oracle_of_outputs(
        name, params._replace(w_hh=down @ up), arguments.inputs, arguments.carry, lengths=LENGTHS
    )
    assert_close(outputs, expected @ np.asarray(down), 1e-5)


@cells_with("`recurrent_dropout`", few=["gru", "indrnn"])
def test_recurrent_dropout(name):
    """Each row has its own mask, the same at all steps."""
    cell, arguments = CELLS[name](H), make_arguments(name, np.float32)
    layer, key = jaxrnn.recurrent(cell, recurrent_dropout=0.5), jax.random.key(3)
    params, inputs, carry, _ = arguments
    masked = layer.regularizers.drop(key, cell, params.w_hh, B)
    assert set(np.unique(masked.mask)) == {0, 2}
    outputs, _ = layer.apply(params, inputs, carry, key=key)
    evaluated, _ = layer.apply(params, inputs, carry)
    assert_close(evaluated, oracle_of_outputs(name, params, inputs, carry), 1e-5)
    w_hh = reference.dense(jax.tree.map(np.asarray, params.w_hh))
    for b, mask in enumerate(np.asarray(masked.mask)):
        own = params._replace(w_hh=mask[:, None] * w_hh)
        start = jax.tree.map(lambda c, b=b: c[b : b + 1], carry)
        expected = oracle_of_outputs(name, own, inputs[:, b : b + 1], start)
        assert_close(outputs[:, b : b + 1], expected, 1e-5)


@cells_with("`weight_drop`", few=["gru", "gru_reset_before", "slstm_of_two_heads"])
def test_weight_drop(name):
    """Entries of the weights that are zero in effect, the same at all steps and in all rows."""
    cell, arguments = CELLS[name](H), make_arguments(name, np.float32)
    layer, key = jaxrnn.recurrent(cell, weight_drop=0.5), jax.random.key(3)
    params, inputs, carry, _ = arguments

    @jax.jit
    def run_and_differentiate(params, key):
        def loss(params):
            outputs, _ = layer.apply(params, inputs, carry, key=key)
            return jnp.square(outputs + 1).sum(), outputs

        return jax.grad(loss, has_aux=True)(params)

    gradient, outputs = run_and_differentiate(params, key)
    ones = jax.tree.map(jnp.ones_like, params.w_hh)
    mask = layer.regularizers.drop(key, cell, ones, B)
    dropped = jax.tree.map(lambda w, m: w * m, params.w_hh, mask)
    for m, g in zip(*map(jax.tree.leaves, (mask, gradient.w_hh)), strict=True):
        assert set(np.unique(m)) <= {0, 2}
        assert not np.where(m == 0, g, 0).any()
    expected = oracle_of_outputs(name, params._replace(w_hh=dropped), inputs, carry)
    assert_close(outputs, expected, 1e-5)
    _, others = run_and_differentiate(params, jax.random.key(4))
    assert np.abs(others - outputs).max() > 1e-3
    evaluated, _ = layer.apply(params, inputs, carry)
    assert_close(evaluated, oracle_of_outputs(name, params, inputs, carry), 1e-5)


@cells_with("`zoneout`", few=["lstm", "gru_reset_before", "min_gru", "s5"])
def test_zoneout(name, x64):
    """In training by masks, in evaluation in proportion; a rate of 1 keeps the carry for ever."""
    cell, arguments = CELLS[name](H), make_arguments(name)
    carry = arguments.carry
    options = WHEN["both"] | {"reset_carry": arguments.reset_carry}
    layer, frozen = (jaxrnn.recurrent(cell, zoneout=rate) for rate in (0.3, 1.0))
    key = jax.random.key(3)
    masks = layer.regularizers.zoneout_masks(key, cell, T, B)
    fields = {field: mask for field, mask in masks._asdict().items() if mask is not None}
    expected = set(carry._fields)
    if isinstance(cell, LinearCell) and cell.readout is not None:
        expected.remove("hidden")
    if isinstance(carry, jaxrnn.SLSTMCarry):  # whose other arrays are one state in three parts
        expected = {"hidden"}
    assert set(fields) == expected
    assert all(mask.shape == (T, B, H) for mask in fields.values())
    if "imaginary" in fields:  # both parts of a complex state stay, or go
        fields["real"] = fields["imaginary"]

    @jax.jit
    def ways(arguments):
        params, inputs, carry, _ = arguments
        return (
            layer.apply(params, inputs, carry, key=key, **options),
            layer.apply(params, inputs, carry, **options),
            frozen.apply(params, inputs, carry, key=key, lengths=LENGTHS),
            frozen.apply(params, inputs, carry, lengths=LENGTHS),
        )

    trained, evaluated, *kept = ways(arguments)
    shares = {field: np.asarray(mask, np.float64) for field, mask in fields.items()}
    assert_close(trained, oracle(name, WHEN["both"], arguments, zoneout=shares), 1e-11)
    shares = dict.fromkeys(fields, 0.3)
    assert_close(evaluated, oracle(name, WHEN["both"], arguments, zoneout=shares), 1e-11)
    for _, last in kept:
        for field in fields:
            np.testing.assert_array_equal(getattr(last, field), getattr(carry, field))


def test_zoneout_keeps_a_unit_with_the_given_probability():
    cell = jaxrnn.lstm(50)
    rates = jaxrnn.LSTMCarry(hidden=0.05, memory=0.5)
    layer = jaxrnn.recurrent(cell, zoneout=rates)
    masks = layer.regularizers.zoneout_masks(jax.random.key(0), cell, 40, 20)
    for mask, rate in zip(masks, rates, strict=True):
        # of 40,000 coins: five standard deviations
        assert abs(mask.mean() - rate) < 5 * (rate * (1 - rate) / mask.size) ** 0.5


def test_zoneout_of_one_array_leaves_the_others_alone(x64):
    arguments = make_arguments("lstm")
    layer = jaxrnn.recurrent(jaxrnn.lstm(H), zoneout=jaxrnn.LSTMCarry(hidden=0.0, memory=0.5))
    masks = layer.regularizers.zoneout_masks(jax.random.key(0), layer.cell, T, B)
    assert masks.hidden is None
    trained = layer.apply(*arguments[:3], key=jax.random.key(0))
    kept = {"memory": np.asarray(masks.memory, np.float64)}
    assert_close(trained, oracle("lstm", {}, arguments, zoneout=kept), 1e-12)
    evaluated = layer.apply(*arguments[:3])
    assert_close(evaluated, oracle("lstm", {}, arguments, zoneout={"memory": 0.5}), 1e-12)


@cells_with("`forget_gate_bias`, `chrono`")
def test_biases_of_forget_gates(name):
    """Tallec and Ollivier (2018): log U(1, T - 1), and the negative for an input gate."""
    cell = CELLS[name](20)

    def biases(bias, **options):
        layer = jaxrnn.recurrent(cell, forget_gate_bias=bias, **options)
        params = layer.init(jax.random.key(0), D)
        # The biases of normalised gates are added after the normalisation.
        biases = np.asarray(getattr(params.cell, "bias", params.b_ih))
        return dict(zip(cell.gates, biases.reshape(len(cell.gates), -1), strict=True))

    assert (biases(1.5)["forget"] == 1.5).all()
    assert all(
        (b == 0).all() for gate, b in biases(1, bias_init="zeros").items() if gate != "forget"
    )
    drawn = biases(jaxrnn.layers.chrono(100), bias_init="zeros")
    assert (drawn["forget"] >= 0).all()
    assert (drawn["forget"] <= np.log(99)).all()
    assert len(set(drawn["forget"])) == 20
    for gate, bias in drawn.items():
        if gate != "forget":
            np.testing.assert_array_equal(bias, -drawn["forget"] if gate == "input" else 0)


@cells_with("pickling, equality")
def test_cells_and_layers_are_data(name):
    cell, layer = CELLS[name](H), jaxrnn.recurrent(CELLS[name](H), zoneout=0.1)
    assert cell == CELLS[name](H) != CELLS[name](2 * H)
    assert hash(cell) == hash(CELLS[name](H))
    again = pickle.loads(pickle.dumps(layer))
    assert (again, hash(again)) == (layer, hash(layer))
    assert pickle.loads(pickle.dumps(cell)) == cell
    others = [CELLS[other](H) for other in CELLS if other != name]
    assert cell not in others


@cells_with("export", few=["slstm", "gru_reset_before", "s5", "qrnn"])
def test_export(name, as_users_run):
    pytest.importorskip("flatbuffers", reason="jax.export needs it to serialise")
    from jaxrnn.interop.export import export_step

    layer, arguments = jaxrnn.recurrent(CELLS[name](H)), make_arguments(name, np.float32)
    content = export_step(layer, arguments.params, D)
    stream = jax.export.deserialize(bytearray(content))
    outputs, carry = [], list(arguments.carry)
    for inputs in arguments.inputs:
        output, *carry = stream.call(inputs, np.zeros(B, bool), *carry)
        outputs.append(output)
    assert_close((outputs, carry), oracle_by_steps(name, arguments), 1e-5)


def oracle_by_steps(name, arguments):
    outputs, last = oracle(name, {}, arguments)
    return list(outputs), list(last)


IDS = np.arange(T * B, dtype=np.int32).reshape(T, B) % 6


def language_model(name):
    """With weights as PyTorch's, and ids as one-hot rows."""
    config = jaxrnn.ModelConfig(cell=name, hidden_size=H, init="uniform")
    return jaxrnn.build_language_model(config, 6)


@pytest.mark.parametrize("name", BY_NAME)
def test_every_name_is_that_of_a_language_model(name):
    model = language_model(name)
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), 6))
    logits, _ = jax.eval_shape(model.apply, params, IDS)
    assert (logits.shape, logits.dtype) == ((T, B, 6), jnp.float32)


@cells_with("`jaxrnn train` by name, without arguments", "inputs of token ids", of=BY_NAME, few=FEW)
def test_language_models_by_name(name):
    """From the initial carry."""
    model = language_model(name)
    params = model.init(jax.random.key(0), 6)
    logits, (last,) = jax.jit(model.apply)(params, IDS, lengths=LENGTHS)
    (start,) = model.initial_carry(params, B)
    ends = Arguments(params.body[0], IDS, start, start)
    outputs, expected_last = oracle(name, {"lengths": LENGTHS}, ends)
    kernel, bias = map(np.asarray, params.output)
    expected = np.where(PADDING, 0, outputs @ kernel + bias)
    assert_close((logits, last), (expected, expected_last), 1e-5)


NATIVE = 'implementation "native"'
REFUSALS = {
    "`weight_drop`": ("weight_drop needs a cell", {"weight_drop": 0.1}),
    "`recurrent_dropout`": ("need a Cell", {"recurrent_dropout": 0.1}),
    "`num_heads`": ("need a Cell", {"num_heads": 2}),
    "`projection_size`": ("need a Cell|cannot be combined", {"projection_size": 3}),
    "`forget_gate_bias`, `chrono`": ("needs a cell with a forget gate", {"forget_gate_bias": 1}),
    'implementation "scan"': ("for the StepCell", {"implementation": "scan"}),
    NATIVE: ("implementation .*native|StepCell", {"implementation": "native"}),
    'implementation "associative_scan"': (
        "needs a linear cell|for the StepCell",
        {"implementation": "associative_scan"},
    ),
    'implementation "cudnn"': (
        "cudnn|for the StepCell|not for linear cells",
        {"implementation": "cudnn"},
    ),
}
"""What a cell without a feature says when it is asked for it."""


def test_every_feature_is_tested_and_every_hole_can_be_refused():
    TESTED.add('implementation "cudnn"')  # by tests/recurrence/test_cudnn.py, on a GPU
    assert set(FEATURES) == TESTED
    known = [feature for feature in FEATURES if feature != NATIVE]  # see below
    with_holes = {f for f in known if any(reason(f, name) is not None for name in CELLS)}
    assert set(REFUSALS) == with_holes | {NATIVE}
    assert set(cell_oracles.STEPS) == set(CELLS)


@pytest.mark.parametrize(
    ("feature", "names"),
    [
        *((feature, CELLS) for feature in REFUSALS if feature != NATIVE),
        # without those whose code would be compiled to tell
        (NATIVE, ["layer_norm_lstm", "layer_norm_gru", "gru_reset_before"]),
        *in_matrix((NATIVE, CELLS)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_cell_cannot_do_it_refuses(feature, names, as_users_run):
    message, options = REFUSALS[feature]

    def use(cell):
        layer = jaxrnn.recurrent(cell, **options)
        layer.apply(layer.init(jax.random.key(0), D), jnp.zeros((T, B, D)))

    for name in names:
        if reason(feature, name) is not None:
            with pytest.raises(ValueError, match=message):
                use(CELLS[name](H))


@pytest.mark.matrix  # compiles the native code of all cells
def test_the_matrix_names_every_cell_and_has_a_reason_for_every_hole():
    had, table, notes = re.split(r"\n\n(?=\||1\. )", matrix())
    head, _, *rows = table.split("\n")
    notes = notes.split("\n")
    width = head.count(" | ")
    assert all(row.count(" | ") == width for row in rows)
    assert all(any(f"`{name}`" in row for row in rows) for name in BY_NAME)
    assert had.count("\n- ") + width == len(FEATURES)
    holes = {int(number) for number in re.findall(r"- \((\d+)\)", table)}
    assert [note.split(". ")[0] for note in notes] == [str(number) for number in sorted(holes)]
    assert len(set(notes)) == len(notes)
