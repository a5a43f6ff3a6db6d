"""Test what docs/recurrence.md says of other libraries and of ours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from marks import in_matrix
from peer_lstms import LSTMS, B, D, H, T, as_examined, haiku_unroll, lenient, swapped

import jaxrnn
from jaxrnn.interop.flax import from_flax

pytestmark = pytest.mark.usefixtures("as_users_run")

CELL = jaxrnn.lstm(H)
LAYER = jaxrnn.recurrent(CELL)
RESETS = np.array([[t == 2, t in (1, 4), t == 0] for t in range(T)])
# What ours do is the same beside each; what the others do changes with their versions only.
EVERY_LIBRARY = pytest.mark.parametrize("library", ["torch", *in_matrix("flax", "keras", "haiku")])


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def random_params(cell):
    params = jaxrnn.recurrent(cell).init(jax.random.key(0), D)
    return jax.tree.map(lambda leaf: jnp.asarray(normal(*leaf.shape, seed=leaf.ndim)), params)


def unroll(cell, params, inputs, **options):
    start = cell.initial_carry(inputs.shape[1], jnp.float32)
    return jaxrnn.unroll(cell, params, jnp.asarray(inputs), start, **options)


@EVERY_LIBRARY
def test_an_empty_batch_runs_as_in_all_others(library):
    params, inputs = random_params(CELL), np.zeros((T, 0, D), np.float32)
    outputs, carry = LAYER.apply(params, inputs)
    assert carry.memory.shape == (0, H)
    assert outputs.shape == LSTMS[library](inputs).shape == (T, 0, H)


@EVERY_LIBRARY
def test_sequences_without_a_step_are_refused_where_flax_and_haiku_run_them(library):
    inputs = np.zeros((0, B, D), np.float32)
    with pytest.raises(ValueError, match="at least one step and one feature, got"):
        unroll(CELL, random_params(CELL), inputs)
    if library in ("flax", "haiku"):
        assert LSTMS[library](inputs).shape == (0, B, H)
    else:
        with pytest.raises((RuntimeError, IndexError)):
            LSTMS[library](inputs)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32"])
@EVERY_LIBRARY
def test_inputs_of_another_dtype_are_refused_where_jax_libraries_cast_them(library, dtype):
    inputs = np.ones((T, B, D), dtype)
    with pytest.raises(
        (TypeError, ValueError), match=r"cast one of them|token ids must be \[T, B\]"
    ):
        LAYER.apply(random_params(CELL), inputs, CELL.initial_carry(B, jnp.float32))
    if library == "torch":
        with pytest.raises(ValueError, match="does not match weight dtype"):
            LSTMS[library](inputs)
    else:
        assert LSTMS[library](inputs).dtype == jnp.float32


def backward_ports():
    """Return ours, its params, and its reversed run in Flax and in Keras, of a cell of Flax."""
    as_examined("flax", "flax")
    layers = as_examined("keras", "keras").layers
    draw = nnx.initializers.normal(0.5)
    theirs = nnx.SimpleCell(D, H, rngs=nnx.Rngs(0), kernel_init=draw, recurrent_kernel_init=draw)
    layer, params = from_flax(theirs)
    of_keras = layers.SimpleRNN(H, go_backwards=True, return_sequences=True, return_state=True)
    of_keras.build((None, None, D))
    of_keras.set_weights([np.asarray(leaf) for leaf in params[:3]])
    return layer.cell, params, nnx.RNN(theirs, reverse=True, return_carry=True), of_keras


@pytest.mark.matrix
def test_a_reversed_run_leaves_outputs_in_place_where_flax_and_keras_turn_them():
    with lenient():
        cell, params, of_flax, of_keras = backward_ports()
        inputs = normal(T, B, D)
        flax_end, in_flax = of_flax(swapped(inputs))
        in_keras, keras_end = of_keras(swapped(inputs))
    outputs, carry = unroll(cell, params, inputs, reverse=True)
    np.testing.assert_array_equal(carry.hidden, outputs[0])
    for end, turned in ((flax_end, in_flax), (keras_end, in_keras)):
        # float32, 5 steps
        np.testing.assert_allclose(swapped(turned)[::-1], outputs, atol=1e-6)
        np.testing.assert_allclose(end, carry.hidden, atol=1e-6)


def with_blocks(array, rearrange):
    """The gate blocks of the last axis as `rearrange` returns them."""
    array = np.asarray(array)
    return np.concatenate(rearrange(*np.split(array, array.shape[-1] // H, axis=-1)), axis=-1)


def haiku_lstm_params(params):
    """The blocks are i, g, f, o, and 1 is added to f at every step."""
    w = with_blocks(np.concatenate([params.w_ih, params.w_hh]), lambda i, f, g, o: [i, g, f, o])
    return {"w": w, "b": with_blocks(params.b_ih, lambda i, f, g, o: [i, g, f - 1, o])}


def haiku_gru_params(params):
    """The blocks are z, r, n, and z is the share of what is new."""
    w_ih, w_hh, b_ih = (with_blocks(x, lambda r, z, n: [-z, r, n]) for x in params[:3])
    return {"w_i": w_ih, "w_h": w_hh, "b": b_ih}


def test_an_lstm_of_haiku_has_other_blocks_and_adds_one_to_the_forget_gate():
    params, inputs = random_params(CELL), normal(T, B, D)
    run = haiku_unroll(lambda hk: hk.LSTM(H))
    with lenient():
        expected, state = run.apply({"lstm/linear": haiku_lstm_params(params)}, inputs)
    outputs, carry = unroll(CELL, params, inputs)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    np.testing.assert_allclose(carry.memory, state.cell, atol=1e-5)


@pytest.mark.matrix
def test_cells_of_equinox_have_our_blocks():
    eqx = as_examined("equinox", "equinox")
    key, x, hidden, memory = jax.random.key(0), normal(D), normal(H), normal(H, seed=1)
    params = random_params(CELL)
    own = (params.w_ih.T, params.w_hh.T, params.b_ih)
    cell = eqx.tree_at(
        lambda cell: (cell.weight_ih, cell.weight_hh, cell.bias),
        eqx.nn.LSTMCell(D, H, key=key),
        own,
    )
    start = jaxrnn.LSTMCarry(jnp.asarray(hidden[None]), jnp.asarray(memory[None]))
    _, end = jaxrnn.unroll(CELL, params, jnp.asarray(x[None, None]), start)
    for came, expected in zip(end, cell(x, (hidden, memory)), strict=True):
        np.testing.assert_allclose(came[0], expected, atol=1e-6)  # one step

    ours = jaxrnn.gru(H)
    params = random_params(ours)
    b_n = params.b_hh[2 * H :]  # the one hidden bias that Equinox has
    params = params._replace(b_hh=jnp.zeros_like(params.b_hh).at[2 * H :].set(b_n))
    cell = eqx.tree_at(
        lambda cell: (cell.weight_ih, cell.weight_hh, cell.bias, cell.bias_n),
        eqx.nn.GRUCell(D, H, key=key),
        (params.w_ih.T, params.w_hh.T, params.b_ih, b_n),
    )
    _, end = jaxrnn.unroll(
        ours, params, jnp.asarray(x[None, None]), jaxrnn.HiddenCarry(start.hidden)
    )
    np.testing.assert_allclose(end.hidden[0], cell(x, hidden), atol=1e-6)


def test_a_gru_of_haiku_has_other_blocks_and_turns_the_update_gate():
    cell = jaxrnn.gru(H, reset_after=False)
    params, inputs = random_params(cell), normal(T, B, D)
    run = haiku_unroll(lambda hk: hk.GRU(H))
    with lenient():
        expected, _ = run.apply({"gru": haiku_gru_params(params)}, inputs)
    np.testing.assert_allclose(unroll(cell, params, inputs)[0], expected, atol=1e-5)


@pytest.mark.parametrize("reverse", [False, True])
def test_haiku_is_given_resets_one_step_earlier_going_backward(reverse):
    params, inputs = random_params(CELL), normal(T, B, D)
    run = haiku_unroll(lambda hk: hk.ResetCore(hk.LSTM(H)), reverse=reverse)
    shifted = np.concatenate([RESETS[1:], np.zeros_like(RESETS[:1])])
    outputs, _ = unroll(CELL, params, inputs, resets=RESETS, reverse=reverse)
    with lenient():
        own = {"lstm/linear": haiku_lstm_params(params)}
        expected, _ = run.apply(own, (inputs, shifted if reverse else RESETS))
        unshifted, _ = run.apply(own, (inputs, RESETS))
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    assert np.allclose(outputs, unshifted, atol=1e-2) != reverse


@pytest.mark.matrix
def test_lengths_out_of_range_are_refused_where_flax_reads_on():
    as_examined("flax", "flax")
    inputs = normal(T, 1, D)
    with pytest.raises(ValueError, match=r"lengths must lie in 0\.\.5, got 9"):
        unroll(CELL, random_params(CELL), inputs, lengths=np.array([9]))
    over_time = nnx.RNN(nnx.SimpleCell(D, H, rngs=nnx.Rngs(0)), return_carry=True)
    with lenient():
        ends = [over_time(swapped(inputs), seq_lengths=jnp.array([n]))[0] for n in (9, T)]
    np.testing.assert_array_equal(*ends)


def test_empty_sequences_and_any_order_are_what_pytorch_refuses():
    torch = as_examined("torch", "torch")
    pack = torch.nn.utils.rnn.pack_padded_sequence
    inputs, params = normal(T, B, D), random_params(CELL)
    outputs, _ = unroll(CELL, params, inputs, lengths=np.array([2, 0, 5]))
    assert outputs[1, 0].any()
    with pytest.raises(RuntimeError, match="Length of all samples has to be greater than 0"):
        pack(torch.tensor(inputs), torch.tensor([2, 0, 5]), enforce_sorted=False)
    with pytest.raises(RuntimeError, match="must be sorted in decreasing order"):
        pack(torch.tensor(inputs), torch.tensor([2, 1, 5]))


def biases_of(library):
    """Return the biases of a new LSTM: those of the forget gate, and the others."""
    if library == "torch":
        own = as_examined("torch", "torch").nn.LSTM(D, 64)
        biases = np.stack([own.bias_ih_l0.detach(), own.bias_hh_l0.detach()])
    elif library == "equinox":
        eqx = as_examined("equinox", "equinox")
        biases = eqx.nn.LSTMCell(D, 64, key=jax.random.key(0)).bias
    elif library == "flax":
        as_examined("flax", "flax")
        biases = nnx.OptimizedLSTMCell(D, 64, rngs=nnx.Rngs(0)).dense_h.bias[...]
    elif library == "keras":
        layer = as_examined("keras", "keras").layers.LSTM(64)
        layer.build((None, None, D))
        biases = layer.cell.bias.value
    else:
        run = haiku_unroll(lambda hk: hk.LSTM(64))
        biases = run.init(jax.random.key(0), jnp.zeros((1, 1, D)))["lstm/linear"]["b"]
        biases = np.concatenate([biases[:64], biases[128:192], biases[64:128], biases[192:]])
    i, f, g, o = np.split(np.asarray(biases), 4, axis=-1)
    return f, np.stack([i, g, o])


@pytest.mark.parametrize("library", ["torch", *in_matrix("flax", "keras", "haiku", "equinox")])
def test_biases_begin_uniform_as_those_of_pytorch_where_others_begin_with_zeros(library):
    bound = 1 / np.sqrt(64)
    own = jaxrnn.recurrent(jaxrnn.lstm(64)).init(jax.random.key(0), D).b_ih
    with lenient():
        forget, others = biases_of(library)
    if library in ("torch", "equinox"):
        for biases in (own, forget, others):
            assert 0.9 * bound < np.abs(biases).max() <= bound
    else:
        assert (np.asarray(others) == 0).all()
        assert (np.asarray(forget) == (1 if library == "keras" else 0)).all()


def test_pytorch_adds_two_biases_that_have_one_gradient():
    torch = as_examined("torch", "torch")
    module = torch.nn.LSTM(D, H)
    module(torch.tensor(normal(T, B, D)))[0].sum().backward()
    assert module.bias_ih_l0.grad.abs().min() > 0
    assert torch.equal(module.bias_ih_l0.grad, module.bias_hh_l0.grad)
    assert CELL.hidden_bias is False
