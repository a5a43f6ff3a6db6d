"""`unroll` against a NumPy loop, and the identities that a recurrence must keep."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from marks import in_matrix
from recurrence.cases import BUILT_IN, WHEN, B, D, H, T, make_case

import jaxrnn


def run(case, **keywords):
    return jaxrnn.unroll(case.cell, case.params, case.inputs, case.carry, **keywords)


def assert_close(came, expected, tolerance=1e-12):
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


# Any lengths and resets: `test_properties.py`.
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", BUILT_IN)
def test_equals_a_numpy_loop(name, reverse, x64):
    case = make_case(name)
    keywords = dict(WHEN["both"])
    expected, last = reference.unroll(
        name,
        case.params,
        case.inputs,
        case.carry._asdict(),
        reset_carry=case.reset_carry._asdict(),
        reverse=reverse,
        **keywords,
    )
    outputs, carry = run(case, reverse=reverse, reset_carry=case.reset_carry, **keywords)
    assert_close((outputs, carry._asdict()), (expected, last))


@pytest.mark.parametrize("name", BUILT_IN)
def test_float32_is_within_rounding_of_float64(name, x64):
    case = make_case(name)
    exact, _ = run(case)
    rounded, _ = run(
        jax.tree.map(lambda x: x.astype(jnp.float32), case._replace(cell=()))._replace(
            cell=case.cell
        )
    )
    assert rounded.dtype == jnp.float32
    # 7 steps of sums over 10 terms of size 1: a few units in the last place of float32 (6e-8)
    np.testing.assert_allclose(rounded, exact, atol=2e-6)


@pytest.mark.parametrize("reverse", [False, True])
def test_ids_mean_one_hot_rows(case, reverse):
    ids = jax.random.randint(jax.random.key(1), (T, B), 0, D, jnp.int32)
    one_hot = case._replace(inputs=jax.nn.one_hot(ids, D))
    assert_close(run(case._replace(inputs=ids), reverse=reverse), run(one_hot, reverse=reverse))


def test_two_chunks_with_the_carry_equal_one_run(case):
    whole, last = run(case)
    first, carry = run(case._replace(inputs=case.inputs[:3]))
    second, end = run(case._replace(inputs=case.inputs[3:], carry=carry))
    assert_close((jnp.concatenate([first, second]), end), (whole, last), 1e-14)


def test_reverse_is_a_flipped_run(case):
    flipped, last = run(case._replace(inputs=case.inputs[::-1]))
    outputs, carry = run(case, reverse=True)
    assert_close((outputs, carry), (flipped[::-1], last), 0)


def test_a_row_alone_equals_the_row_among_others(case):
    outputs, _ = run(case)
    alone, _ = run(
        case._replace(inputs=case.inputs[:, 2:3], carry=jax.tree.map(lambda c: c[2:3], case.carry))
    )
    assert_close(alone[:, 0], outputs[:, 2], 1e-14)


def test_one_step_is_the_update(case):
    outputs, carry = run(case._replace(inputs=case.inputs[:1]))
    params = case.params
    hidden_gates = case.carry.hidden @ params.w_hh
    if params.b_hh is not None:
        hidden_gates += params.b_hh[None]
    input_gates = case.inputs[0] @ params.w_ih + params.b_ih[None]
    gates = (
        tuple(jnp.split(g, len(case.cell.gates), axis=-1)) for g in (input_gates, hidden_gates)
    )
    expected = case.cell.update(params.cell, *gates, case.carry)
    assert_close((outputs[0], carry), (expected.hidden, expected), 1e-14)


@pytest.mark.parametrize("implementation", ["scan", *in_matrix("autodiff")])
@pytest.mark.parametrize("name", ["lstm", *in_matrix("rnn", "gru")])
def test_ten_thousand_steps_stay_finite(name, implementation):
    case = make_case(name, jnp.float32)
    inputs = jnp.tile(case.inputs, (10_000 // T + 1, 1, 1))[:10_000]

    def loss(params):
        outputs, carry = jaxrnn.unroll(
            case.cell, params, inputs, case.carry, implementation=implementation
        )
        return jnp.square(outputs).mean() + jnp.square(carry.hidden).sum()

    value, grads = jax.jit(jax.value_and_grad(loss))(case.params)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


def test_concatenated_matrices_are_the_sum_of_two_products(x64):
    """[X, H] [W_xh; W_hh] = X W_xh + H W_hh, the identity of the book's chapter on RNNs."""
    case = make_case("rnn")
    joint = jnp.concatenate([case.inputs[0], case.carry.hidden], axis=1)
    weights = jnp.concatenate([case.params.w_ih, case.params.w_hh])
    expected = jnp.tanh(joint @ weights + case.params.b_ih[None])
    outputs, _ = run(case._replace(inputs=case.inputs[:1]))
    np.testing.assert_allclose(outputs[0], expected, rtol=1e-13)


@pytest.mark.matrix  # CI has it of every cell: `test_every_cell.py`
def test_nothing_in_the_padding_matters(case):
    lengths = WHEN["lengths"]["lengths"]
    padding = np.arange(T)[:, None, None] >= np.array(lengths)[None, :, None]
    spoilt = jnp.where(padding, jnp.nan, case.inputs)

    def loss(params, inputs):
        outputs, carry = jaxrnn.unroll(case.cell, params, inputs, case.carry, lengths=lengths)
        return jnp.sin(outputs).sum() + sum(jnp.square(c).sum() for c in carry)

    grad = jax.jit(jax.grad(loss, argnums=(0, 1)))
    assert_close(grad(case.params, spoilt), grad(case.params, case.inputs), 0)
    assert not np.any(np.where(padding, grad(case.params, spoilt)[1], 0))


def test_padding_does_not_reach_a_cells_own_parameters(x64):
    """A normalised cell whose derivative is infinite in the padding, where its gates are zero."""

    def update(gain, input_gates, hidden_gates, carry):
        gates = input_gates[0] + hidden_gates[0]
        scale = jnp.sqrt(jnp.square(gates).mean(axis=-1, keepdims=True))
        return jaxrnn.HiddenCarry(jnp.tanh(gain[None] * gates / scale))

    cell = jaxrnn.Cell(
        "normalised",
        H,
        gates=("candidate",),
        initial_carry=jaxrnn.zero_carry(jaxrnn.HiddenCarry, H),
        update=update,
        init_params=lambda key: jnp.ones(H),
    )
    case = make_case("rnn")
    params = case.params._replace(b_ih=jnp.zeros(H), cell=jnp.linspace(0.5, 2, H))

    def loss(params, inputs, lengths):
        carry = cell.initial_carry(inputs.shape[1], inputs.dtype)
        outputs, _ = jaxrnn.unroll(cell, params, inputs, carry, lengths=lengths)
        return jnp.sin(outputs).sum()

    padded = jax.grad(loss)(params, case.inputs[:, :2], jnp.array([T, 0]))
    assert_close(padded, jax.grad(loss)(params, case.inputs[:, :1], None), 1e-12)


def test_ids_in_the_padding_may_be_anything_and_others_are_checked(case):
    ids = jnp.zeros((T, B), jnp.int32).at[5, 2].set(-1)
    lengths = WHEN["lengths"]["lengths"]
    assert np.isfinite(run(case._replace(inputs=ids), lengths=lengths)[0]).all()
    with pytest.raises(ValueError, match=r"inputs must lie in 0\.\.3, got 9"):
        run(case._replace(inputs=ids.at[0, 0].set(9)), lengths=lengths)


def test_an_id_out_of_range_is_seen_under_jit():
    case = make_case("lstm", jnp.float32)
    ids = jnp.zeros((T, B), jnp.int32).at[2, 1].set(D).at[0, 3].set(-1)

    outputs, _ = jax.jit(lambda ids: jaxrnn.unroll(case.cell, case.params, ids, case.carry))(ids)
    assert np.isnan(outputs).any(axis=(0, 2)).tolist() == [False, True, False, True, False]


def test_equal_arguments_give_equal_cells():
    assert jaxrnn.lstm(8) == jaxrnn.lstm(8)
    assert jaxrnn.rnn(8) == jaxrnn.rnn(8, activation=jnp.tanh)
    assert hash(jaxrnn.gru(8)) == hash(jaxrnn.gru(8))
    assert jaxrnn.rnn(8) != jaxrnn.rnn(8, jax.nn.relu)
    assert jaxrnn.gru(8) != jaxrnn.gru(9)


CASE = {"cell": jaxrnn.lstm(H)}


@pytest.mark.parametrize(
    ("error", "message", "change"),
    [
        (TypeError, "cell must be a Cell", {"cell": "lstm"}),
        (ValueError, r"inputs must be \[T, B, D\]", {"inputs": np.zeros((T, B), np.float32)}),
        (ValueError, r"D = 4", {"inputs": np.zeros((T, B, 3), np.float32)}),
        (ValueError, r"at least one step", {"inputs": np.zeros((0, B, D), np.float32)}),
        (ValueError, r"ids must be \[T, B\]", {"inputs": np.zeros((T, B, D), np.int32)}),
        (TypeError, "floats", {"inputs": np.zeros((T, B, D), bool)}),
        (TypeError, "float16", {"inputs": np.zeros((T, B, D), np.float16)}),
        (ValueError, r"0\.\.3, got 4", {"inputs": np.full((T, B), 4, np.int32)}),
        (ValueError, r"0\.\.3, got -1", {"inputs": np.full((T, B), -1, np.int32)}),
        (TypeError, "lengths must be an array, got list", {"lengths": [1, 2, 3, 4, 5]}),
        (TypeError, "inputs must be an array, got list", {"inputs": [[0, 1]]}),
        (TypeError, "params must be RecurrentParams", {"params": (1, 2)}),
        (TypeError, "LSTMCarry", {"carry": jaxrnn.HiddenCarry(jnp.zeros((B, H)))}),
        (ValueError, r"carry.hidden .*\(5, 6\)", {"carry": jaxrnn.lstm(H).initial_carry(2)}),
        (ValueError, "lengths must have shape", {"lengths": np.array([1, 2])}),
        (ValueError, r"0\.\.7, got 8", {"lengths": np.array([8, 1, 1, 1, 1])}),
        (ValueError, r"0\.\.7, got -1", {"lengths": np.array([-1, 1, 1, 1, 1])}),
        (TypeError, "lengths must be integers", {"lengths": np.ones(B)}),
        (ValueError, "resets must have shape", {"resets": np.zeros((B, T), bool)}),
        (TypeError, "resets must be bool", {"resets": np.zeros((T, B), np.int32)}),
        (ValueError, "without resets", {"reset_carry": jaxrnn.lstm(H).initial_carry(B)}),
        (ValueError, "implementation must be one of", {"implementation": "cudnn2"}),
        (ValueError, "scan_unroll must be at least 1", {"scan_unroll": 0}),
    ],
)
def test_bad_arguments_are_named(error, message, change, as_users_run):
    case = make_case("lstm", jnp.float32)
    arguments = case._asdict() | change
    keywords = {k: v for k, v in change.items() if k not in case._fields or k == "reset_carry"}
    with pytest.raises(error, match=message):
        jaxrnn.unroll(
            arguments["cell"],
            arguments["params"],
            arguments["inputs"],
            arguments["carry"],
            **keywords,
        )


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint32])
def test_ids_of_any_integers_read_the_same_rows(dtype, as_users_run):
    """A row's place in the table, of every gate, is more than the ids' own type may count."""
    vocab_size = min(10_000, int(np.iinfo(dtype).max))
    layer = jaxrnn.recurrent(jaxrnn.lstm(2))
    params = layer.init(jax.random.key(0), vocab_size)
    ids = np.array([[0, vocab_size - 1], [vocab_size // 2, vocab_size // 3]])
    carry = layer.initial_carry(params, 2)
    outputs, _ = layer.apply(params, ids.astype(dtype), carry)
    expected, _ = layer.apply(params, ids.astype(np.int32), carry)
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(outputs, expected)
