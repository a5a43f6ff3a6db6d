"""Layers: what they compute, how they nest, what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn

T, B, D, H = 6, 4, 3, 5
LENGTHS = jnp.array([6, 0, 2, 5])
CELLS = {"rnn": jaxrnn.rnn(H), "gru": jaxrnn.gru(H), "lstm": jaxrnn.lstm(H)}


def inputs():
    return jax.random.normal(jax.random.key(9), (T, B, D))


def run(layer, data, seed=0, **when):
    params = layer.init(jax.random.key(seed), data.shape[-1])
    outputs, carry = layer.apply(params, data, layer.initial_carry(params, data.shape[1]), **when)
    return params, outputs, carry


def test_a_deep_bidirectional_stack_nests_both_ways():
    layer = jaxrnn.recurrent(jaxrnn.gru(H))
    deep = jaxrnn.stack([jaxrnn.bidirectional(layer), jaxrnn.bidirectional(layer)])
    also = jaxrnn.bidirectional(jaxrnn.stack([layer, layer]))
    for nested in (deep, also):
        assert nested.output_size(D) == 2 * H
        assert not nested.causal
        assert run(nested, inputs())[1].shape == (T, B, 2 * H)


def test_causal_means_that_no_output_depends_on_a_later_input():
    later = inputs().at[4:].set(7.0)
    for layer in (
        jaxrnn.stack([jaxrnn.recurrent(jaxrnn.lstm(H)), jaxrnn.linear(2)]),
        jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.lstm(H))),
    ):
        same = np.array_equal(run(layer, inputs())[1][:4], run(layer, later)[1][:4])
        assert same == layer.causal


@pytest.mark.parametrize("name", CELLS)
def test_the_number_of_parameters_does_not_depend_on_the_number_of_steps(name):
    layer = jaxrnn.stack([jaxrnn.recurrent(CELLS[name]), jaxrnn.linear(2)])
    gates = len(CELLS[name].gates) * H
    biases = 2 if name == "gru" else 1
    expected = D * gates + H * gates + biases * gates + H * 2 + 2
    for num_steps in (1, 50):
        params, outputs, _ = run(layer, jnp.ones((num_steps, B, D)))
        assert outputs.shape[0] == num_steps
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == expected


def test_resets_go_back_to_a_given_carry_of_the_whole_stack():
    layer = jaxrnn.stack([jaxrnn.recurrent(jaxrnn.gru(H)), jaxrnn.recurrent(jaxrnn.lstm(H))])
    params = layer.init(jax.random.key(0), D)
    zero = layer.initial_carry(params, B)
    ones = jax.tree.map(jnp.ones_like, zero)
    everywhere = jnp.zeros((T, B), bool).at[3].set(True)
    outputs, _ = layer.apply(params, inputs(), zero, resets=everywhere, reset_carry=ones)
    anew, _ = layer.apply(params, inputs()[3:], ones)
    np.testing.assert_allclose(outputs[3:], anew, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, bool])
def test_inputs_of_a_linear_layer_are_not_counts(dtype, as_users_run):
    """Its weights would be rounded to integers like them: to zero."""
    layer = jaxrnn.linear(7)
    params = layer.init(jax.random.key(0), D)
    with pytest.raises(TypeError, match="inputs of a linear layer must be floats"):
        layer.apply(params, np.ones((T, B, D), dtype))


def test_linear_and_embedding_against_numpy():
    params, outputs, carry = run(jaxrnn.linear(7), inputs())
    np.testing.assert_allclose(outputs, inputs() @ params.kernel + params.bias[None, None])
    assert carry == ()
    layer = jaxrnn.embedding(4)
    table = layer.init(jax.random.key(0), 10)
    ids = jnp.array([[1, 9], [0, 1]])
    vectors, _ = layer.apply(table, ids, ())
    np.testing.assert_array_equal(vectors, np.asarray(table)[np.asarray(ids)])
    with pytest.raises(ValueError, match=r"inputs must lie in 0\.\.9, got 10"):
        layer.apply(table, ids.at[0, 0].set(10), ())
    assert np.isnan(jax.jit(layer.apply)(table, ids.at[0, 0].set(10), ())[0][0, 0]).all()


def test_padding_reaches_neither_outputs_nor_gradients_of_any_layer():
    layer = jaxrnn.stack([jaxrnn.linear(3), jaxrnn.recurrent(jaxrnn.gru(H)), jaxrnn.linear(2)])
    params = layer.init(jax.random.key(0), D)
    padding = np.arange(T)[:, None, None] >= np.array(LENGTHS)[None, :, None]

    def loss(params, data):
        outputs, _ = layer.apply(params, data, layer.initial_carry(params, B), lengths=LENGTHS)
        return jnp.sin(outputs).sum(), outputs

    (grads, d_inputs), outputs = jax.grad(loss, argnums=(0, 1), has_aux=True)(
        params, jnp.where(padding, jnp.nan, inputs())
    )
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
    assert not np.where(padding, d_inputs, 0).any()
    assert not np.where(padding, outputs, 0).any()
    table = jaxrnn.embedding(2).init(jax.random.key(0), 4)
    ids = jnp.where(jnp.asarray(padding[..., 0]), -1, 3)
    vectors, _ = jaxrnn.embedding(2).apply(table, ids, (), lengths=LENGTHS)
    assert not np.where(padding, vectors, 0).any()


def test_a_layer_refuses_a_keyword_that_it_does_not_know():
    for layer in (jaxrnn.linear(2), jaxrnn.recurrent(jaxrnn.rnn(H)), jaxrnn.embedding(2)):
        params = layer.init(jax.random.key(0), D)
        with pytest.raises(TypeError, match="lenghts"):
            layer.apply(params, inputs(), layer.initial_carry(params, B), lenghts=LENGTHS)


def test_initialisers_are_what_their_names_say():
    cell = jaxrnn.gru(64)
    draw = {
        name: jaxrnn.recurrent(cell, kernel_init=name, bias_init="zeros").init(
            jax.random.key(0), 200
        )
        for name in ("normal", "uniform", "orthogonal")
    }
    assert np.std(draw["normal"].w_ih) == pytest.approx(0.01, rel=0.02)  # of 38,400 draws
    bound = 64**-0.5
    assert bound * 0.99 < np.abs(draw["uniform"].w_hh).max() <= bound
    for block in np.split(draw["orthogonal"].w_hh, 3, axis=1):
        np.testing.assert_allclose(block @ block.T, np.eye(64), atol=1e-5)
    assert not any(params.b_ih.any() for params in draw.values())
    custom = jaxrnn.recurrent(cell, kernel_init=jax.nn.initializers.ones)
    assert (custom.init(jax.random.key(0), 2).w_ih == 1).all()


def test_forget_gates_begin_open():
    bias = jaxrnn.recurrent(jaxrnn.lstm(64), forget_gate_bias=2).init(jax.random.key(0), 3).b_ih
    i, f, g, o = np.split(np.asarray(bias), 4)
    assert (f == 2).all()
    others = np.concatenate([i, g, o])
    assert 0.1 < np.abs(others).max() <= 64**-0.5  # uniform in +-1/sqrt(H)


def test_recurrent_weights_have_an_initialiser_of_their_own_and_heads_their_own_scale():
    def draw(cell, **options):
        return jaxrnn.recurrent(cell, **options).init(jax.random.key(0), 3)

    params = draw(jaxrnn.gru(64), kernel_init="zeros", recurrent_init="orthogonal")
    assert not params.w_ih.any()
    for block in np.split(params.w_hh, 3, axis=1):
        np.testing.assert_allclose(block @ block.T, np.eye(64), atol=1e-5)
    heads = draw(jaxrnn.rnn(64), num_heads=16).w_hh.blocks
    assert 0.4 < np.abs(heads).max() <= 0.5  # uniform in +-1/sqrt(4)


@pytest.mark.parametrize(
    ("error", "message", "make"),
    [
        (ValueError, "normal", lambda: jaxrnn.recurrent(jaxrnn.rnn(2), kernel_init="xavier")),
        (TypeError, "cell must be a Cell", lambda: jaxrnn.recurrent("lstm")),
        (
            ValueError,
            "forget_gate_bias needs a cell with a forget gate, got gru",
            lambda: jaxrnn.recurrent(jaxrnn.gru(4), forget_gate_bias=1),
        ),
        (ValueError, "at least one Layer", lambda: jaxrnn.stack([])),
        (TypeError, "be a layer, got the", lambda: jaxrnn.stack([jaxrnn.rnn(2)])),
        (TypeError, "be a layer, got the", lambda: jaxrnn.bidirectional(jaxrnn.rnn(2))),
        (ValueError, "output_size must be at least 1", lambda: jaxrnn.linear(0)),
        (TypeError, "size must be an integer", lambda: jaxrnn.embedding(1.5)),
    ],
)
def test_bad_arguments_are_named(error, message, make, as_users_run):
    with pytest.raises(error, match=message):
        make()


def test_a_linear_layer_needs_time_and_batch():
    layer = jaxrnn.linear(4)
    params = layer.init(jax.random.key(0), 3)
    with pytest.raises(ValueError, match=r"must be \[T, B, D\], got \(5, 3\)"):
        layer.apply(params, jnp.ones((5, 3)))
    for name in ("identity", "orthogonal"):
        with pytest.raises(ValueError, match=f'bias_init must not be "{name}", which is a matrix'):
            jaxrnn.linear(4, bias_init=name)
