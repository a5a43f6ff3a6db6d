"""`probes.trace` against loops by hand, for any cell, depth and direction."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_table import CELLS, D, H, make_params

import jaxrnn
from jaxrnn import probes

T, B = 7, 3
LENGTHS = np.array([7, 4, 0])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.fixture
def random():
    return np.random.default_rng(0)


def layer_and_inputs(cell, random, **options):
    layer = jaxrnn.recurrent(cell, **options)
    params = layer.init(jax.random.key(1), D)
    return layer, params, random.normal(size=(T, B, D)).astype(np.float32)


def lstm_by_hand(params, inputs):
    """Carries, pre-activations and gates of each step, in float64."""
    w_ih, w_hh, b_ih = (np.asarray(p, float) for p in (params.w_ih, params.w_hh, params.b_ih))
    hidden = memory = np.zeros((B, H))
    rows = []
    for x in np.asarray(inputs, float):
        before = np.split(x @ w_ih + b_ih + hidden @ w_hh, 4, axis=1)
        i, f, g, o = (*map(sigmoid, before[:2]), np.tanh(before[2]), sigmoid(before[3]))
        memory = f * memory + i * g
        hidden = o * np.tanh(memory)
        rows.append((hidden, memory, *before, i, f, g, o))
    return [np.stack(column) for column in zip(*rows, strict=True)]


def test_an_lstm_against_a_loop_by_hand(random):
    layer, params, inputs = layer_and_inputs(jaxrnn.lstm(H), random)
    hidden, memory, *gates = lstm_by_hand(params, inputs)
    (seen,) = probes.trace(layer, params, inputs).layers
    np.testing.assert_allclose(seen.carries.hidden, hidden, atol=1e-6)
    np.testing.assert_allclose(seen.carries.memory, memory, atol=1e-6)
    for name, before, value in zip(layer.cell.gates, gates[:4], gates[4:], strict=True):
        np.testing.assert_allclose(seen.gates[name].pre_activation, before, atol=1e-6)
        np.testing.assert_allclose(seen.gates[name].value, value, atol=1e-6)
    functions = {name: gate.function for name, gate in seen.gates.items()}
    assert functions == {
        "input": "sigmoid", "forget": "sigmoid", "candidate": "tanh", "output": "sigmoid",
    }  # fmt: skip


def test_the_candidate_of_a_gru_holds_what_the_reset_gate_lets_through(random):
    layer, params, inputs = layer_and_inputs(jaxrnn.gru(H), random)
    w_ih, w_hh, b_ih, b_hh = (np.asarray(p, float) for p in params[:4])
    hidden = np.zeros((B, H))
    (seen,) = probes.trace(layer, params, inputs).layers
    for t, x in enumerate(np.asarray(inputs, float)):
        x, h = np.split(x @ w_ih + b_ih, 3, 1), np.split(hidden @ w_hh + b_hh, 3, 1)
        by_name = dict(zip(layer.cell.gates, zip(x, h, strict=True), strict=True))
        r, z = (sigmoid(sum(by_name[name])) for name in ("reset", "update"))
        candidate = by_name["candidate"][0] + r * by_name["candidate"][1]
        hidden = (1 - z) * np.tanh(candidate) + z * hidden
        np.testing.assert_allclose(seen.gates["reset"].value[t], r, atol=1e-6)
        np.testing.assert_allclose(seen.gates["update"].value[t], z, atol=1e-6)
        np.testing.assert_allclose(seen.gates["candidate"].pre_activation[t], candidate, atol=1e-6)
        np.testing.assert_allclose(seen.carries.hidden[t], hidden, atol=1e-6)


FUNCTIONS = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh, "relu": jax.nn.relu, "exp": jnp.exp}
FUNCTIONS |= {"identity": lambda x: x, "log_sigmoid": jax.nn.log_sigmoid}
UNKNOWN = {  # to the reader of their equations, and why
    "positive_min_lstm": {"candidate"},
    "positive_min_gru": {"candidate"},  # x + 1/2 where it is positive
}


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_has_its_gates_and_carries(name, random, monkeypatch):
    monkeypatch.setenv("JAXRNN_NATIVE", "0")  # which takes seconds to compile for a linear cell
    cell = CELLS[name](H)
    layer, params = jaxrnn.recurrent(cell), make_params(cell, random, np.float32)
    inputs = random.normal(size=(T, B, D)).astype(np.float32)
    seen = probes.trace(layer, params, inputs)
    outputs, carries = layer.apply(params, inputs, return_carries=True)
    np.testing.assert_array_equal(seen.outputs, outputs)
    jax.tree.map(np.testing.assert_array_equal, seen.layers[0].carries, carries)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[-1]), seen.carry, carries)
    assert tuple(seen.layers[0].gates) == cell.gates
    unknown = {k for k, gate in seen.layers[0].gates.items() if gate.function == "unknown"}
    assert unknown == UNKNOWN.get(name, set())
    for gate in seen.layers[0].gates.values():
        if gate.function == "unknown":
            assert np.isnan(gate.value).all()
            continue
        value = FUNCTIONS[gate.function](gate.pre_activation)
        np.testing.assert_allclose(gate.value, value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("cell", "functions"),
    [
        (jaxrnn.rnn(H), ["tanh"]),
        (jaxrnn.rnn(H, "relu"), ["relu"]),
        (jaxrnn.layer_norm_lstm(H), ["sigmoid", "sigmoid", "tanh", "sigmoid"]),
        (jaxrnn.layer_norm_gru(H), ["sigmoid", "sigmoid", "tanh"]),
        (jaxrnn.slstm(H), ["exp", "log_sigmoid", "tanh", "sigmoid"]),
        (jaxrnn.mgu(H), ["sigmoid", "tanh"]),
        (jaxrnn.min_gru(H), ["sigmoid", "identity"]),
    ],
    ids=repr,
)
def test_the_function_of_each_gate_is_found_in_the_equations(cell, functions, random):
    layer, params, inputs = layer_and_inputs(cell, random)
    (seen,) = probes.trace(layer, params, inputs).layers
    assert [gate.function for gate in seen.gates.values()] == functions


def test_the_input_gate_of_an_slstm_is_its_weight_and_not_its_complement(random):
    layer, params, inputs = layer_and_inputs(jaxrnn.slstm(H), random)
    (seen,) = probes.trace(layer, params, inputs).layers
    w_ih, w_hh, b_ih = (np.asarray(p, float) for p in params[:3])
    hidden = np.concatenate([np.zeros((1, B, H)), seen.carries.hidden[:-1]])
    i = (inputs @ w_ih + b_ih + hidden @ w_hh)[..., :H]
    expected = np.exp(i - np.asarray(seen.carries.stabilizer))
    np.testing.assert_allclose(seen.gates["input"].value, expected, rtol=1e-4, atol=1e-6)


def own_cell(update, gates=("first", "second")):
    zeros = jaxrnn.zero_carry(jaxrnn.HiddenCarry, H)
    return jaxrnn.Cell("own", H, gates=gates, initial_carry=zeros, update=update)


def joined(params, x, h, carry):
    both = jax.nn.sigmoid(jnp.concatenate(x, -1) + jnp.concatenate(h, -1))
    first, second = jnp.split(both, 2, axis=-1)
    return jaxrnn.HiddenCarry(first * carry.hidden + second)


def piecewise(params, x, h, carry):
    first, second = x[0] + h[0], x[1] + h[1]
    kept = jnp.where(jnp.arange(H)[None] < 2, first, jax.nn.sigmoid(first))
    return jaxrnn.HiddenCarry(kept * jnp.tanh(second))


def complement_first(params, x, h, carry):
    first, second = x[0] + h[0], x[1] + h[1]
    new = jax.nn.sigmoid(1 - first) * jnp.tanh(second)
    return jaxrnn.HiddenCarry(new + jax.nn.sigmoid(first) * carry.hidden)


def clipped(params, x, h, carry):
    first = jnp.clip(0.2 * (x[0] + h[0]) + 0.5, 0, 1)
    return jaxrnn.HiddenCarry(first * jnp.arctan(x[1] + h[1]))


def remade(params, x, h, carry):
    product = jax.checkpoint(lambda a: jnp.tanh(a))(x[0] + h[0])
    return jaxrnn.HiddenCarry(product + x[1] + h[1])


@pytest.mark.parametrize(
    ("update", "functions"),
    [
        (joined, ["unknown", "unknown"]),
        (piecewise, ["unknown", "tanh"]),
        (complement_first, ["sigmoid", "tanh"]),
        (clipped, ["unknown", "atan"]),
        (remade, ["unknown", "identity"]),
    ],
)
def test_what_cannot_be_told_is_said(update, functions, random):
    layer, params, inputs = layer_and_inputs(own_cell(update), random)
    (seen,) = probes.trace(layer, params, inputs).layers
    assert [gate.function for gate in seen.gates.values()] == functions
    w_ih, w_hh, b_ih = (np.asarray(p) for p in params[:3])
    hidden = np.concatenate([np.zeros((1, B, H), np.float32), seen.carries.hidden[:-1]])
    first = (inputs @ w_ih + b_ih + hidden @ w_hh)[..., :H]
    np.testing.assert_allclose(seen.gates["first"].pre_activation, first, atol=1e-5)


def test_the_output_gate_of_a_qrnn_is_found_in_its_readout(random):
    layer, params, inputs = layer_and_inputs(jaxrnn.qrnn(H), random)
    (seen,) = probes.trace(layer, params, inputs).layers
    assert seen.gates["output"].function == "sigmoid"
    gates = inputs @ np.asarray(params.w_ih) + np.asarray(params.b_ih)
    place = layer.cell.gates.index("output") * H
    expected = sigmoid(gates[..., place : place + H])
    np.testing.assert_allclose(seen.gates["output"].value, expected, atol=1e-6)


@pytest.mark.parametrize("options", [{"projection_size": 3}, {"num_heads": 2}, {"remat_every": 3}])
def test_weights_of_any_form_are_traced(options, random):
    layer, params, inputs = layer_and_inputs(jaxrnn.lstm(H), random, **options)
    (seen,) = probes.trace(layer, params, inputs).layers
    i, f, g = (seen.gates[name].value for name in ("input", "forget", "candidate"))
    memory = np.concatenate([np.zeros((1, B, H), np.float32), seen.carries.memory[:-1]])
    np.testing.assert_allclose(f * memory + i * g, seen.carries.memory, atol=1e-6)
    hidden = seen.gates["output"].value * np.tanh(seen.carries.memory)
    np.testing.assert_allclose(hidden, seen.carries.hidden, atol=1e-6)


@pytest.mark.parametrize("reverse", [False, True])
def test_gates_explain_the_carries_at_resets_and_in_both_directions(reverse, random):
    layer = jaxrnn.recurrent(jaxrnn.lstm(H), reverse=reverse)
    params = layer.init(jax.random.key(1), D)
    inputs = random.normal(size=(T, B, D)).astype(np.float32)
    resets = random.random((T, B)) < 0.3
    first, again = (
        jaxrnn.LSTMCarry(*random.normal(size=(2, B, H)).astype(np.float32)) for _ in range(2)
    )
    seen = probes.trace(
        layer, params, inputs, first, lengths=LENGTHS, resets=resets, reset_carry=again
    ).layers[0]
    i, f, g = (np.asarray(seen.gates[name].value) for name in ("input", "forget", "candidate"))
    memory = np.asarray(seen.carries.memory)
    for b, length in enumerate(LENGTHS):
        for t in range(length):
            before = t + 1 if reverse else t - 1
            boundary = before if reverse else t
            start = memory[before, b] if 0 <= before < length else first.memory[b]
            if 0 <= boundary < length and resets[boundary, b]:
                start = again.memory[b]
            expected = f[t, b] * start + i[t, b] * g[t, b]
            np.testing.assert_allclose(memory[t, b], expected, atol=1e-6)


def test_an_id_out_of_range_is_named(random):
    model = jaxrnn.language_model(5, jaxrnn.recurrent(jaxrnn.gru(H)))
    params = model.init(jax.random.key(0), 5)
    with pytest.raises(ValueError, match=r"inputs must lie in 0\.\.4, got 7"):
        probes.trace(model, params, np.full((2, 1), 7))


def test_a_trace_can_be_jitted(random):
    layer, params, inputs = layer_and_inputs(jaxrnn.gru(H), random)
    traced = jax.jit(lambda p, x: probes.trace(layer, p, x))(params, inputs)
    plain = probes.trace(layer, params, inputs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), traced, plain)


def test_the_update_gate_of_a_minimal_gru_is_not_its_complement(random):
    layer, params, inputs = layer_and_inputs(jaxrnn.min_gru(H), random)
    (seen,) = probes.trace(layer, params, inputs).layers
    gates = inputs @ np.asarray(params.w_ih) + np.asarray(params.b_ih)
    np.testing.assert_allclose(seen.gates["update"].value, sigmoid(gates[..., :H]), atol=1e-6)


def test_each_layer_of_a_stack_is_traced_as_if_alone(random):
    one, two = jaxrnn.recurrent(jaxrnn.lstm(H)), jaxrnn.recurrent(jaxrnn.gru(5))
    model = jaxrnn.stack([one, two])
    params = model.init(jax.random.key(0), D)
    inputs = random.normal(size=(T, B, D)).astype(np.float32)
    seen = probes.trace(model, params, inputs, lengths=LENGTHS)
    between, _ = one.apply(params[0], inputs, lengths=LENGTHS)
    alone = [
        probes.trace(one, params[0], inputs, lengths=LENGTHS).layers[0],
        probes.trace(two, params[1], between, lengths=LENGTHS).layers[0],
    ]
    assert [layer.name for layer in seen.layers] == ["layer 1", "layer 2"]
    for found, expected in zip(seen.layers, alone, strict=True):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
            (found.carries, found.gates),
            (expected.carries, expected.gates),
        )


def test_a_reversed_layer_is_the_flipped_one(random):
    forward, params, inputs = layer_and_inputs(jaxrnn.lstm(H), random)
    backward = jaxrnn.recurrent(jaxrnn.lstm(H), reverse=True)
    (seen,) = probes.trace(backward, params, inputs, lengths=LENGTHS).layers
    for b, length in enumerate(LENGTHS):
        flipped = inputs[:length, b : b + 1][::-1]
        if length == 0:
            assert not any(np.asarray(gate.value[:, b]).any() for gate in seen.gates.values())
            continue
        (expected,) = probes.trace(forward, params, flipped).layers
        for name in forward.cell.gates:
            found = np.asarray(seen.gates[name].value)[:length, b][::-1]
            np.testing.assert_allclose(found, expected.gates[name].value[:, 0], atol=1e-6)
        found = np.asarray(seen.carries.memory)[:length, b][::-1]
        np.testing.assert_allclose(found, expected.carries.memory[:, 0], atol=1e-6)


def test_both_directions_are_in_the_order_of_the_inputs(random):
    one = jaxrnn.recurrent(jaxrnn.gru(H))
    model = jaxrnn.stack([jaxrnn.bidirectional(one), jaxrnn.recurrent(jaxrnn.rnn(3))])
    params = model.init(jax.random.key(0), D)
    inputs = random.normal(size=(T, B, D)).astype(np.float32)
    seen = probes.trace(model, params, inputs, lengths=LENGTHS)
    names = ["layer 1 forward", "layer 1 backward", "layer 2"]
    assert [layer.name for layer in seen.layers] == names
    backward = jaxrnn.recurrent(jaxrnn.gru(H), reverse=True)
    (expected,) = probes.trace(backward, params[0].backward, inputs, lengths=LENGTHS).layers
    found = seen.layers[1]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), found.gates, expected.gates
    )
    valid = np.arange(T)[:, None] < LENGTHS  # in the padding each holds its own carry
    hidden = np.asarray(found.carries.hidden)[valid]
    np.testing.assert_allclose(hidden, np.asarray(expected.carries.hidden)[valid], atol=1e-6)


def test_resets_start_again(random):
    layer, params, inputs = layer_and_inputs(jaxrnn.lstm(H), random)
    resets = np.zeros((T, B), bool)
    resets[3] = True
    whole = probes.trace(layer, params, inputs, resets=resets).layers[0]
    second = probes.trace(layer, params, inputs[3:]).layers[0]
    for name in layer.cell.gates:
        np.testing.assert_allclose(whole.gates[name].value[3:], second.gates[name].value, atol=1e-6)


def test_a_trace_goes_on_where_another_ended(random):
    layer, params, inputs = layer_and_inputs(jaxrnn.lstm(H), random)
    whole = probes.trace(layer, params, inputs).layers[0]
    first = probes.trace(layer, params, inputs[:4])
    second = probes.trace(layer, params, inputs[4:], first.carry).layers[0]
    both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first.layers[0].gates, second.gates)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), both, whole.gates)


def test_padding_reaches_nothing(random):
    layer, params, inputs = layer_and_inputs(jaxrnn.layer_norm_lstm(H), random)
    padding = np.arange(T)[:, None] >= LENGTHS
    inputs[padding] = np.nan
    seen = probes.trace(layer, params, inputs, lengths=LENGTHS).layers[0]
    for gate in seen.gates.values():
        assert np.isfinite(gate.value).all()
        assert not np.asarray(gate.value)[padding].any()


def test_a_language_model_reads_ids(random):
    body = jaxrnn.stack([jaxrnn.recurrent(jaxrnn.lstm(H)), jaxrnn.recurrent(jaxrnn.lstm(H))])
    for model in (
        jaxrnn.language_model(9, body, embedding_size=3),
        jaxrnn.language_model(9, body),
        jaxrnn.language_model(9, jaxrnn.learned_initial_carry(body)),
    ):
        params = model.init(jax.random.key(0), 9)
        ids = random.integers(0, 9, (T, B))
        seen = probes.trace(model, params, ids)
        np.testing.assert_allclose(seen.outputs, model.apply(params, ids)[0], atol=1e-6)
        assert [layer.name for layer in seen.layers] == ["layer 1", "layer 2"]


def test_dropout_and_zoneout_are_those_of_evaluation(random):
    layer, params, inputs = layer_and_inputs(jaxrnn.lstm(H), random, zoneout=0.3, weight_drop=0.5)
    seen = probes.trace(layer, params, inputs)
    np.testing.assert_array_equal(seen.outputs, layer.apply(params, inputs)[0])


def test_a_classifier_is_traced_up_to_its_end(random):
    model = jaxrnn.classifier(jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.gru(H))), 2)
    params = model.init(jax.random.key(0), D)
    inputs = random.normal(size=(T, B, D)).astype(np.float32)
    seen = probes.trace(model, params, inputs, lengths=LENGTHS)
    expected, _ = model.apply(params, inputs, lengths=LENGTHS)
    np.testing.assert_allclose(seen.outputs, expected, atol=1e-6)
    assert len(seen.layers) == 2


def test_a_model_without_recurrence_has_nothing_to_trace():
    model = jaxrnn.linear(3)
    with pytest.raises(ValueError, match=r"a recurrent layer among its `parts`, got Linear\(3\)"):
        probes.trace(model, model.init(jax.random.key(0), 2), np.ones((2, 1, 2), np.float32))


def test_a_cell_is_not_a_model(as_users_run):
    with pytest.raises(TypeError, match="must be a layer, got the cell"):
        probes.trace(jaxrnn.gru(3), None, np.ones((2, 1, 2), np.float32))
