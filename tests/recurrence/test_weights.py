"""The forms of `w_hh`, each against the dense matrix that it stands for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import in_matrix
from recurrence.cases import WHEN, B, D, H, T, make_case

import jaxrnn
from jaxrnn.recurrence.weights import Masked


def dense(w_hh):
    """The matrix [H, G*H] that multiplies as `w_hh` does."""
    if isinstance(w_hh, jaxrnn.LowRank):
        return w_hh.down @ w_hh.up
    heads, width, gates, _ = w_hh.blocks.shape
    matrix = np.zeros((heads, width, gates, heads, width))
    for head in range(heads):
        matrix[head, :, :, head] = w_hh.blocks[head]
    return jnp.asarray(matrix.reshape(heads * width, -1))


FORMS = {
    "low rank": {"projection_size": 2},
    "two heads": {"num_heads": 2},
    "diagonal": {"num_heads": H},
}


@pytest.mark.parametrize("when", [*in_matrix("whole"), "both"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["lstm", *in_matrix("rnn", "gru", "relu", "peephole")])
def test_equals_the_dense_matrix(name, form, when, x64):
    case = make_case(name)
    drawn = jaxrnn.recurrent(case.cell, **FORMS[form]).init(jax.random.key(3), D).w_hh
    w_hh = jax.tree.map(lambda w: w.astype(jnp.float64), drawn)
    extra = {"reset_carry": case.reset_carry} if "resets" in WHEN[when] else {}

    def loss(params, w_hh, is_dense):
        params = params._replace(w_hh=dense(w_hh) if is_dense else w_hh)
        outputs, last = jaxrnn.unroll(
            case.cell, params, case.inputs, case.carry, **WHEN[when], **extra
        )
        if is_dense and form == "low rank":
            outputs = outputs @ w_hh.down
        return jnp.sin(outputs).sum() + jnp.square(last.hidden).sum(), (outputs, last)

    def all_of(is_dense):
        # dense() of heads goes through NumPy: compare the gradients of the other parameters
        argnums = (0, 1) if form == "low rank" else 0
        return jax.grad(loss, argnums, has_aux=True)(
            case.params._replace(w_hh=None), w_hh, is_dense
        )

    for a, b in zip(*map(jax.tree.leaves, map(all_of, (False, True))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_equal_autodiff(form, x64):
    case = make_case("gru")
    drawn = jaxrnn.recurrent(case.cell, **FORMS[form]).init(jax.random.key(3), D).w_hh
    w_hh = jax.tree.map(lambda w: w.astype(jnp.float64), drawn)
    mask = jnp.linspace(0, 2, B * H).reshape(B, H)

    def grads(implementation):
        def loss(w_hh):
            params = case.params._replace(w_hh=Masked(w_hh, mask))
            outputs, _ = jaxrnn.unroll(
                case.cell, params, case.inputs, case.carry, implementation=implementation
            )
            return jnp.sin(outputs).sum()

        return jax.tree.leaves(jax.jit(jax.grad(loss))(w_hh))

    for a, b in zip(grads("scan"), grads("autodiff"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


def test_heads_do_not_read_one_another():
    cell = jaxrnn.rnn(H)
    params = jaxrnn.recurrent(cell, num_heads=3).init(jax.random.key(0), D)
    inputs = jnp.zeros((2, 1, D))

    def outputs(hidden):
        return jaxrnn.unroll(cell, params, inputs, jaxrnn.HiddenCarry(hidden[None]))[0][-1, 0]

    jacobian = jax.jacobian(outputs)(jnp.full(H, 0.1))
    same_head = np.arange(H)[:, None] // 2 == np.arange(H)[None] // 2
    assert (np.asarray(jacobian) != 0).tolist() == same_head.tolist()


def test_a_projection_narrows_the_outputs_and_the_layer_above():
    layer = jaxrnn.recurrent(jaxrnn.lstm(H), projection_size=2)
    deep = jaxrnn.stack([layer, layer])
    params = deep.init(jax.random.key(0), D)
    outputs, carry = deep.apply(params, jnp.ones((T, B, D)), deep.initial_carry(params, B))
    assert outputs.shape == (T, B, 2)
    assert params[1].w_ih.shape == (2, 4 * H)
    assert carry[0].hidden.shape == (B, H)


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("num_heads must divide hidden_size = 6, got 4", {"num_heads": 4}),
        ("num_heads must be at least 1", {"num_heads": 0}),
        ("projection_size must be at least 1", {"projection_size": 0}),
        (
            "projection_size cannot be combined with num_heads",
            {"num_heads": 2, "projection_size": 2},
        ),
        ("recurrent_dropout must be between 0 and 1", {"recurrent_dropout": 1.5}),
    ],
)
def test_bad_options_are_named(message, options, as_users_run):
    with pytest.raises(ValueError, match=message):
        jaxrnn.recurrent(jaxrnn.lstm(H), **options)


@pytest.mark.parametrize(
    ("message", "w_hh"),
    [
        (r"w_hh.down must have shape .*\(6, 2\)", (jnp.ones((5, 2)), jnp.ones((2, 24)))),
        (r"w_hh.up must have shape .*\(2, 24\)", (jnp.ones((6, 2)), jnp.ones((3, 24)))),
        (r"w_hh.blocks must have shape .*\(2, 3, 4, 3\)", (jnp.ones((2, 3, 1, 3)),)),
        ("heads that divides H = 6, got 4", (jnp.ones((4, 1, 4, 1)),)),
        (r"w_hh must have shape .*\(6, 24\)", jnp.ones((6, 18))),
        (r"w_hh.mask must have shape .*\(5, 6\)", Masked(jnp.ones((6, 24)), jnp.ones((1, 6)))),
    ],
)
def test_misshapen_weights_are_named(message, w_hh, as_users_run):
    if type(w_hh) is tuple:
        w_hh = jaxrnn.LowRank(*w_hh) if len(w_hh) == 2 else jaxrnn.BlockDiagonal(*w_hh)
    case = make_case("lstm", jnp.float32)
    with pytest.raises(ValueError, match=message):
        jaxrnn.unroll(case.cell, case.params._replace(w_hh=w_hh), case.inputs, case.carry)
