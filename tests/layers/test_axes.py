"""Batch-first inputs, swapped axes, several batch axes, and batches without a row."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import in_matrix

import jaxrnn

T, B, D, H, V = 5, 3, 2, 4, 7
LENGTHS = np.array([5, 0, 3], np.int32)
RESETS = np.array([[t == 2, t in (1, 4), t == 1] for t in range(T)])
INPUTS = np.random.default_rng(0).normal(size=(T, B, D)).astype(np.float32)
ONE = jaxrnn.recurrent(jaxrnn.lstm(H))
DEEP = jaxrnn.stack([jaxrnn.bidirectional(ONE), jaxrnn.dropout(0.5), ONE, jaxrnn.linear(2)])
MODEL = jaxrnn.language_model(V, jaxrnn.recurrent(jaxrnn.gru(H)), embedding_size=3)
FIRST = jaxrnn.batch_first(DEEP)
SWAPPED = r"inputs are time-major \[T, B, D\]; jaxrnn.batch_first takes \[B, T, D\]"


def swap(array):
    return np.swapaxes(array, 0, 1)


def equal(came, expected):
    assert jax.tree.structure(came) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("return_carries", [False, True])
def test_a_batch_first_layer_is_the_layer_with_swapped_axes(return_carries):
    params = FIRST.init(jax.random.key(0), D)
    equal(params, DEEP.init(jax.random.key(0), D))
    start = FIRST.initial_carry(params, B)
    ones = jax.tree.map(jnp.ones_like, start)
    options = {"lengths": LENGTHS, "reset_carry": ones, "key": jax.random.key(1)}
    options["return_carries"] = return_carries
    outputs, carry = FIRST.apply(params, swap(INPUTS), ones, resets=swap(RESETS), **options)
    expected, end = DEEP.apply(params, INPUTS, ones, resets=RESETS, **options)
    equal(outputs, swap(expected))
    equal(carry, jax.tree.map(swap, end) if return_carries else end)


def test_a_batch_first_language_model_reads_ids():
    params, ids = MODEL.init(jax.random.key(0), V), np.arange(T * B, dtype=np.int32) % V
    logits, carry = jaxrnn.batch_first(MODEL).apply(params, ids.reshape(B, T))
    expected = MODEL.apply(params, ids.reshape(B, T).T)
    equal((swap(logits), carry), expected)


def test_a_batch_first_layer_is_data_like_any_other():
    assert repr(jaxrnn.batch_first(ONE)) == "BatchFirst(Recurrent(lstm(4)))"
    assert jaxrnn.batch_first(DEEP) == FIRST
    assert FIRST.output_size(D) == 2
    assert not FIRST.causal
    assert jaxrnn.batch_first(ONE).causal
    params = FIRST.init(jax.random.key(0), D)
    assert FIRST.summary(params).splitlines()[1].split()[0] == "Stack"


PARAMS = ONE.init(jax.random.key(0), D)
CARRY = ONE.initial_carry(PARAMS, B)
INSIDE = jaxrnn.batch_first(MODEL)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("layers", lambda: jaxrnn.stack([jaxrnn.batch_first(ONE), ONE])),
        ("layer", lambda: jaxrnn.bidirectional(jaxrnn.batch_first(ONE))),
        ("layer", lambda: jaxrnn.batch_first(jaxrnn.batch_first(ONE))),
        ("layer", lambda: jaxrnn.step(jaxrnn.batch_first(ONE), PARAMS, INPUTS[0], CARRY)),
        ("body", lambda: jaxrnn.language_model(V, jaxrnn.batch_first(ONE))),
        ("model", lambda: jaxrnn.generate_ids(INSIDE, (), np.ones((2, 1), int), 3)),
        ("model", lambda: jaxrnn.score(INSIDE, (), np.ones((2, 1), int))),
        (
            "model",
            lambda: jaxrnn.init_state(
                INSIDE, jaxrnn.make_optimizer("sgd", 1.0, None), V, 2, jax.random.key(0)
            ),
        ),
    ],
)
def test_a_batch_first_layer_stands_at_the_outside(name, call, as_users_run):
    with pytest.raises(ValueError, match=f"{name} must be time-major, got BatchFirst.*two axes"):
        call()


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (
            ValueError,
            rf"lengths must have shape \[B\] = \(5,\), got \(3,\): {SWAPPED}$",
            lambda: ONE.apply(PARAMS, swap(INPUTS), lengths=LENGTHS),
        ),
        (
            ValueError,
            rf"resets must have shape \(5, 3\), got \(3, 5\): {SWAPPED}$",
            lambda: ONE.apply(PARAMS, INPUTS, resets=swap(RESETS)),
        ),
        (
            ValueError,
            r"lengths must have shape \[B\] = \(3,\), got \(2,\)$",
            lambda: ONE.apply(PARAMS, INPUTS, lengths=LENGTHS[:2]),
        ),
        (
            ValueError,
            r"resets must have shape \(5, 3\), got \(4, 3\)$",
            lambda: ONE.apply(PARAMS, INPUTS, resets=RESETS[:4]),
        ),
        (
            ValueError,
            r"lengths must lie in 0\.\.5, got 6$",
            lambda: ONE.apply(PARAMS, INPUTS, lengths=LENGTHS + 1),
        ),
        (
            ValueError,
            r"lengths must have shape \[B\] = \(5,\), got \(3,\)$",
            lambda: jaxrnn.batch_first(ONE).apply(PARAMS, INPUTS, lengths=LENGTHS),
        ),
        (
            ValueError,
            r"resets must have shape \(5, 3\), got \(3, 5\)$",
            lambda: jaxrnn.batch_first(ONE).apply(PARAMS, INPUTS, resets=swap(RESETS)),
        ),
        (
            ValueError,
            r"inputs must be \[B, T, ...\], got shape \(5,\)",
            lambda: jaxrnn.batch_first(ONE).apply(PARAMS, INPUTS[:, 0, 0]),
        ),
        (
            TypeError,
            "layer must be a layer, got the cell",
            lambda: jaxrnn.batch_first(jaxrnn.lstm(H)),
        ),
    ],
)
def test_an_error_tells_of_swapped_axes_only_where_they_would_explain_it(
    error, message, call, as_users_run
):
    with pytest.raises(error, match=message):
        call()


def test_several_batch_axes_by_vmap_are_the_flattened_batch():
    """Rows of every group as in one batch, with lengths and resets, under grad."""
    groups = 2
    inputs = np.random.default_rng(1).normal(size=(T, groups * B, D)).astype(np.float32)
    lengths, resets = np.tile(LENGTHS, groups), np.tile(RESETS, (1, groups))
    params = ONE.init(jax.random.key(0), D)

    def run(params, inputs, lengths, resets):
        return ONE.apply(params, inputs, lengths=lengths, resets=resets)

    def loss(run, params, *arrays):
        outputs, carry = run(params, *arrays)
        return jnp.sin(outputs).sum() + carry.memory.sum(), outputs

    @jax.jit
    def both(params):
        flat = jax.grad(lambda p: loss(run, p, inputs, lengths, resets), has_aux=True)(params)
        over_groups = jax.vmap(run, in_axes=(None, 1, 0, 1), out_axes=(1, 0))
        grouped = (
            inputs.reshape(T, groups, B, D),
            lengths.reshape(groups, B),
            resets.reshape(T, groups, B),
        )
        return flat, jax.grad(lambda p: loss(over_groups, p, *grouped), has_aux=True)(params)

    (expected, flat), (came, outputs) = both(params)
    assert outputs.shape == (T, groups, B, H)
    # float32, sums over all steps and rows in another order
    np.testing.assert_allclose(outputs.reshape(flat.shape), flat, atol=1e-6)
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


NETWORKS = {
    "deep": DEEP,
    "language model": MODEL,
    "one-hot": jaxrnn.language_model(V, jaxrnn.recurrent(jaxrnn.lstm(H), num_heads=2)),
    "learned carry, rematerialised": jaxrnn.learned_initial_carry(
        jaxrnn.recurrent(jaxrnn.gru(H), remat_every=2)
    ),
    "step cell": jaxrnn.recurrent(jaxrnn.gru(H, reset_after=False), reverse=True),
    "projected, bfloat16": jaxrnn.recurrent(
        jaxrnn.lstm(H), projection_size=2, recurrent_dropout=0.5, dtype=jnp.bfloat16
    ),
    "tied, dropped": jaxrnn.language_model(
        V, ONE, embedding_size=H, tie_embeddings=True, embedding_dropout=0.5
    ),
}


@pytest.mark.parametrize(
    "name", ["deep", "language model", "learned carry, rematerialised",
             *in_matrix("one-hot", "step cell", "projected, bfloat16", "tied, dropped")]
)  # fmt: skip
@pytest.mark.parametrize("jit", [jax.jit, *in_matrix(lambda function: function)])
def test_a_batch_without_a_row_runs_and_its_gradients_are_zero(name, jit):
    layer = NETWORKS[name]
    is_model = isinstance(layer, type(MODEL))
    params = layer.init(jax.random.key(0), V if is_model else D)
    inputs = jnp.zeros((T, 0), jnp.int32) if is_model else jnp.zeros((T, 0, D))
    inputs = inputs.astype(jnp.bfloat16) if "bfloat16" in name else inputs

    def loss(params):
        outputs, carry = layer.apply(
            params,
            inputs,
            lengths=np.zeros(0, np.int32),
            resets=np.zeros((T, 0), bool),
            key=jax.random.key(1),
        )
        return jnp.sin(outputs.astype(jnp.float32)).sum(), (outputs, carry)

    grads, (outputs, carry) = jit(jax.grad(loss, has_aux=True))(params)
    assert outputs.shape == (T, 0, layer.output_size(V if is_model else D))
    assert jax.tree.structure(carry) == jax.tree.structure(layer.initial_carry(params, 0))
    assert all(leaf.shape[0] == 0 for leaf in jax.tree.leaves(carry))
    for grad in jax.tree.leaves(grads):
        assert (np.asarray(grad) == 0).all()


def test_a_step_an_unroll_and_a_tangent_of_no_rows():
    carry = ONE.initial_carry(PARAMS, 0)
    outputs, _ = jaxrnn.step(ONE, PARAMS, jnp.zeros((0, D)), carry, resets=np.zeros(0, bool))
    assert outputs.shape == (0, H)

    def run(params):
        return jaxrnn.unroll(ONE.cell, params, jnp.zeros((T, 0, D)), return_carries=True)

    (outputs, carries), (d_outputs, _) = jax.jvp(run, (PARAMS,), (PARAMS,))
    assert outputs.shape == d_outputs.shape == carries.memory.shape == (T, 0, H)
    outputs, _ = jaxrnn.unroll(ONE.cell, PARAMS, jnp.zeros((T, 0, D)), implementation="cudnn")
    assert outputs.shape == (T, 0, H)  # without a GPU: the scan has nothing to do
    with pytest.raises(ValueError, match="batch_size must be at least 0, got -1"):
        ONE.initial_carry(PARAMS, -1)
    with pytest.raises(ValueError, match=r"at least one step and one feature, got \(0, 0, 2\)"):
        ONE.apply(PARAMS, jnp.zeros((0, 0, D)))
