"""Careless arguments, as reviews found them: an error that names them, or no harm."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
from recurrence.cases import B, D, H, T, make_case

import jaxrnn

CASES = {
    "rnn": (jaxrnn.rnn(H), {}),
    "gru": (jaxrnn.gru(H), {}),
    "lstm": (jaxrnn.lstm(H), {}),
    "projected": (jaxrnn.lstm(H), {"projection_size": 2}),
    "heads": (jaxrnn.gru(H), {"num_heads": 3}),
    "autodiff": (jaxrnn.lstm(H), {"implementation": "autodiff"}),
    "step cell": (jaxrnn.gru(H, reset_after=False), {}),
    "remat": (jaxrnn.gru(H), {"remat_every": 3}),
    "linear": (jaxrnn.min_gru(H), {}),
    "linear, scan": (jaxrnn.min_gru(H), {"implementation": "scan"}),
    "linear, autodiff": (jaxrnn.min_gru(H), {"implementation": "autodiff"}),
    "complex": (jaxrnn.lru(H), {}),
    "readout": (jaxrnn.sru(H), {"implementation": "scan"}),
}
FIRST = np.arange(T)[:, None] == np.zeros(2, np.int32)
UNUSED = {
    "carry of an empty row": ("carry", {"lengths": np.array([T, 0])}),
    "carry before a reset": ("carry", {"resets": FIRST}),
    "reset carry of a row without resets": ("reset_carry", {"resets": FIRST & [True, False]}),
}


@pytest.mark.parametrize("unused", UNUSED)
@pytest.mark.parametrize("name", CASES)
def test_a_carry_of_nan_that_no_step_uses_reaches_no_gradient(name, unused):
    cell, options = CASES[name]
    argument, ends = UNUSED[unused]
    layer = jaxrnn.recurrent(cell, **options)
    params = layer.init(jax.random.key(0), D)
    inputs = jax.random.normal(jax.random.key(1), (T, 2, D))
    zeros = layer.initial_carry(params, 2)
    spoilt = jax.tree.map(lambda c: c.at[1].set(jnp.nan), zeros)

    @jax.jit
    def grads(params, inputs, carry):
        def loss(params, inputs):
            carries = {"carry": zeros} | {argument: carry}
            outputs, _ = layer.apply(params, inputs, **carries, **ends)
            return jnp.sin(outputs).sum()

        return jax.tree.leaves(jax.grad(loss, argnums=(0, 1))(params, inputs))

    came, expected = (grads(params, inputs, carry) for carry in (spoilt, zeros))
    for a, b in zip(came, expected, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.isfinite(b).all()


@pytest.mark.parametrize("implementation", ["scan", "autodiff"])
@pytest.mark.parametrize("make", [jaxrnn.gru, jaxrnn.indrnn])
def test_bfloat16_gradients_are_summed_over_time_in_float32(make, implementation):
    """In bfloat16 a sum of a thousand terms stops growing at some 256."""
    cell = make(8)
    params = jaxrnn.recurrent(cell).init(jax.random.key(0), 3)
    inputs = 1 + 0.1 * jax.random.normal(jax.random.key(1), (1000, 2, 3))

    def grad(dtype):
        def loss(params):
            outputs, _ = jaxrnn.unroll(
                cell,
                params,
                inputs,
                cell.initial_carry(2),
                dtype=dtype,
                implementation=implementation,
            )
            return outputs.astype(jnp.float32).sum()

        return jax.flatten_util.ravel_pytree(jax.jit(jax.grad(loss))(params).w_hh)[0]

    exact = grad(None)
    assert jnp.linalg.norm(grad("bfloat16") - exact) < 0.02 * jnp.linalg.norm(exact)


def wrong_cell(result):
    return jaxrnn.StepCell(
        "wrong",
        H,
        gates=("candidate",),
        initial_carry=jaxrnn.zero_carry(jaxrnn.HiddenCarry, H),
        step=lambda params, input_gates, carry: result(input_gates[0]),
    )


@pytest.mark.parametrize("lengths", [None, np.array([T, 0, 3, 1, 6])])
@pytest.mark.parametrize(
    ("message", "result"),
    [
        (
            r"wrong cell's new carry\.hidden must have shape \(5, 6\), got \(5, 1\)",
            lambda gates: jaxrnn.HiddenCarry(gates[:, :1]),
        ),
        (r"got \(1, 6\)", lambda gates: jaxrnn.HiddenCarry(gates[:1])),
        ("float32, got bfloat16", lambda g: jaxrnn.HiddenCarry(g.astype(jnp.bfloat16))),
        ("wrong cell's new carry must be a HiddenCarry of arrays", lambda gates: gates),
    ],
)
def test_what_a_step_returns_is_checked(message, result, lengths):
    cell = wrong_cell(result)
    params = jaxrnn.recurrent(cell).init(jax.random.key(0), D)
    with pytest.raises((TypeError, ValueError), match=message):
        jaxrnn.unroll(cell, params, jnp.ones((T, B, D)), cell.initial_carry(B), lengths=lengths)


def branches(gate):
    return gate if gate.sum() > 0 else -gate


@pytest.mark.parametrize("function", [np.tanh, branches])
@pytest.mark.parametrize("implementation", [None, "autodiff"])
def test_numpy_and_branches_in_equations_are_explained(function, implementation):
    def update(params, input_gates, hidden_gates, carry):
        return jaxrnn.HiddenCarry(function(input_gates[0] + hidden_gates[0]))

    zeros = jaxrnn.zero_carry(jaxrnn.HiddenCarry, H)
    cell = jaxrnn.Cell("mine", H, gates=("g",), initial_carry=zeros, update=update)
    layer = jaxrnn.recurrent(cell, implementation=implementation)
    params = layer.init(jax.random.key(0), D)
    with pytest.raises(TypeError) as caught:
        layer.apply(params, jnp.ones((T, B, D)))
    notes = "".join(caught.value.__notes__)
    assert "cell mine: use jax.numpy instead of numpy, and jnp.where" in notes


class Unnamed(NamedTuple):
    state: Any


def test_a_carry_without_an_output_is_refused(as_users_run):
    message = "must be a NamedTuple with a field hidden, the cell's output"
    for wrong in (Unnamed, tuple, dict):
        with pytest.raises(TypeError, match=f"carry_type {message}"):
            jaxrnn.zero_carry(wrong, H)
    cell = dataclasses.replace(
        jaxrnn.rnn(H),
        initial_carry=lambda batch_size, dtype=jnp.float32: Unnamed(jnp.zeros((batch_size, H))),
    )
    with pytest.raises(TypeError, match=f"the carry of the cell rnn {message}"):
        apply(jaxrnn.recurrent(cell))


LSTM = jaxrnn.recurrent(jaxrnn.lstm(H))
BOTH = jaxrnn.bidirectional(LSTM)
RESETS = np.zeros((T, B), bool)


def apply(layer, inputs=None, **keywords):
    params = layer.init(jax.random.key(0), D)
    inputs = jnp.ones((T, B, D)) if inputs is None else inputs
    return layer.apply(params, inputs, layer.initial_carry(params, B), **keywords)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (
            ValueError,
            "lengths must have shape",
            lambda: apply(jaxrnn.linear(2), lengths=np.array([2])),
        ),
        (
            TypeError,
            "lengths must be integers",
            lambda: apply(jaxrnn.linear(2), lengths=np.ones(B)),
        ),
        (
            ValueError,
            r"lengths must lie in 0\.\.7, got 9",
            lambda: apply(jaxrnn.dropout(0.1), lengths=np.full(B, 9)),
        ),
        (
            TypeError,
            r"resets must be an array, got list: numpy\.array\(resets\) is one",
            lambda: apply(BOTH, resets=RESETS.tolist()),
        ),
        (ValueError, "resets must have shape", lambda: apply(BOTH, resets=RESETS[:4])),
        (
            TypeError,
            "reset_carry of bidirectional must be Directions",
            lambda: apply(BOTH, resets=RESETS, reset_carry=(1, 2)),
        ),
        (
            TypeError,
            "reset_carry of a stack must be a tuple of 2",
            lambda: apply(jaxrnn.stack([LSTM, LSTM]), resets=RESETS, reset_carry=(1,)),
        ),
        (
            ValueError,
            "one step and one feature",
            lambda: jaxrnn.unroll(
                jaxrnn.rnn(H),
                make_case("rnn", jnp.float32).params._replace(w_ih=jnp.ones((0, H))),
                jnp.ones((T, B, 0)),
                jaxrnn.rnn(H).initial_carry(B),
            ),
        ),
        (ValueError, "remat_every", lambda: jaxrnn.recurrent(jaxrnn.lstm(H), remat_every=0)),
        (
            ValueError,
            "implementation",
            lambda: jaxrnn.recurrent(jaxrnn.lstm(H), implementation="x"),
        ),
        (
            TypeError,
            "dtype must not be float64",
            lambda: jaxrnn.recurrent(jaxrnn.lstm(H), dtype=np.float64),
        ),
    ],
)
def test_bad_arguments_are_named(error, message, call, as_users_run):
    with pytest.raises(error, match=message):
        call()
