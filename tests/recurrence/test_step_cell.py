"""Step cells: any recurrence, run and differentiated by the same engine."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from marks import in_matrix
from recurrence.cases import WHEN, B, D, H, T, make_case

import jaxrnn


def lstm_step(params, input_gates, carry):
    """The LSTM once more, as a plain step: the engine's own is its oracle."""
    hidden_gates = jnp.split(carry.hidden @ params.w_hh, 4, axis=-1)
    return jaxrnn.lstm(H).update(params.cell, input_gates, tuple(hidden_gates), carry)


LSTM = jaxrnn.lstm(H)
LSTM_STEP = jaxrnn.StepCell(
    "lstm_step", H, gates=LSTM.gates, initial_carry=LSTM.initial_carry, step=lstm_step
)


def step_cell(step, **more):
    """One of one gate, whose carry is its output."""
    zeros = jaxrnn.zero_carry(jaxrnn.HiddenCarry, H)
    options = {"gates": ("candidate",), "initial_carry": zeros} | more
    return jaxrnn.StepCell("test", H, step=step, **options)


class CountingCarry(NamedTuple):
    hidden: Any
    steps: Any  # integers, which have no derivative
    even: Any  # bool


def averaging_step(params, input_gates, carry):
    """The mean of all inputs so far: a carry that counts, and parameters of its own."""
    steps = carry.steps + 1
    share = 1 / steps.astype(carry.hidden.dtype)[:, None]
    gain = params.cell[None] * params.b_hh[None]
    mean = carry.hidden + share * (gain * input_gates[0] - carry.hidden)
    return CountingCarry(mean, steps, ~carry.even)


def averaging_carry(batch_size, dtype=jnp.float32):
    steps, even = jnp.zeros(batch_size, jnp.int32), jnp.ones(batch_size, bool)
    return CountingCarry(jnp.zeros((batch_size, H), dtype), steps, even)


AVERAGE = jaxrnn.StepCell(
    "average",
    H,
    gates=("input",),
    step=averaging_step,
    initial_carry=averaging_carry,
    init_params=lambda key: jnp.ones(H),
    hidden_bias=True,
)


@pytest.mark.parametrize(
    ("when", "reverse", "remat_every"),
    [
        ("both", True, 3),
        *in_matrix(("whole", False, None), ("lengths", True, 3)),
        *in_matrix(("resets", False, 3), ("both", True, None)),
    ],
)
def test_equals_the_same_equations_as_a_cell(when, reverse, remat_every, x64):
    case = make_case("lstm")
    keywords = WHEN[when] | {"reverse": reverse, "remat_every": remat_every}
    if "resets" in keywords:
        keywords["reset_carry"] = case.reset_carry

    def loss(arguments, cell):
        outputs, last = jaxrnn.unroll(cell, *arguments, **keywords)
        return jnp.sin(outputs).sum() + jnp.square(last.memory).sum(), (outputs, last)

    arguments = (case.params, case.inputs, case.carry)
    derivative = jax.jit(jax.grad(loss, has_aux=True), static_argnums=1)
    came, expected = (derivative(arguments, cell) for cell in (LSTM_STEP, case.cell))
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


def test_a_carry_may_count_and_parameters_are_learned(x64):
    inputs = jax.random.normal(jax.random.key(0), (T, B, D))
    params = jaxrnn.recurrent(AVERAGE).init(jax.random.key(1), D)
    params = jax.tree.map(lambda p: p.astype(jnp.float64), params)
    lengths = np.array([7, 0, 3, 1, 6])

    def run(params):
        return jaxrnn.unroll(
            AVERAGE, params, inputs, averaging_carry(B, jnp.float64), lengths=lengths
        )

    outputs, carry = run(params)
    w_ih, b_ih, gain = (np.asarray(p) for p in (params.w_ih, params.b_ih, params.b_hh))
    projected = gain * (np.asarray(inputs) @ w_ih + b_ih)
    np.testing.assert_array_equal(carry.steps, lengths)
    np.testing.assert_array_equal(carry.even, lengths % 2 == 0)
    for b, length in enumerate(lengths):
        if length:
            mean = projected[:length, b].mean(axis=0)
            np.testing.assert_allclose(outputs[length - 1, b], mean, rtol=1e-12)
    check_grads(jax.jit(lambda p: jnp.sin(run(p)[0]).sum()), (params,), order=1, modes=["rev"])


def test_padding_does_not_reach_parameters_where_the_step_is_singular(x64):
    """The derivative is infinite at input gates of zero, which a padded step would have."""

    def step(params, input_gates, carry):
        (gates,) = input_gates
        size = jnp.sqrt(jnp.square(gates).sum(axis=-1, keepdims=True))
        hidden = params.cell[None] * gates / size + 0.5 * carry.hidden @ params.w_hh
        return jaxrnn.HiddenCarry(jnp.tanh(hidden))

    cell = step_cell(step, init_params=lambda key: jnp.ones(H))
    case = make_case("rnn")
    params = case.params._replace(b_ih=jnp.zeros(H), cell=jnp.linspace(0.5, 2, H))
    padding = np.arange(T)[:, None, None] >= np.array([T, 0, 4])[None, :, None]
    spoilt = jnp.where(padding, jnp.nan, case.inputs[:, :3])

    def loss(params, inputs, lengths):
        carry = cell.initial_carry(inputs.shape[1], inputs.dtype)
        return jnp.sin(jaxrnn.unroll(cell, params, inputs, carry, lengths=lengths)[0]).sum()

    came = jax.grad(loss, argnums=(0, 1))(params, spoilt, jnp.array([T, 0, 4]))
    one = jax.grad(loss)(params, case.inputs[:, :1], None)
    other = jax.grad(loss)(params, case.inputs[:4, 2:3], None)
    for a, b, c in zip(*map(jax.tree.leaves, (came[0], one, other)), strict=True):
        np.testing.assert_allclose(a, b + c, rtol=1e-11, atol=1e-12)
    assert not np.where(padding, came[1], 0).any()


def reading_step(params, inputs, carry):
    """A step of the inputs as they are, with matrices of its own."""
    w_x, w_h = params.cell
    return jaxrnn.HiddenCarry(jnp.tanh(inputs @ w_x + carry.hidden @ w_h))


def reading_params(key):
    x_key, h_key = jax.random.split(key)
    return jax.random.normal(x_key, (D, H)), jax.random.normal(h_key, (H, H))


READING = step_cell(reading_step, gates=(), init_params=reading_params)


@pytest.mark.parametrize(
    ("when", "reverse", "remat_every"),
    [("both", True, 3), *in_matrix(("whole", False, 3), ("both", False, None))],
)
def test_without_gates_a_step_reads_the_inputs(when, reverse, remat_every, x64):
    """It is an Elman network whose matrices are its own."""
    case = make_case("rnn")
    rnn = case.params._replace(b_ih=jnp.zeros(H))
    own = jaxrnn.RecurrentParams(None, None, None, None, (rnn.w_ih, rnn.w_hh))
    inputs, keywords = case.inputs, WHEN[when] | {"reverse": reverse, "remat_every": remat_every}
    if "resets" in keywords:
        keywords["reset_carry"] = case.reset_carry
    if "lengths" in keywords:
        padding = np.arange(T)[:, None, None] >= np.array(keywords["lengths"])[None, :, None]
        inputs = jnp.where(padding, jnp.nan, inputs)

    def loss(arguments, cell):
        outputs, last = jaxrnn.unroll(cell, *arguments, **keywords)
        return jnp.sin(outputs).sum() + jnp.square(last.hidden).sum(), (outputs, last)

    derivative = jax.jit(jax.grad(loss, has_aux=True), static_argnums=1)
    (of_params, *of_others), values = derivative((own, inputs, case.carry), READING)
    (expected, *of_expected), expected_values = derivative((rnn, inputs, case.carry), case.cell)
    came = of_params.cell, of_others, values
    wanted = (expected.w_ih, expected.w_hh), of_expected, expected_values
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


def test_a_cell_without_gates_has_no_matrices_but_its_own(as_users_run):
    layer = jaxrnn.recurrent(READING)
    params = layer.init(jax.random.key(0), D)
    assert params[:4] == (None, None, None, None)
    assert len(params.cell) == 2
    inputs = jnp.ones((T, B, D))
    outputs, _ = layer.apply(params, inputs)
    assert outputs.shape == (T, B, H)
    carry = layer.initial_carry(params, B)
    for t, now in enumerate(inputs):
        output, carry = jaxrnn.step(layer, params, now, carry)
        np.testing.assert_allclose(output, outputs[t], rtol=1e-6, atol=1e-6)
    with pytest.raises(TypeError, match="inputs must be floats for a cell without gates, got int"):
        layer.apply(params, jnp.zeros((T, B), jnp.int32))
    with pytest.raises(ValueError, match="no matrices and biases but its own for the cell test"):
        jaxrnn.unroll(READING, make_case("rnn", jnp.float32).params, inputs)
    with pytest.raises(ValueError, match="weight_drop needs a cell with recurrent weights"):
        jaxrnn.recurrent(READING, weight_drop=0.1)


def test_a_language_model_gives_it_an_embedding():
    embedded = jaxrnn.stack([jaxrnn.embedding(D), jaxrnn.recurrent(READING)])
    model = jaxrnn.language_model(5, embedded)
    params = model.init(jax.random.key(0), 5)
    logits, _ = model.apply(params, jnp.zeros((T, B), jnp.int32))
    assert logits.shape == (T, B, 5)
    assert np.isfinite(logits).all()


def test_equal_arguments_give_equal_cells():
    assert jaxrnn.gru(8, reset_after=False) == jaxrnn.gru(8, reset_after=False)
    assert hash(jaxrnn.gru(8, reset_after=False)) == hash(jaxrnn.gru(8, reset_after=False))
    assert jaxrnn.gru(8, reset_after=False) != jaxrnn.gru(8)


@pytest.mark.parametrize(
    ("error", "message", "make"),
    [
        (TypeError, "step must be a function", lambda: step_cell("tanh")),
        (
            ValueError,
            "gates must hold at least one name",
            lambda: jaxrnn.Cell("none", H, gates=(), initial_carry=averaging_carry, update=max),
        ),
        (ValueError, "gates must hold .* each once", lambda: step_cell(max, gates=("f", "f"))),
        (TypeError, "gates must be a tuple of names", lambda: step_cell(max, gates=4)),
        (TypeError, "initial_carry must be a function", lambda: step_cell(max, initial_carry=0)),
        (ValueError, "multiplies by w_hh itself", lambda: jaxrnn.recurrent(AVERAGE, num_heads=2)),
        (
            ValueError,
            'None or "autodiff" for the StepCell average',
            lambda: jaxrnn.unroll(
                AVERAGE,
                jaxrnn.recurrent(AVERAGE).init(jax.random.key(0), D),
                jnp.zeros((T, B, D)),
                averaging_carry(B),
                implementation="scan",
            ),
        ),
    ],
)
def test_bad_arguments_are_named(error, message, make, as_users_run):
    with pytest.raises(error, match=message):
        make()
