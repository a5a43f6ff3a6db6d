"""Options of `recurrent`: how parameters start, and what is an error.

What they do to every cell is in `tests/test_every_cell.py`.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from benchmarks.cell_features import CELLS
from jaxrnn.cells import ComplexCarry, LinearCarry
from jaxrnn.layers import chrono

D, H = 3, 4


def init(cell, **options):
    return jaxrnn.recurrent(cell, **options).init(jax.random.key(0), D)


def test_identity_is_an_identity_for_each_gate():
    params = init(jaxrnn.gru(H), recurrent_init="identity")
    np.testing.assert_array_equal(params.w_hh, np.tile(np.eye(H), 3))
    assert not np.array_equal(params.w_ih, np.tile(np.eye(D, H), 3))
    np.testing.assert_array_equal(
        init(jaxrnn.rnn(H), kernel_init="identity", recurrent_init="zeros").w_ih, np.eye(D, H)
    )


def test_identity_is_an_identity_for_each_head():
    (blocks,) = init(jaxrnn.slstm(H, num_heads=2), recurrent_init="identity").w_hh
    for head in range(2):
        for gate in range(4):
            np.testing.assert_array_equal(blocks[head, :, gate], np.eye(2))
    (blocks,) = init(jaxrnn.indrnn(H), recurrent_init="identity").w_hh
    np.testing.assert_array_equal(blocks, np.ones((H, 1, 1, 1)))


def test_an_irnn_adds_up_its_inputs():
    """Le, Jaitly and Hinton (2015): the identity, no biases, and positive inputs."""
    layer = jaxrnn.recurrent(
        jaxrnn.rnn(H, "relu"), kernel_init="identity", recurrent_init="identity", bias_init="zeros"
    )
    inputs = np.random.default_rng(0).uniform(size=(6, 2, H)).astype(np.float32)
    outputs, _ = layer.apply(layer.init(jax.random.key(0), H), inputs)
    np.testing.assert_allclose(outputs, np.cumsum(inputs, axis=0), rtol=1e-6)


def test_a_layer_may_choose_other_heads_than_its_cell():
    cell = jaxrnn.slstm(H, num_heads=2)
    assert init(cell).w_hh.blocks.shape == (2, 2, 4, 2)
    assert init(cell, num_heads=4).w_hh.blocks.shape == (4, 1, 4, 1)
    assert init(cell, num_heads=1).w_hh.shape == (H, 4 * H)
    own = jaxrnn.Cell(
        "own",
        H,
        gates=("candidate",),
        initial_carry=jaxrnn.zero_carry(jaxrnn.HiddenCarry, H),
        update=jaxrnn.rnn(H).update,
        num_heads=2,
    )
    assert init(own).w_hh.blocks.shape == (2, 2, 1, 2)
    # "uniform" is +-1/sqrt of the units that a unit reads
    assert np.abs(init(jaxrnn.indrnn(1000)).w_hh.blocks).max() > 0.9


@pytest.mark.parametrize("name", ["lstm", "qrnn"])
def test_chrono_draws_biases_between_its_bounds(name):
    layer = jaxrnn.recurrent(CELLS[name](2000), forget_gate_bias=chrono(50))
    b_ih = jax.jit(lambda: layer.init(jax.random.key(0), D).b_ih)()  # leaves out the weights
    steps = np.exp(np.split(np.asarray(b_ih), len(layer.cell.gates))[1])
    assert 1 <= steps.min() < 1.1
    assert 48.9 < steps.max() <= 49.0001
    # uniform between 1 and 49: a mean of 25, of 2000 draws with a deviation of 14
    assert abs(steps.mean() - 25) < 5 * 14 / 2000**0.5


def test_chrono_does_not_draw_from_the_numbers_of_other_biases():
    layer = jaxrnn.recurrent(jaxrnn.sru(400), forget_gate_bias=chrono(784))
    other, forget, *_ = layer.init(jax.random.key(0), D).b_ih.reshape(4, 400)
    # of independent numbers: five standard deviations
    assert abs(np.corrcoef(other, np.exp(forget))[0, 1]) < 5 / 400**0.5


@pytest.mark.parametrize("bias", [1.0, 5.0])
def test_the_forget_gate_bias_of_normalised_gates_is_what_they_get(bias):
    def gates(forget_gate_bias):
        layer = jaxrnn.recurrent(
            jaxrnn.layer_norm_lstm(H), forget_gate_bias=forget_gate_bias, bias_init="zeros"
        )
        params = layer.init(jax.random.key(0), D)
        inputs = jax.random.normal(jax.random.key(1), (1, 2, D))
        return jaxrnn.probes.trace(layer, params, inputs).layers[0].gates

    usual = gates(None)
    for name, gate in gates(bias).items():
        shift = gate.pre_activation - usual[name].pre_activation
        np.testing.assert_allclose(shift, bias if name == "forget" else 0, atol=1e-6)


def test_a_gate_that_takes_in_the_new_state_gets_no_forget_gate_bias(as_users_run):
    layer = jaxrnn.recurrent(jaxrnn.mgu(H, as_in_flax=True), forget_gate_bias=9.0)
    carry = jaxrnn.HiddenCarry(jnp.ones((1, H)))
    outputs, _ = layer.apply(layer.init(jax.random.key(0), D), jnp.zeros((1, 1, D)), carry)
    assert (outputs > 0.99).all()
    with pytest.raises(ValueError, match="needs a cell with a forget gate"):
        jaxrnn.recurrent(jaxrnn.mgu(H), forget_gate_bias=9.0)


@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_zoneout_of_an_slstm_does_not_depend_on_how_its_state_is_scaled(rate):
    """Memory and normalizer of zero are the same state, whatever the stabilizer."""
    layer = jaxrnn.recurrent(jaxrnn.slstm(H), zoneout=rate)
    params = layer.init(jax.random.key(0), D)
    inputs = jax.random.normal(jax.random.key(1), (9, 2, D))
    zeros = jnp.zeros((2, H))
    for key in (None, jax.random.key(2)):
        outputs = [
            layer.apply(params, inputs, jaxrnn.SLSTMCarry(*[zeros] * 3, zeros + m), key=key)[0]
            for m in (-1e30, -20.0, 0.0)
        ]
        np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-5)
        np.testing.assert_allclose(outputs[2], outputs[0], rtol=1e-5)


def test_an_slstm_has_zoneout_of_its_hidden_state_only(as_users_run):
    jaxrnn.recurrent(jaxrnn.slstm(H), zoneout=jaxrnn.SLSTMCarry(0.1, 0, 0, 0))
    with pytest.raises(ValueError, match="must be 0 for memory, normalizer and stabilizer"):
        jaxrnn.recurrent(jaxrnn.slstm(H), zoneout=jaxrnn.SLSTMCarry(0.1, 0.1, 0, 0))


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ValueError, "zoneout must be between 0 and 1, got 1.5", {"zoneout": 1.5}),
        (ValueError, "zoneout must be between 0 and 1, got nan", {"zoneout": float("nan")}),
        (TypeError, "zoneout must be a number, got 'no'", {"zoneout": "no"}),
        (TypeError, "zoneout must be a number", {"zoneout": jaxrnn.LSTMCarry("no", 0.1)}),
        (
            TypeError,
            "zoneout must be a number or a LSTMCarry of numbers for the cell lstm",
            {"zoneout": jaxrnn.HiddenCarry(0.1)},
        ),
        (TypeError, "zoneout must be a number or a LSTMCarry", {"zoneout": (0.1, 0.2)}),
        (ValueError, "weight_drop must be between 0 and 1", {"weight_drop": -0.1}),
        (TypeError, "weight_drop must be a number", {"weight_drop": True}),
        (ValueError, "recurrent_dropout must be between 0 and 1", {"recurrent_dropout": 2}),
        (ValueError, "init must be one of .*identity", {"recurrent_init": "eye"}),
        (ValueError, 'bias_init must not be "identity"', {"bias_init": "identity"}),
        (ValueError, "num_heads must divide hidden_size = 4, got 3", {"num_heads": 3}),
        (TypeError, "forget_gate_bias must be a number", {"forget_gate_bias": "chrono"}),
    ],
)
def test_bad_options_are_named(error, message, options, as_users_run):
    with pytest.raises(error, match=message):
        jaxrnn.recurrent(jaxrnn.lstm(H), **options)


@pytest.mark.parametrize(
    ("cell", "zoneout"),
    [
        (jaxrnn.sru(H), LinearCarry(hidden=0.1, state=0.1)),
        (jaxrnn.lru(H), ComplexCarry(hidden=0.0, real=0.1, imaginary=0.2)),
    ],
    ids=repr,
)
def test_zoneout_of_a_linear_cell_is_that_of_its_state(cell, zoneout, as_users_run):
    with pytest.raises(ValueError, match=r"must be 0 for hidden, .* and one number for all parts"):
        jaxrnn.recurrent(cell, zoneout=zoneout)


def test_rates_by_array_are_the_rate_of_the_state():
    rates = {
        jaxrnn.sru(H): LinearCarry(hidden=0.0, state=0.3),
        jaxrnn.lru(H): ComplexCarry(hidden=0.0, real=0.3, imaginary=0.3),
        jaxrnn.min_gru(H): jaxrnn.HiddenCarry(0.3),
    }

    @jax.jit
    def run(params, inputs, key):
        """The outputs of each cell without a key and with one, by arrays and by one rate."""

        def outputs(cell, rate):
            layer, own = jaxrnn.recurrent(cell, zoneout=rate), params[cell.name]
            return [layer.apply(own, inputs, key=given)[0] for given in (None, key)]

        return [(outputs(cell, by_array), outputs(cell, 0.3)) for cell, by_array in rates.items()]

    params = {cell.name: init(cell) for cell in rates}
    for came, expected in run(params, jnp.ones((5, 2, D)), jax.random.key(1)):
        np.testing.assert_array_equal(came, expected)


@pytest.mark.parametrize(
    ("error", "message", "max_steps"),
    [
        (ValueError, "max_steps must be at least 3, got 2", 2),
        (ValueError, "max_steps must be at least 1, got 0", 0),
        (TypeError, "max_steps must be an integer", 10.0),
    ],
)
def test_bad_lengths_of_memory_are_named(error, message, max_steps, as_users_run):
    with pytest.raises(error, match=message):
        chrono(max_steps)


def add_inputs(params, inputs, carry):
    return jaxrnn.HiddenCarry(carry.hidden + inputs)


SUM = jaxrnn.StepCell(
    "sum", H, gates=(), initial_carry=jaxrnn.zero_carry(jaxrnn.HiddenCarry, H), step=add_inputs
)


@pytest.mark.parametrize(
    ("cell", "message", "options"),
    [
        (SUM, "kernel_init and bias_init need a cell with gates", {"kernel_init": "zeros"}),
        (SUM, "recurrent_init needs a cell with recurrent weights", {"recurrent_init": "zeros"}),
        (SUM, "the StepCell sum has no w_hh: projection_size, num_heads", {"num_heads": 2}),
        (jaxrnn.lru(H), "recurrent_init needs a cell with .* weights", {"recurrent_init": "zeros"}),
        (jaxrnn.lru(H), "the LinearCell lru has no w_hh", {"projection_size": 2}),
    ],
)  # fmt: skip
def test_a_cell_without_matrices_has_none_to_start(cell, message, options):
    with pytest.raises(ValueError, match=message):
        jaxrnn.recurrent(cell, **options)


def test_a_step_that_reads_other_inputs_says_which_cell_it_is():
    layer = jaxrnn.recurrent(SUM)
    with pytest.raises(TypeError) as raised:
        layer.apply(layer.init(jax.random.key(0), H), jnp.ones((5, 2, H + 1)))
    (note, *_) = raised.value.__notes__
    assert note == "In the step of the cell sum, which reads the inputs as they are: (2, 5)."


@pytest.mark.parametrize("name", ["peephole_lstm", "layer_norm_gru", "lru", "s5", "rg_lru"])
def test_parameters_of_a_cell_are_float32_with_x64_too(name, x64):
    layer = jaxrnn.recurrent(CELLS[name](H))
    params = layer.init(jax.random.key(0), D)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}
    outputs, _ = layer.apply(params, jnp.ones((5, 2, D), jnp.float32))
    assert outputs.dtype == np.float32


@pytest.mark.parametrize("name", ["min_lstm", "rg_lru"])
@pytest.mark.parametrize("implementation", [None, "scan"])
def test_gates_far_from_zero_have_gradients(name, implementation, x64):
    """The gradients are those of float64, whose exponentials do not overflow there."""
    layer = jaxrnn.recurrent(CELLS[name](H), implementation=implementation)
    params = layer.init(jax.random.key(0), 3 * H)
    w_ih = jnp.eye(3 * H, dtype=jnp.float32)  # the inputs are the gates
    gates = np.random.default_rng(0).choice([-100.0, -60, -50, -40, -1, 1, 60], (6, 2, 3 * H))

    def gradient(dtype):
        cast = jax.tree.map(lambda p: p.astype(dtype), params._replace(w_ih=w_ih))

        def loss(params, inputs):
            return layer.apply(params, inputs)[0].sum()

        return jax.grad(loss, (0, 1))(cast, jnp.asarray(gates, dtype))

    def close(a, b):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)

    jax.tree.map(close, gradient(jnp.float32), gradient(jnp.float64))


def test_zoneout_leaves_integers_alone_and_takes_numbers_of_numpy():
    class Counted(NamedTuple):
        hidden: Any
        steps: Any

    def step(params, input_gates, carry):
        return Counted(jnp.tanh(input_gates[0] + carry.hidden), carry.steps + 1)

    def initial(batch_size, dtype):
        return Counted(jnp.zeros((batch_size, H), dtype), jnp.zeros(batch_size, jnp.int32))

    cell = jaxrnn.StepCell("counted", H, gates=("input",), initial_carry=initial, step=step)
    layer = jaxrnn.recurrent(cell, zoneout=np.float64(0.25))
    params = layer.init(jax.random.key(0), D)
    outputs, carry = layer.apply(params, jnp.ones((5, 2, D)))
    assert carry.steps.tolist() == [5, 5]
    assert outputs.dtype == np.float32
