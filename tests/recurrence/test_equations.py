"""The programs of cells on single units, against the cells themselves."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from random_equations import SIZE, make_cell, own_params, random_update
from recurrence.cases import CELLS, make_case

import jaxrnn
from jaxrnn.recurrence.equations import trace
from jaxrnn.recurrence.linearization import coefficients
from jaxrnn.recurrence.unit_programs import NotPerUnitError, Value

NAMES = {"and": "bitwise_and", "or": "bitwise_or", "not": "bitwise_not", "xor": "bitwise_xor"}
NAMES |= {"add_any": "add"}


def run(program, inputs):
    """Run a program by JAX's own operations."""
    values, like = dict(enumerate(inputs)), inputs[0]

    def read(operand):
        if isinstance(operand, Value):
            return values[operand.number]
        return jnp.full(like.shape, operand, bool if isinstance(operand, bool) else like.dtype)

    for result, name, operands, parameter in program.operations:
        more = () if parameter is None else (parameter,)
        values[result.number] = getattr(lax, NAMES.get(name, name))(*map(read, operands), *more)
    return list(map(read, program.results))


def check(cell, params=(), seed=0):
    """Both programs compute what the cell and JAX's derivative of it do."""
    generator = np.random.default_rng(seed)
    carry = cell.initial_carry(3, jnp.float64)

    def draw(array):
        return jnp.asarray(generator.standard_normal(array.shape), jnp.float64)

    gates = [carry.hidden] * len(cell.gates)
    x, h, carry = jax.tree.map(draw, (tuple(gates), tuple(gates), carry))
    leaves = [jnp.broadcast_to(p, carry.hidden.shape) for p in jax.tree.leaves(params)]
    inputs = [*x, *h, *carry, *leaves]
    equations = trace(cell, np.dtype("float64"))
    new = cell.update(params, x, h, carry)
    found = coefficients(cell.update, params, x, h, carry)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-12)
    for result, expected in zip(run(equations.update, inputs), new, strict=True):
        close(result, expected)
    expected = [*new, *found.hidden, *jax.tree.leaves(found.others)]
    for result, value in zip(run(equations.linearized, inputs), expected, strict=True):
        close(result, value)
    assert (equations.reads, equations.order) == (found.reads, found.order)


@pytest.mark.parametrize("name", CELLS)
def test_the_programs_of_a_cell_compute_what_it_does(name, x64):
    case = make_case(name)
    check(case.cell, case.params.cell)


@settings(max_examples=15)
@given(st.lists(st.tuples(*[st.integers(0, 99)] * 3), max_size=8))
def test_random_equations(steps):
    with jax.enable_x64(True):
        cell = make_cell(random_update(steps), lambda key: own_params())
        check(cell, own_params(np.float64))


def test_equal_operations_are_computed_once():
    program = trace(jaxrnn.lstm(SIZE)).linearized
    assert [operation.name for operation in program.operations].count("tanh") == 2
    assert [operation.name for operation in program.operations].count("logistic") == 3


def test_equations_under_jit_give_the_same_program():
    lstm = jaxrnn.lstm(SIZE)
    jitted = dataclasses.replace(lstm, update=jax.jit(lstm.update))
    assert trace(jitted) == trace(lstm)


REFUSED = {
    "roll": (lambda x: jnp.roll(x, 1, axis=-1), "it has"),
    "normalisation": (lambda x: x - x.mean(axis=-1, keepdims=True), "it has"),
    "product": (lambda x: x @ jnp.ones((SIZE, SIZE), x.dtype), "it has"),
    "sum": (lambda x: jnp.cumsum(x, axis=-1), "it has"),
    "rows": (lambda x: x - x[:1], "it has"),
    "constants": (lambda x: x * np.arange(SIZE).astype(x.dtype)[None], "make it one of"),
    "integers": (lambda x: x.astype(jnp.int32).astype(x.dtype) * x, "it converts"),
    "constant integers": (lambda x: x * (jnp.full_like(x, 7, int) // 2).astype(x.dtype), "it has"),
    "order of booleans": (
        lambda x: jnp.where(lax.lt(x > 0, x > 1), x, 0),
        "the operation lt of numbers that are not floats",
    ),
    "operation": (lambda x: lax.lgamma(x), "the operation lgamma"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_program_is_refused_with_a_reason(name):
    function, reason = REFUSED[name]

    def update(cell_params, input_gates, hidden_gates, carry):
        new = input_gates[0] + hidden_gates[0] + hidden_gates[1] * function(carry.memory)
        return jaxrnn.LSTMCarry(new, new + input_gates[1])

    with pytest.raises(NotPerUnitError, match=reason):
        trace(make_cell(update))


def test_a_constant_that_is_converted_has_the_value_of_its_dtype(x64):
    """2.7 as an integer is 2, and 0.1 in float32 is not 0.1."""

    def update(cell_params, input_gates, hidden_gates, carry):
        like = carry.memory
        two = jnp.full_like(like, 2.7).astype(jnp.int32).astype(like.dtype)
        tenth = jnp.full_like(like, 0.1, jnp.float32).astype(like.dtype)
        new = input_gates[0] + hidden_gates[0] + hidden_gates[1] * two * tenth
        return jaxrnn.LSTMCarry(new, new + input_gates[1])

    check(make_cell(update))


def test_an_update_for_one_batch_size_only_is_refused():
    def update(cell_params, input_gates, hidden_gates, carry):
        new = input_gates[0] + hidden_gates[0] + jnp.ones((3, SIZE))
        return jaxrnn.LSTMCarry(new, new + input_gates[1] + hidden_gates[1])

    with pytest.raises(NotPerUnitError, match="cannot be traced"):
        trace(make_cell(update))


def test_a_matrix_among_the_parameters_is_refused():
    cell = dataclasses.replace(
        jaxrnn.lstm(SIZE), init_params=lambda key: jnp.zeros((SIZE + 1, SIZE))
    )
    with pytest.raises(NotPerUnitError, match="a matrix among its parameters"):
        trace(cell)
