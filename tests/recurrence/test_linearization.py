"""The derivative of one update against `jax.jvp`, for cells whose units mix and for others."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_equations import SIZE, make_cell, own_params, random_update
from recurrence.cases import make_case

import jaxrnn
from jaxrnn.recurrence import linearization
from jaxrnn.recurrence.linearization import Elementwise, linearize

ROWS = 3


def draw_arguments(cell, seed=0, dtype=jnp.float64):
    keys = iter(jax.random.split(jax.random.key(seed), 12))
    gates = (jnp.zeros((ROWS, cell.hidden_size), dtype),) * len(cell.gates)
    carry = cell.initial_carry(ROWS, dtype)
    return jax.tree.map(
        lambda x: jax.random.normal(next(keys), x.shape, x.dtype), (gates, gates, carry)
    )


def check(cell, cell_params=(), seed=0):
    """The derivative is JAX's; return it."""
    arguments, tangents = draw_arguments(cell, seed), draw_arguments(cell, seed + 1)
    d_params = jax.tree.map(lambda p: jnp.cos(jnp.arange(p.size)).reshape(p.shape), cell_params)
    push = linearize(cell, cell_params, *arguments)
    # Some dozen roundings; the terms of a sum may be larger than what is left of it.
    close = functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-10)

    d_input_gates, d_hidden_gates, d_start = tangents
    no_input, no_params = jax.tree.map(jnp.zeros_like, (d_input_gates, d_params))
    for d_x, d_p in itertools.product((None, d_input_gates), (None, d_params)):
        d_arguments = d_x or no_input, d_hidden_gates, d_start
        d_all = no_params if d_p is None else d_p, *d_arguments
        _, expected = jax.jvp(cell.update, (cell_params, *arguments), d_all)
        found = push(d_hidden_gates, d_start, d_x, d_cell_params=d_p)
        jax.tree.map(close, found, expected)
    return push


def coefficients_a_unit(push):
    return sum(leaf.size for leaf in jax.tree.leaves(push)) / (ROWS * SIZE)


@pytest.mark.parametrize(
    ("cell", "number"),
    [(jaxrnn.rnn(SIZE), 1), (jaxrnn.gru(SIZE), 5), (jaxrnn.lstm(SIZE), 6)],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_built_in_cell_keeps_as_few_coefficients_as_one_finds_by_hand(cell, number, x64):
    assert coefficients_a_unit(check(cell)) == number


def test_equations_under_jit_keep_as_few(x64):
    lstm = jaxrnn.lstm(SIZE)
    jitted = dataclasses.replace(lstm, update=jax.jit(lstm.update))
    assert coefficients_a_unit(check(jitted)) == 6


def test_a_cell_with_parameters_of_its_own(x64):
    case = make_case("peephole")
    push = check(case.cell, case.params.cell)
    # 9 for gates and carry, and one for each peephole.
    assert coefficients_a_unit(push) * SIZE / case.cell.hidden_size <= 12


USES = {
    "a number for all": ((), lambda p, like: p),
    "one for all in an array": ((1,), lambda p, like: p[None]),
    "a row": ((1, SIZE), lambda p, like: p),
    "a number a unit": ((SIZE,), lambda p, like: p[None]),
    "a function of it": ((SIZE,), lambda p, like: (jnp.exp(-p) * p)[None]),
    "a row without its axis": ((1, SIZE), lambda p, like: jnp.tanh(p)[0][None]),
    "a number a row": ((ROWS, 1), lambda p, like: p),
    "a number a row and unit": ((ROWS, SIZE), lambda p, like: p),
    "unused": ((3, SIZE), lambda p, like: jnp.zeros_like(like)),
}
APART = {
    "a row with another axis": ((1, 1, SIZE), lambda p, like: p[0]),
    "one of two": ((2, SIZE), lambda p, like: p[1][None]),
    "the other way round": ((SIZE,), lambda p, like: p[::-1][None]),
    "the sum of all": ((SIZE,), lambda p, like: p.sum()),
    "a product": ((SIZE, SIZE), lambda p, like: like @ p),
    "another precision": ((SIZE,), lambda p, like: p.astype("float32").astype("float64")[None]),
}


@pytest.mark.parametrize("use", [*USES, *APART])
def test_a_parameter_is_a_source_if_each_unit_reads_one_number_of_it(use, x64):
    """For any other parameter, the gates keep their coefficients, and JAX's derivative is added."""
    shape, function = (USES | APART)[use]

    def update(cell_params, input_gates, hidden_gates, carry):
        gates = [x + h for x, h in zip(input_gates, hidden_gates, strict=True)]
        memory = jax.nn.sigmoid(gates[0]) * carry.memory + function(cell_params["p"], gates[1])
        return jaxrnn.LSTMCarry(jnp.tanh(gates[1]) * memory, memory)

    own = jax.random.normal(jax.random.key(2), shape, jnp.float64)
    push = check(make_cell(update), {"p": own})
    assert isinstance(push, Elementwise) == (use in USES)
    if use != "a product":  # which mixes the units of a gate
        assert linearization.shared_gates(push, 2) == (True, True)


@settings(max_examples=60)
@given(st.data())
def test_random_equations(data):
    """Equations drawn at random: no unit reads another one, and all coefficients are found."""
    choose = functools.partial(st.integers, 0)
    steps = data.draw(st.lists(st.tuples(choose(99), choose(99), choose(99)), max_size=8))
    with jax.enable_x64(True):
        push = check(make_cell(random_update(steps)), own_params(np.float64))
    # Two arrays of two input and two hidden gates, two of the carry, two parameters, each other.
    assert coefficients_a_unit(push) <= 17


def reads_other_units(function):
    def update(cell_params, input_gates, hidden_gates, carry):
        gates = [x + h for x, h in zip(input_gates, hidden_gates, strict=True)]
        a, b = jnp.split(function(jnp.tanh(jnp.concatenate(gates, axis=-1))), 2, axis=-1)
        return jaxrnn.LSTMCarry(a * carry.hidden, b + carry.memory)

    return update


@pytest.mark.parametrize(
    "function",
    {
        "roll": lambda x: jnp.roll(x, 1, axis=-1),
        "roll by half a block": lambda x: jnp.roll(x, SIZE // 2, axis=-1),
        "reverse": lambda x: x[:, ::-1],
        "every second": lambda x: jnp.concatenate([x[:, ::2], x[:, 1::2]], axis=-1),
        "softmax": jax.nn.softmax,
        "cumulative": lambda x: jnp.cumsum(x, axis=-1),
        "mean": lambda x: x - x.mean(axis=-1, keepdims=True),
        "product": lambda x: x @ jnp.ones((2 * SIZE, 2 * SIZE)),
        "sort": lambda x: jnp.sort(x, axis=-1),
        "interleaved": lambda x: x.reshape(-1, SIZE, 2).swapaxes(1, 2).reshape(-1, 2 * SIZE),
        "reshaped": lambda x: x.reshape(-1, 2, SIZE).reshape(-1, 2 * SIZE),
        "first of all": lambda x: x + x[:, :1],
        "gather": lambda x: x[:, jnp.arange(2 * SIZE)[::-1]],
        "loop": lambda x: jax.lax.fori_loop(0, 2, lambda _, y: jnp.roll(y, 1, axis=-1), x),
        "gates side by side": lambda x: x,
    }.items(),
    ids=lambda item: item[0],
)
def test_what_mixes_units_or_may_do_so_keeps_the_derivative_of_jax(function, x64):
    push = check(make_cell(reads_other_units(function[1])))
    assert isinstance(push, jax.tree_util.Partial)


def of_gate(function):
    """A cell that applies it to one gate."""

    def update(cell_params, input_gates, hidden_gates, carry):
        gate = function(input_gates[0] + hidden_gates[0])
        return jaxrnn.LSTMCarry(gate * carry.hidden, jnp.tanh(hidden_gates[1]) + carry.memory)

    return make_cell(update)


@pytest.mark.parametrize(
    "function",
    {
        "one precision down": lambda x: x.astype(jnp.float32).astype(x.dtype),
        "softmax": jax.nn.softmax,
        "roll": lambda x: jnp.roll(x, 1, axis=-1),
    }.items(),
    ids=lambda item: item[0],
)
def test_a_gate_of_which_more_is_read_keeps_the_derivative_of_jax(function, x64):
    assert isinstance(check(of_gate(function[1])), jax.tree_util.Partial)


def test_a_custom_derivative_may_mix_units_where_its_function_does_not(x64):
    function = jax.custom_jvp(lambda x: x)
    function.defjvp(lambda primals, tangents: (primals[0], jnp.roll(tangents[0], 1, axis=-1)))
    assert isinstance(check(of_gate(function)), jax.tree_util.Partial)


@pytest.mark.parametrize("error", [KeyError("jaxpr"), AttributeError("eqns"), ImportError("core")])
def test_whatever_jaxprs_come_to_look_like_the_derivative_of_jax_is_right(error, monkeypatch, x64):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(linearization, "new_carry_terms", fail)
    assert isinstance(check(jaxrnn.lstm(SIZE)), jax.tree_util.Partial)


def test_an_update_that_ignores_the_hidden(x64):
    def update(cell_params, input_gates, hidden_gates, carry):
        return jaxrnn.LSTMCarry(jnp.tanh(input_gates[0]), carry.memory)

    check(make_cell(update))


def test_where_a_branch_not_taken_is_singular_the_derivative_is_that_of_the_other(x64):
    def update(cell_params, input_gates, hidden_gates, carry):
        x = input_gates[0] + hidden_gates[1]
        return jaxrnn.LSTMCarry(jnp.where(x > 0, jnp.sqrt(x), x), carry.memory)

    cell = make_cell(update)
    arguments = jax.tree.map(lambda x: -jnp.abs(x), draw_arguments(cell))
    tangents = draw_arguments(cell, 1)
    push = linearize(cell, (), *arguments)
    d_input_gates, d_hidden_gates, d_start = tangents
    d_new = push(d_hidden_gates, d_start, d_input_gates)
    expected = d_input_gates[0] + d_hidden_gates[1]
    np.testing.assert_allclose(d_new.hidden, expected, rtol=1e-12)
    _, pull = jax.vjp(push, d_hidden_gates, d_start, d_input_gates)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(pull(d_new)))


def test_a_carry_of_other_shapes_keeps_the_derivative_of_jax(x64):
    cell = make_case("lstm").cell

    def update(cell_params, input_gates, hidden_gates, carry):
        new = cell.update(cell_params, input_gates, hidden_gates, jaxrnn.LSTMCarry(*carry["two"]))
        return {"two": tuple(new), "sum": carry["sum"] + new.hidden.sum(axis=-1)}

    def zeros(batch_size, dtype):
        one = jnp.zeros((batch_size, cell.hidden_size), dtype)
        return {"two": (one, one), "sum": one[:, 0]}

    push = check(dataclasses.replace(cell, update=update, initial_carry=zeros))
    assert isinstance(push, jax.tree_util.Partial)
