"""`return_carries`: the carry after every step, and its derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from marks import in_matrix
from recurrence.cases import CELLS, WHEN, B, D, H, T, make_case

import jaxrnn

LSTM_STEP = jaxrnn.StepCell(
    "lstm_step",
    H,
    gates=jaxrnn.lstm(H).gates,
    initial_carry=jaxrnn.lstm(H).initial_carry,
    step=lambda params, x, carry: jaxrnn.lstm(H).update(
        (), x, tuple(jnp.split(carry.hidden @ params.w_hh, 4, axis=-1)), carry
    ),
)


def run(case, when="both", **options):
    restart = {"reset_carry": case.reset_carry} if "resets" in WHEN[when] else {}
    return jaxrnn.unroll(
        case.cell, case.params, case.inputs, case.carry, **WHEN[when], **restart, **options
    )


def where(rows, chosen, other):
    return jax.tree.map(lambda a, b: jnp.where(rows[:, None], a, b), chosen, other)


def step_by_step(case, when, reverse):
    """The carry after every step, by as many runs of one step."""
    lengths = WHEN[when].get("lengths", np.full(B, T))
    resets = np.asarray(WHEN[when].get("resets", np.zeros((T, B), bool)))
    carry, carries = case.carry, [None] * T
    for t in reversed(range(T)) if reverse else range(T):
        # A boundary before step t, which a reversed run meets before step t - 1.
        at = t + 1 if reverse else t
        there = resets[at] & (at < lengths) if at < T else np.zeros(B, bool)
        start = where(there, case.reset_carry, carry)
        _, new = jaxrnn.unroll(case.cell, case.params, case.inputs[t : t + 1], start)
        carry = carries[t] = where(t < lengths, new, carry)
    return jax.tree.map(lambda *steps: jnp.stack(steps), *carries)


def assert_close(came, expected, tolerance=1e-12):
    assert jax.tree.structure(came) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("when", "reverse", "remat_every"),
    [*in_matrix(("whole", False, None), ("both", False, 3)), ("both", True, 3)],
)
def test_carries_are_those_of_the_steps(case, when, reverse, remat_every):
    outputs, carries = run(
        case, when, reverse=reverse, remat_every=remat_every, return_carries=True
    )
    expected, last = run(case, when, reverse=reverse)
    assert_close(outputs, expected)
    assert_close(carries, step_by_step(case, when, reverse))
    assert_close(jax.tree.map(lambda c: c[0 if reverse else -1], carries), last)


def loss_of(case, **options):
    """A scalar on which every array of every step's carry bears, with a weight of its own."""

    def loss(params, inputs, carry, reset_carry):
        own = case._replace(params=params, inputs=inputs, carry=carry, reset_carry=reset_carry)
        outputs, carries = run(own, return_carries=True, **options)
        leaves = [outputs, *jax.tree.leaves(carries)]
        weights = (jnp.cos(jnp.arange(x.size) + k).reshape(x.shape) for k, x in enumerate(leaves))
        return sum((w * jnp.sin(x)).sum() for w, x in zip(weights, leaves, strict=True))

    return jax.jit(loss)


def arguments(case):
    return case.params, case.inputs, case.carry, case.reset_carry


# Those without rematerialisation are part of the Hessian-vector products below.
@pytest.mark.parametrize(
    ("reverse", "remat_every"), [*in_matrix((False, None), (True, None)), (True, 3)]
)
def test_gradients_equal_autodiff(case, reverse, remat_every):
    def grads(**options):
        loss = loss_of(case, reverse=reverse, **options)
        return jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3)))(*arguments(case))

    ours = grads(implementation="scan", remat_every=remat_every)
    assert_close(ours, grads(implementation="autodiff"), 1e-11)


def test_forward_mode_equals_autodiff(case):
    tangents = jax.tree.map(jnp.cos, arguments(case))
    came = [
        jax.jvp(loss_of(case, implementation=how), arguments(case), tangents)
        for how in ("scan", "autodiff")
    ]
    assert_close(*came, 1e-11)


@pytest.mark.parametrize("mode", [*in_matrix("forward over reverse"), "reverse over reverse"])
@pytest.mark.parametrize("name", ["gru", *in_matrix("rnn", "peephole", "relu", "lstm")])
def test_hessian_vector_products_equal_autodiff(name, mode, x64):
    case = make_case(name)
    vector = jax.tree.map(jnp.cos, arguments(case))

    def product(how):
        grad = jax.jit(jax.grad(loss_of(case, implementation=how), argnums=(0, 1, 2, 3)))
        if mode == "forward over reverse":
            return jax.jvp(grad, arguments(case), vector)[1]

        def along(at):
            return sum(
                (g * v).sum()
                for g, v in zip(jax.tree.leaves(grad(*at)), jax.tree.leaves(vector), strict=True)
            )

        return jax.jit(jax.grad(along))(arguments(case))

    assert_close(product("scan"), product("autodiff"), 1e-10)


@pytest.mark.matrix
def test_numerical_derivatives(x64):
    case = make_case("lstm")
    check_grads(loss_of(case, remat_every=3), arguments(case), order=1, modes=["fwd", "rev"])


def test_a_step_cell_has_them_too(x64):
    case = make_case("lstm")
    assert_close(
        run(case._replace(cell=LSTM_STEP), return_carries=True), run(case, return_carries=True)
    )


def test_nothing_in_the_padding_matters(x64):
    case = make_case("lstm")
    padding = np.arange(T)[:, None, None] >= np.array(WHEN["both"]["lengths"])[None, :, None]
    spoilt = jnp.where(padding, jnp.nan, case.inputs)
    for value in (run, lambda case, **options: jax.grad(loss_of(case))(*arguments(case))):
        clean = value(case, return_carries=True)
        assert_close(value(case._replace(inputs=spoilt), return_carries=True), clean, 0)


@pytest.mark.parametrize("name", [*in_matrix("rnn", "gru"), "lstm"])
def test_layers_hand_them_out_in_the_places_of_their_carries(name):
    layer = jaxrnn.recurrent(CELLS[name])
    both = jaxrnn.bidirectional(jaxrnn.stack([layer, jaxrnn.dropout(0.5), layer]))
    network = jaxrnn.stack([both, jaxrnn.learned_initial_carry(layer), jaxrnn.linear(2)])
    params = network.init(jax.random.key(0), D)
    inputs = jax.random.normal(jax.random.key(1), (T, B, D))
    lengths = WHEN["lengths"]["lengths"]
    outputs, carries = network.apply(params, inputs, lengths=lengths, return_carries=True)
    expected, last = network.apply(params, inputs, lengths=lengths)
    np.testing.assert_array_equal(outputs, expected)
    assert jax.tree.structure(carries) == jax.tree.structure(last)
    assert all(c.shape == (T, B, H) for c in jax.tree.leaves(carries))
    (of_both, *of_others), (both_last, *others_last) = carries, last
    ends = jax.tree.map(lambda c: c[-1], (of_both.forward, of_others))
    assert_close(ends, (both_last.forward, others_last), 0)
    assert_close(jax.tree.map(lambda c: c[0], of_both.backward), both_last.backward, 0)


def test_layers_without_a_carry_have_none_at_any_step():
    """Among them one in both directions, whose carries of a second direction are flipped."""
    layer = jaxrnn.bidirectional(jaxrnn.linear(2))
    params = layer.init(jax.random.key(0), D)
    lengths = WHEN["lengths"]["lengths"]
    inputs = jnp.ones((T, B, D))
    _, carries = layer.apply(params, inputs, lengths=lengths, return_carries=True)
    assert carries == ((), ())


def test_cudnn_does_not_take_it(as_users_run):
    case = make_case("lstm", jnp.float32)
    with pytest.raises(ValueError, match='"cudnn" does not take return_carries'):
        run(case, "whole", implementation="cudnn", return_carries=True)
