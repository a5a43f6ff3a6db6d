"""Linear cells as a user writes them: what they may leave out, and what is an error."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn

T, B, D, H = 5, 3, 2, 4


def leaky(cell_params, input_gates):
    keep = jax.nn.sigmoid(input_gates[1])
    return keep, (1 - keep) * input_gates[0]


def make(coefficients=leaky, **options):
    return jaxrnn.linear_cell(
        "leaky", H, gates=("input", "forget"), coefficients=coefficients, **options
    )


def run(cell, batch_size=B, **options):
    layer = jaxrnn.recurrent(cell, **options)
    params = layer.init(jax.random.key(0), D)
    inputs = jax.random.normal(jax.random.key(1), (T, batch_size, D))
    return layer.apply(params, inputs)


def halve(cell_params, input_gates):
    """A factor that depends on nothing, in its short form."""
    return jnp.full((1, H), 0.5), input_gates[0]


def halve_all(cell_params, input_gates):
    return jnp.full(input_gates[0].shape, 0.5), input_gates[0]


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("zoneout", [0.0, 0.5])
def test_a_constant_factor_may_have_one_row(batch_size, zoneout, monkeypatch):
    if zoneout:  # whose equations are others: native code of them would take seconds
        monkeypatch.setenv("JAXRNN_NATIVE", "0")
    came, expected = (
        run(make(coefficients), batch_size, zoneout=zoneout) for coefficients in (halve, halve_all)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), came, expected
    )


def scaled(own, input_gates):
    keep = jax.nn.sigmoid(input_gates[1] + own["all"])
    return keep, (1 - keep) * input_gates[0] * own["row"] + own["unit"][None]


def test_parameters_that_only_numpy_can_draw():
    """Their shapes are not known while a program is traced, so the recurrence alone is native."""

    def init_own(key):
        return {"row": np.linalg.qr(np.asarray(jax.random.normal(key, (H, H))))[0][:1]}

    cell = make(lambda own, gates: (gates[0] * own["row"], gates[1]), init_params=init_own)
    came, expected = (run(cell, implementation=how) for how in (None, "autodiff"))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), came, expected
    )


def test_parameters_of_every_shape_with_a_number_a_unit_or_one_for_all():
    own = {"all": jnp.ones(()), "row": jnp.ones((1, H)), "unit": jnp.ones(H)}
    cell = make(scaled, init_params=lambda key: own)
    params = jaxrnn.recurrent(cell).init(jax.random.key(0), D)
    inputs = jax.random.normal(jax.random.key(1), (T, B, D))

    def loss(params, implementation):
        outputs, _ = jaxrnn.unroll(cell, params, inputs, implementation=implementation)
        return (outputs**2).sum()

    came, expected = (jax.grad(loss)(params, how) for how in (None, "autodiff"))
    # Sums of 15 numbers below 100.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4), came, expected
    )


def state_twice(cell_params, input_gates, state):
    return jnp.concatenate([state, state], axis=-1)


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (TypeError, "coefficients must be a function", {"coefficients": 3}),
        (TypeError, "readout must be None or a function", {"readout": "state"}),
        (ValueError, "a complex state needs a readout", {"complex_state": True}),
        (ValueError, "gates must hold at least one name", {"gates": ()}),
        (TypeError, "gates must be a tuple of names", {"gates": "ab"}),
        (ValueError, "hidden_size must be at least 1", {"hidden_size": 0}),
        (TypeError, "init_params must be a function", {"init_params": None}),
    ],
)
def test_bad_arguments_are_named(error, message, options, as_users_run):
    arguments = {"name": "leaky", "hidden_size": H, "gates": ("a", "b"), "coefficients": leaky}
    with pytest.raises(error, match=message):
        jaxrnn.linear_cell(**(arguments | options))


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (TypeError, r"leaky must be a tuple \(a, b\)", {"coefficients": lambda own, i: i[0]}),
        (TypeError, r"leaky must be a tuple \(a, b\)", {"coefficients": lambda own, i: (*i, i[0])}),
        (
            ValueError,
            r"coefficient a of the cell leaky must have shape \[B, H\] = \(3, 4\), got \(3, 2\)",
            {"coefficients": lambda own, i: (i[0][:, :2], i[1])},
        ),
        (
            ValueError,
            r"coefficient b of the cell leaky must have shape .* got \(3, 8\)",
            {"coefficients": lambda own, i: (i[0], jnp.concatenate(i, axis=-1))},
        ),
        (
            TypeError,
            "leaky must be float32 like its state, got float32 and bfloat16",
            {"coefficients": lambda own, i: (i[0], i[1].astype(jnp.bfloat16))},
        ),
        (
            TypeError,
            "leaky must be float32 like its state, got complex64 and complex64",
            {"coefficients": lambda own, i: (jax.lax.complex(*i), jax.lax.complex(*i))},
        ),
        (
            TypeError,
            "leaky must be complex64 like its state, got float32 and float32",
            {"complex_state": True, "readout": lambda own, i, state: state.real},
        ),
        (
            ValueError,
            r"readout of the cell leaky must have shape \[B, H\] = \(3, 4\), got \(3, 8\)",
            {"readout": state_twice},
        ),
    ],
)
def test_bad_equations_are_named(error, message, options, as_users_run):
    with pytest.raises(error, match=message):
        run(make(**options))


def test_recurrent_weights_are_refused(as_users_run):
    params = jaxrnn.recurrent(make()).init(jax.random.key(0), D)
    assert params.w_hh is None
    wrong = params._replace(w_hh=jnp.zeros((H, 2 * H)))
    with pytest.raises(ValueError, match=r"params.w_hh must be None for the cell leaky"):
        jaxrnn.unroll(make(), wrong, jnp.zeros((T, B, D)))
