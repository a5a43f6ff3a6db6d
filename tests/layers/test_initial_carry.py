"""Initial carries: given, zero or learned; and one step at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import in_matrix

import jaxrnn

T, B, D, H = 7, 3, 4, 5
DEEP = jaxrnn.stack([jaxrnn.recurrent(jaxrnn.gru(H)), jaxrnn.recurrent(jaxrnn.lstm(H))])
BOTH = jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.gru(H)))
LAYERS = {
    "rnn": jaxrnn.recurrent(jaxrnn.rnn(H)),
    "gru": jaxrnn.recurrent(jaxrnn.gru(H)),
    "gru_reset_before": jaxrnn.recurrent(jaxrnn.gru(H, reset_after=False)),
    "lstm": jaxrnn.recurrent(jaxrnn.lstm(H)),
    "projected": jaxrnn.recurrent(jaxrnn.lstm(H), projection_size=2),
    "heads": jaxrnn.recurrent(jaxrnn.lstm(H), num_heads=H),
    "deep": jaxrnn.stack([DEEP, jaxrnn.dropout(0.5), jaxrnn.linear(2)]),
    "learned": jaxrnn.learned_initial_carry(DEEP),
}


def inputs():
    return jnp.asarray(np.random.default_rng(9).normal(size=(T, B, D)), jnp.float32)


def with_random_carry(layer, seed=0):
    """Parameters of a learned_initial_carry that are not zero."""
    params = layer.init(jax.random.key(seed), D)
    carry = jax.tree.map(lambda c: jnp.cos(jnp.arange(H, dtype=c.dtype)) + c, params.carry)
    return params._replace(carry=carry)


def test_a_learned_carry_begins_as_the_layers_own_and_is_learned():
    layer = LAYERS["learned"]
    params = layer.init(jax.random.key(0), D)
    plain, _ = DEEP.apply(params.layer, inputs(), DEEP.initial_carry(params.layer, B))
    outputs, _ = layer.apply(params, inputs(), layer.initial_carry(params, B))
    np.testing.assert_array_equal(outputs, plain)

    def loss(params):
        return jnp.sin(layer.apply(params, inputs(), layer.initial_carry(params, B))[0]).sum()

    grads = jax.jit(jax.grad(loss))(params)
    assert all(g.any() for g in jax.tree.leaves(grads.carry))


def test_resets_go_back_to_the_learned_carry_and_teach_it():
    layer = LAYERS["learned"]
    params = with_random_carry(layer)
    resets = jnp.zeros((T, B), bool).at[3].set(True)
    zeros = jax.tree.map(jnp.zeros_like, layer.initial_carry(params, B))
    outputs, _ = layer.apply(params, inputs(), zeros, resets=resets)
    anew, _ = layer.apply(params, inputs()[3:], layer.initial_carry(params, B))
    np.testing.assert_allclose(outputs[3:], anew, atol=1e-6)

    def loss(params):
        return layer.apply(params, inputs(), zeros, resets=resets)[0][3:].sum()

    def loss_alone(params):
        return layer.apply(params, inputs()[3:], layer.initial_carry(params, B))[0].sum()

    came, expected = (jax.jit(jax.grad(f))(params).carry for f in (loss, loss_alone))
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_both_directions_learn_a_carry_of_their_own():
    layer = jaxrnn.learned_initial_carry(BOTH)
    params = layer.init(jax.random.key(0), D)
    ahead, behind = jnp.full(H, 0.5), jnp.full(H, -0.5)
    params = params._replace(
        carry=type(params.carry)(jaxrnn.HiddenCarry(ahead), jaxrnn.HiddenCarry(behind))
    )
    lengths = jnp.array([T, 0, 2])
    _, carry = layer.apply(params, inputs(), layer.initial_carry(params, B), lengths=lengths)
    np.testing.assert_array_equal(carry.forward.hidden[1], ahead)
    np.testing.assert_array_equal(carry.backward.hidden[1], behind)
    assert not layer.causal


def test_training_moves_the_learned_carry():
    import optax

    body = jaxrnn.learned_initial_carry(LAYERS["gru"])
    model = jaxrnn.language_model(6, body)
    optimizer = optax.sgd(1.0)
    state = jaxrnn.init_state(model, optimizer, 6, B, jax.random.key(0))
    step = jax.jit(jaxrnn.make_train_step(model, optimizer))
    ids = jax.random.randint(jax.random.key(1), (T, B), 0, 6, jnp.int32)
    for starts, moves in ((True, True), (False, False)):
        batch = jaxrnn.Batch(ids, ids, None, jnp.full(B, starts))
        with jax.numpy_dtype_promotion("standard"):  # optax's own counters are not strict
            after, _ = step(state, batch)
        moved = after.params.body.carry.hidden != state.params.body.carry.hidden
        assert bool(moved.all() if moves else not moved.any())


@pytest.mark.parametrize("name", LAYERS)
def test_steps_one_by_one_are_the_whole(name):
    layer = LAYERS[name]
    params = layer.init(jax.random.key(0), D)
    if name == "learned":
        params = with_random_carry(layer)
    whole, last = layer.apply(params, inputs(), layer.initial_carry(params, B))
    step = jax.jit(lambda inputs, carry: jaxrnn.step(layer, params, inputs, carry))
    carry = layer.initial_carry(params, B)
    for t in range(T):
        outputs, carry = step(inputs()[t], carry)
        # float32: a product of one step may be summed in another order than that of seven
        np.testing.assert_allclose(outputs, whole[t], atol=1e-6)
    for a, b in zip(jax.tree.leaves(carry), jax.tree.leaves(last), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("name", ["learned", *in_matrix("lstm")])
def test_steps_with_resets_are_the_whole_with_resets(name):
    layer = LAYERS[name]
    params = with_random_carry(layer) if name == "learned" else layer.init(jax.random.key(0), D)
    resets = np.array([[t == 2, t in (1, 4), False] for t in range(T)])
    whole, last = layer.apply(params, inputs(), resets=resets)
    step = jax.jit(lambda x, carry, resets: jaxrnn.step(layer, params, x, carry, resets=resets))
    carry = layer.initial_carry(params, B)
    for t in range(T):
        outputs, carry = step(inputs()[t], carry, resets[t])
        # float32: a product of one step may be summed in another order than that of seven
        np.testing.assert_allclose(outputs, whole[t], atol=1e-6)
    for a, b in zip(jax.tree.leaves(carry), jax.tree.leaves(last), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_steps_of_a_language_model_read_ids():
    model = jaxrnn.build_language_model(jaxrnn.ModelConfig(cell="gru", hidden_size=H), 6)
    params = model.init(jax.random.key(0), 6)
    ids = jax.random.randint(jax.random.key(1), (T, B), 0, 6, jnp.int32)
    whole, _ = model.apply(params, ids, model.initial_carry(params, B))
    carry = model.initial_carry(params, B)
    for t in range(T):
        logits, carry = jaxrnn.step(model, params, ids[t], carry)
        np.testing.assert_allclose(logits, whole[t], atol=1e-6)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (
            ValueError,
            "layer must be causal to run step by step: the outputs of Bidirectional",
            lambda: jaxrnn.step(BOTH, (), jnp.ones((B, D)), ()),
        ),
        (
            ValueError,
            "the outputs of Stack",
            lambda: jaxrnn.step(jaxrnn.stack([BOTH]), (), jnp.ones((B, D)), ()),
        ),
        (
            ValueError,
            r"resets must have shape \(3,\), got \(1, 3\)",
            lambda: jaxrnn.step(
                LAYERS["gru"], (), jnp.ones((B, D)), (), resets=np.zeros((1, B), bool)
            ),
        ),
        (
            TypeError,
            "be a layer, got the",
            lambda: jaxrnn.step(jaxrnn.gru(H), (), jnp.ones((B, D)), ()),
        ),
        (
            ValueError,
            r"inputs must be one step, .* got shape \(7, 3, 4\)",
            lambda: jaxrnn.step(LAYERS["gru"], (), inputs(), ()),
        ),
        (
            TypeError,
            "carry must be a HiddenCarry",
            lambda: jaxrnn.step(
                LAYERS["gru"],
                LAYERS["gru"].init(jax.random.key(0), D),
                jnp.ones((B, D)),
                jaxrnn.lstm(H).initial_carry(B),
            ),
        ),
        (
            ValueError,
            r"carry.hidden must have shape .*\(3, 5\), got \(2, 5\)",
            lambda: jaxrnn.step(
                LAYERS["gru"],
                LAYERS["gru"].init(jax.random.key(0), D),
                jnp.ones((B, D)),
                jaxrnn.gru(H).initial_carry(2),
            ),
        ),
        (
            TypeError,
            "carry of a stack must be a tuple of 2, one entry per layer, got HiddenCarry",
            lambda: jaxrnn.step(
                DEEP,
                DEEP.init(jax.random.key(0), D),
                jnp.ones((B, D)),
                jaxrnn.gru(H).initial_carry(B),
            ),
        ),
        (
            TypeError,
            "carry of bidirectional must be Directions, got HiddenCarry",
            lambda: BOTH.apply(
                BOTH.init(jax.random.key(0), D), inputs(), jaxrnn.gru(H).initial_carry(B)
            ),
        ),
        (TypeError, "be a layer, got the", lambda: jaxrnn.learned_initial_carry(jaxrnn.gru(H))),
        (
            ValueError,
            "layer must have a carry to learn, got Linear",
            lambda: jaxrnn.learned_initial_carry(jaxrnn.linear(2)).init(jax.random.key(0), D),
        ),
    ],
)
def test_bad_arguments_are_named(error, message, call, as_users_run):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("cell", [jaxrnn.slstm(H), jaxrnn.layer_norm_lstm(H)], ids=repr)
def test_no_array_of_params_and_carry_stands_twice(cell):
    """Training donates their buffers, and a buffer can be donated once only."""
    layer = jaxrnn.recurrent(cell)
    params = layer.init(jax.random.key(0), 2)
    leaves = jax.tree.leaves((params, layer.initial_carry(params, 3)))
    buffers = {leaf.unsafe_buffer_pointer() for leaf in leaves}
    assert len(buffers) == len(leaves)
