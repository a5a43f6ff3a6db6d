"""The engine's derivative against JAX's own of the same loop, in every mode."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from marks import in_matrix
from recurrence.cases import WHEN, make_case

import jaxrnn
from jaxrnn.recurrence.options import Options


def make_loss(case, when="whole", implementation=None, reverse=False):
    """(params, inputs, carry, reset_carry) -> a scalar that every output bears upon."""
    resets = "resets" in WHEN[when]

    def loss(params, inputs, carry, reset_carry):
        outputs, last = jaxrnn.unroll(
            case.cell,
            params,
            inputs,
            carry,
            reset_carry=reset_carry if resets else None,
            reverse=reverse,
            implementation=implementation,
            **WHEN[when],
        )
        weights = jnp.cos(jnp.arange(outputs.size, dtype=outputs.dtype)).reshape(outputs.shape)
        return (weights * outputs).sum() + sum(jnp.sin(1.3 * c).sum() for c in last)

    return jax.jit(loss)  # compiled, a test takes a third of the time


def arguments(case):
    return case.params, case.inputs, case.carry, case.reset_carry


def assert_equal_within(came, expected, tolerance=1e-11):
    """Compare within the rounding of sums of a few hundred float64 terms of size 1."""
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


# Lengths, resets and directions one by one: `layers/test_every_network.py`.
@pytest.mark.parametrize(("when", "reverse"), [*in_matrix(("whole", False)), ("both", True)])
def test_all_gradients_equal_autodiff(case, when, reverse):
    def value_and_grads(implementation):
        loss = make_loss(case, when, implementation, reverse)
        return jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2, 3)))(*arguments(case))

    assert_equal_within(*map(value_and_grads, ("scan", "autodiff")))


@pytest.mark.parametrize(("num_steps", "reverse"), [*in_matrix((20, False)), (37, True)])
def test_turns_of_several_steps_change_nothing(num_steps, reverse, x64):
    """Long loops take several steps in turn by default, which 37 steps do not fill."""
    cell = jaxrnn.gru(3)
    params = jaxrnn.recurrent(cell).init(jax.random.key(0), 2)
    params = jax.tree.map(lambda p: p.astype(jnp.float64), params)
    inputs = jax.random.normal(jax.random.key(1), (num_steps, 4, 2), jnp.float64)
    resets = jax.random.bernoulli(jax.random.key(2), 0.1, (num_steps, 4))
    lengths = jnp.array([num_steps, 0, 5, num_steps - 1], jnp.int32)

    def loss(params, inputs, scan_unroll):
        outputs, last = jaxrnn.unroll(
            cell,
            params,
            inputs,
            cell.initial_carry(4, jnp.float64),
            lengths=lengths,
            resets=resets,
            reverse=reverse,
            scan_unroll=scan_unroll,
        )
        return jnp.sin(outputs).sum() + jnp.cos(last.hidden).sum()

    value_and_grads = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)), static_argnums=2)
    step_by_step, by_default = (value_and_grads(params, inputs, turn) for turn in (1, None))
    assert_equal_within(by_default, step_by_step)


@pytest.mark.parametrize("cell", [jaxrnn.rnn(3), jaxrnn.gru(3)], ids=["rnn", "gru"])
def test_steps_per_iteration_depend_on_the_device(cell):
    options = Options(cell)
    on_a_cpu = [1, 1, 1] if cell.name == "rnn" else [1, 5, 4]
    assert [options.steps_per_iteration(t, "cpu") for t in (15, 35, 37)] == on_a_cpu
    assert [options.steps_per_iteration(t, "gpu") for t in (15, 35, 256)] == [1, 8, 8]
    assert [options.steps_per_iteration(t, "tpu") for t in (15, 35, 256)] == [1, 1, 1]
    assert Options(cell, scan_unroll=3).steps_per_iteration(35, "tpu") == 3


@pytest.mark.matrix  # CI has those in float64, above
@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_float32_gradients_equal_autodiff(name):
    case = make_case(name, jnp.float32)
    grads = [
        jax.grad(make_loss(case, "both", implementation), argnums=(0, 1, 2, 3))(*arguments(case))
        for implementation in ("scan", "autodiff")
    ]
    # The two sum in another order: a few hundred terms of size 1 in float32.
    assert_equal_within(*grads, tolerance=2e-5)


@pytest.mark.parametrize("when", [*in_matrix("whole"), "both"])
def test_forward_mode_equals_autodiff(case, when):
    tangents = jax.tree.map(jnp.cos, arguments(case))
    assert_equal_within(
        *(
            jax.jvp(make_loss(case, when, implementation), arguments(case), tangents)
            for implementation in ("scan", "autodiff")
        )
    )


def test_gradients_of_ids_equal_autodiff(case):
    ids = jnp.arange(case.inputs.shape[0] * case.inputs.shape[1], dtype=jnp.int32)
    ids = (ids % case.inputs.shape[2]).reshape(case.inputs.shape[:2])

    def grads(implementation):
        loss = make_loss(case, implementation=implementation)
        return jax.jit(jax.grad(loss))(case.params, ids, case.carry, case.reset_carry)

    assert_equal_within(*map(grads, ("scan", "autodiff")))


# Forward over reverse, of every kind of cell: `test_every_cell.py`.
@pytest.mark.parametrize("mode", [*in_matrix("forward over reverse"), "reverse over reverse"])
@pytest.mark.parametrize("name", ["peephole", *in_matrix("rnn", "gru", "relu", "lstm")])
def test_hessian_vector_products_equal_autodiff(name, mode, x64):
    case = make_case(name)

    def product(implementation):
        loss = make_loss(case, "both", implementation)
        at = arguments(case)
        vector = jax.tree.map(jnp.cos, at)
        grad = jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3)))
        if mode == "forward over reverse":
            return jax.jvp(grad, at, vector)[1]

        def along(at):
            pairs = zip(jax.tree.leaves(grad(*at)), jax.tree.leaves(vector), strict=True)
            return sum((g * v).sum() for g, v in pairs)

        return jax.jit(jax.grad(along))(at)

    assert_equal_within(product("scan"), product("autodiff"))


@pytest.mark.matrix  # CI has the differences of `test_every_cell.py`
@pytest.mark.parametrize("name", ["rnn", "gru", "lstm", "peephole"])
def test_numerical_derivatives_to_order_two(name, x64):
    """Against finite differences, which know nothing of either implementation."""
    case = make_case(name)
    check_grads(make_loss(case, "both"), arguments(case), order=2, modes=["fwd", "rev"])


def test_a_gradient_where_nothing_depends_is_zero(case):
    """The final carry alone: no output takes part in the loss."""

    def loss(params, reset_carry):
        _, last = jaxrnn.unroll(
            case.cell, params, case.inputs, case.carry, reset_carry=reset_carry, **WHEN["resets"]
        )
        return last.hidden[0].sum()

    _, d_reset = jax.grad(loss, argnums=(0, 1))(case.params, case.reset_carry)
    assert all(not leaf[1:].any() for leaf in d_reset), "another row's restart took part"
