"""Rematerialisation: the same numbers from less memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import in_matrix
from recurrence.cases import WHEN, B, D, T, make_case

import jaxrnn


def values_and_gradients(case, when, **keywords):
    if "resets" in WHEN[when]:
        keywords["reset_carry"] = case.reset_carry

    def loss(params, inputs, carry):
        outputs, last = jaxrnn.unroll(case.cell, params, inputs, carry, **WHEN[when], **keywords)
        return jnp.sin(outputs).sum() + jnp.square(last.hidden).sum(), (outputs, last)

    derivative = jax.jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))
    return derivative(case.params, case.inputs, case.carry)


# T = 7: all steps in one chunk, and chunks of which the last is padded.
IN_CI = [(False, 7), (True, 3)]
OTHERS = [(False, 1), (True, 1), (False, 3), (True, 7), (False, 100), (True, 100)]


@pytest.mark.parametrize(("reverse", "remat_every"), [*IN_CI, *in_matrix(*OTHERS)])
@pytest.mark.parametrize("when", [*in_matrix("whole"), "both"])
@pytest.mark.parametrize("name", [*in_matrix("lstm"), "peephole"])
def test_changes_nothing(name, when, reverse, remat_every, x64):
    case = make_case(name)
    came = values_and_gradients(case, when, reverse=reverse, remat_every=remat_every)
    expected = values_and_gradients(case, when, reverse=reverse)
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_changes_nothing_for_ids(x64):
    case = make_case("gru")
    ids = jax.random.randint(jax.random.key(0), (T, B), 0, D, jnp.int32)

    def grad(remat_every):
        def loss(params):
            return jnp.sin(
                jaxrnn.unroll(case.cell, params, ids, case.carry, remat_every=remat_every)[0]
            ).sum()

        return jax.jit(jax.grad(loss))(case.params)

    for a, b in zip(jax.tree.leaves(grad(4)), jax.tree.leaves(grad(None)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["gru", "peephole", *in_matrix("rnn", "lstm", "relu")])
def test_a_long_sequence_needs_a_fraction_of_the_memory(name):
    """XLA's plan of its memory says so; outputs and their cotangents, [T, B, H], remain."""
    case = make_case(name, jnp.float32)
    num_steps = 10_000
    inputs = jnp.zeros((num_steps, B, D))

    def planned(remat_every):
        def loss(params, inputs):
            outputs, _ = jaxrnn.unroll(
                case.cell, params, inputs, case.carry, remat_every=remat_every
            )
            return jnp.square(outputs).mean()

        grad = jax.jit(jax.grad(loss)).lower(case.params, inputs).compile()
        return grad.memory_analysis().temp_size_in_bytes

    outputs = num_steps * B * case.cell.hidden_size * 4
    assert planned(100) < 3 * outputs
    assert planned(None) > 4 * outputs


def normalised_update(gain, input_gates, hidden_gates, carry):
    """Without an epsilon: where the gates are equal, as zeros are, the derivative is infinite."""
    gates = input_gates[0] + hidden_gates[0]
    centred = gates - gates.mean(axis=-1, keepdims=True)
    scale = jnp.sqrt(jnp.square(centred).mean(axis=-1, keepdims=True))
    return jaxrnn.HiddenCarry(jnp.tanh(gain[None] * centred / scale))


NORMALISED = jaxrnn.Cell(
    "normalised",
    6,
    gates=("candidate",),
    initial_carry=jaxrnn.zero_carry(jaxrnn.HiddenCarry, 6),
    update=normalised_update,
    init_params=lambda key: jnp.ones(6),
)


@pytest.mark.parametrize("lengths", [[0, 7], [0, 2], [0, 0]])
def test_chunks_of_padding_alone_have_gradients_where_the_cell_is_singular(lengths, x64):
    case = make_case("rnn")
    params = case.params._replace(b_ih=jnp.zeros(6), cell=jnp.linspace(0.5, 2, 6))

    def grads(remat_every):
        def loss(params, lengths):
            outputs, _ = jaxrnn.unroll(
                NORMALISED,
                params,
                case.inputs[:, :2],
                NORMALISED.initial_carry(2, jnp.float64),
                lengths=lengths,
                remat_every=remat_every,
            )
            return jnp.sin(outputs).sum()

        # One program for all lengths.
        return jax.tree.leaves(jax.jit(jax.grad(loss))(params, jnp.array(lengths)))

    for a, b in zip(grads(2), grads(None), strict=True):
        assert np.isfinite(b).all()
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


def test_a_bad_interval_is_named(as_users_run):
    case = make_case("rnn", jnp.float32)
    for wrong, error in ((0, ValueError), (2.0, TypeError)):
        with pytest.raises(error, match="remat_every"):
            jaxrnn.unroll(case.cell, case.params, case.inputs, case.carry, remat_every=wrong)
