"""Products in bfloat16, all else in the precision of the params."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import in_matrix
from recurrence.cases import CELLS, WHEN, B, H, make_case

import jaxrnn

OTHERS = [name for name in CELLS if name != "lstm"]
STEP_CELL = jaxrnn.gru(H, reset_after=False)


def run(cell, params, inputs, dtype, **when):
    carry = cell.initial_carry(B, params.w_ih.dtype)
    return jaxrnn.unroll(cell, params, inputs, carry, dtype=dtype, **when)


def make(name):
    if name == "gru_reset_before":
        case = make_case("gru", jnp.float32)
        return case._replace(cell=STEP_CELL, params=case.params._replace(b_hh=None))
    return make_case(name, jnp.float32)


@pytest.mark.parametrize("when", [*in_matrix("whole"), "both"])
@pytest.mark.parametrize("name", ["lstm", "gru_reset_before", *in_matrix(*OTHERS)])
def test_outputs_are_in_the_asked_dtype_and_near_those_of_float32(name, when):
    case = make(name)

    def loss(params, dtype):
        outputs, last = run(case.cell, params, case.inputs, dtype, **WHEN[when])
        return jnp.sin(outputs.astype(jnp.float32)).sum(), (outputs, last)

    derivative = jax.jit(jax.grad(loss, has_aux=True), static_argnums=1)
    grads, (outputs, last) = derivative(case.params, jnp.bfloat16)
    exact, (expected, _) = derivative(case.params, None)
    assert outputs.dtype == jnp.bfloat16
    assert all(c.dtype == jnp.float32 for c in last)
    assert jax.tree.map(lambda g: g.dtype, grads) == jax.tree.map(lambda g: g.dtype, exact)
    # bfloat16 rounds to 2^-9 of a value; 7 steps of sums over 10 such products of size 0.25
    np.testing.assert_allclose(outputs.astype(jnp.float32), expected, atol=0.03)
    for came, wanted in zip(jax.tree.leaves(grads), jax.tree.leaves(exact), strict=True):
        np.testing.assert_allclose(came, wanted, atol=0.03 * max(1, np.abs(wanted).max()))


@pytest.mark.parametrize("name", ["lstm", "gru_reset_before"])
def test_every_product_but_the_weights_gradient_has_bfloat16_operands(name):
    case = make(name)

    def loss(params, inputs):
        return jnp.square(run(case.cell, params, inputs, jnp.bfloat16)[0]).sum()

    program = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(case.params, case.inputs).as_text()
    products = re.findall(r"dot_general.*: \((.*)\) -> tensor<(.*)x\w+>", program)
    assert len(products) >= 4
    for operands, shape in products:
        of_weights = str(B) not in shape.split("x")  # whose gradients are summed in float32
        assert operands.count("bf16") == (0 if of_weights else 2), (operands, shape)


def test_a_stack_hands_on_bfloat16_and_ends_in_float32():
    layer = jaxrnn.recurrent(jaxrnn.lstm(H), dtype="bfloat16")
    model = jaxrnn.stack([layer, jaxrnn.bidirectional(layer), jaxrnn.linear(3)])
    params = model.init(jax.random.key(0), 4)
    inputs = jnp.ones((5, 2, 4), jnp.bfloat16)  # as they come, or in float32
    carry = model.initial_carry(params, 2)
    for given in (inputs, inputs.astype(jnp.float32)):
        logits, last = model.apply(params, given, carry)
        assert logits.dtype == jnp.float32
        assert {leaf.dtype for leaf in jax.tree.leaves((params, last))} == {jnp.dtype("float32")}


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", ["lstm", *in_matrix(*OTHERS)])
def test_ids_are_the_one_hot_rows_that_they_stand_for(name, dtype):
    """Rounded like them, and so are the gradients, once each: after their sums."""
    case = make_case(name, jnp.float32)
    ids = jnp.arange(2 * B * case.inputs.shape[2]).reshape(-1, B) % case.inputs.shape[2]
    rows = jax.nn.one_hot(ids, case.inputs.shape[2])

    def run_and_grad(inputs):
        def loss(params):
            outputs, last = run(case.cell, params, inputs, dtype)
            return jnp.sin(outputs.astype(jnp.float32)).sum(), (outputs, last)

        return jax.grad(loss, has_aux=True)(case.params)

    came, expected = (jax.tree.leaves(jax.jit(run_and_grad)(each)) for each in (ids, rows))
    for a, b in zip(came, expected, strict=True):
        assert a.dtype == b.dtype
        # The sums of the gradients are in another order before they are rounded.
        tolerance = 1e-6 if a.shape[0] != case.inputs.shape[2] else float(jnp.finfo(dtype).eps)
        a, b = a.astype(jnp.float32), b.astype(jnp.float32)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max())


def test_a_wrong_dtype_is_named(as_users_run):
    case = make_case("rnn", jnp.float32)
    with pytest.raises(TypeError, match="dtype must be a floating type"):
        run(case.cell, case.params, case.inputs, jnp.int32)
    with pytest.raises(TypeError, match=r"dtype must be a floating type, .* got 'bf16'"):
        run(case.cell, case.params, case.inputs, "bf16")
    with pytest.raises(TypeError, match="inputs are float64, params float32"):
        run(case.cell, case.params, np.asarray(case.inputs, np.float64), None)
    with pytest.raises(TypeError, match="inputs are bfloat16, params float32"):
        run(case.cell, case.params, case.inputs.astype(jnp.bfloat16), None)
