"""The layers as modules of Flax nnx: equal to what they wrap, and at home among its transforms."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint
import pytest
from flax import nnx

import jaxrnn
from jaxrnn.interop.flax import GRU, LSTM, RNN, from_flax

B, T, D, H = 3, 5, 4, 6
LENGTHS = jnp.array([5, 0, 2])
RESETS = jnp.array([[t == 2 for t in range(T)] for _ in range(B)])


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def turn(over_time):
    return jnp.swapaxes(over_time, 0, 1)


def lstm_with_dropout(**options):
    return LSTM(D, H, num_layers=2, dropout_rate=0.5, rngs=nnx.Rngs(0), **options)


def assert_equal(ours, expected):
    assert jax.tree.structure(ours) == jax.tree.structure(expected)
    assert jax.tree.leaves(ours)
    jax.tree.map(np.testing.assert_array_equal, ours, expected)


def deep(layer):
    return jaxrnn.stack([layer, jaxrnn.dropout(0.5), layer])


MODULES = {
    "rnn": (lambda rngs: RNN(D, H, rngs=rngs), jaxrnn.recurrent(jaxrnn.rnn(H))),
    "rnn with relu": (
        lambda rngs: RNN(D, H, activation=jax.nn.relu, rngs=rngs),
        jaxrnn.recurrent(jaxrnn.rnn(H, jax.nn.relu)),
    ),
    "gru that resets before": (
        lambda rngs: GRU(D, H, reset_after=False, rngs=rngs),
        jaxrnn.recurrent(jaxrnn.gru(H, reset_after=False)),
    ),
    "deep gru": (
        lambda rngs: GRU(D, H, num_layers=2, dropout_rate=0.5, deterministic=True, rngs=rngs),
        deep(jaxrnn.recurrent(jaxrnn.gru(H))),
    ),
    "deep rnn both ways": (
        lambda rngs: RNN(D, H, num_layers=2, bidirectional=True, rngs=rngs),
        jaxrnn.stack([jaxrnn.bidirectional(jaxrnn.recurrent(jaxrnn.rnn(H)))] * 2),
    ),
    "lstm with a projection, in bfloat16, rematerialised": (
        lambda rngs: LSTM(D, H, projection_size=2, remat_every=2, dtype=jnp.bfloat16, rngs=rngs),
        jaxrnn.recurrent(jaxrnn.lstm(H), projection_size=2, remat_every=2, dtype=jnp.bfloat16),
    ),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_computes_what_its_layer_does_batch_first(name):
    make, layer = MODULES[name]
    module = make(nnx.Rngs(0))
    params, inputs = module.params(), normal(B, T, D)
    assert_equal(params, layer.init(nnx.Rngs(0).params(), D))
    start = jax.tree.map(lambda leaf: normal(*leaf.shape), layer.initial_carry(params, B))
    when = {"lengths": LENGTHS, "resets": turn(RESETS)}
    expected, expected_carry = layer.apply(params, turn(inputs), start, **when)
    carry, outputs = module(
        inputs, initial_carry=start, seq_lengths=LENGTHS, resets=RESETS, return_carry=True
    )
    assert_equal((outputs, carry), (turn(expected), expected_carry))
    assert jnp.abs(outputs[0]).min() > 0 or name == "rnn with relu"
    # what jax.checkpoint leaves in a program; its outputs are those of any
    assert ("prevent_cse" in str(jax.make_jaxpr(module)(inputs))) == ("rematerialised" in name)


def test_a_module_starts_from_its_initial_carry():
    module, inputs = LSTM(D, H, rngs=nnx.Rngs(0)), normal(B, T, D)
    assert_equal(module.initial_carry(B), jaxrnn.lstm(H).initial_carry(B, jnp.float32))
    assert_equal(module(inputs), module(inputs, initial_carry=module.initial_carry(B)))


@pytest.mark.parametrize(
    ("ours", "theirs"), [(RNN, nnx.SimpleCell), (GRU, nnx.GRUCell), (LSTM, nnx.OptimizedLSTMCell)]
)
def test_with_the_weights_of_flax_a_module_equals_nnx_rnn(ours, theirs):
    draw = nnx.initializers.normal(0.5)  # compiles faster than orthogonal matrices
    inits = {"kernel_init": draw, "recurrent_kernel_init": draw, "bias_init": draw}
    cell = theirs(D, H, rngs=nnx.Rngs(0), **inits)
    module = ours(D, H, rngs=nnx.Rngs(1))
    module.set_params(from_flax(cell)[1])
    inputs = normal(B, T, D)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        expected = nnx.RNN(cell)(inputs)
    np.testing.assert_allclose(module(inputs), expected, atol=1e-5)


def test_token_ids_stand_for_one_hot_rows():
    module, ids = GRU(D, H, rngs=nnx.Rngs(0)), jnp.array([[0, 3, 1], [2, 2, 0]])
    one_hot = jax.nn.one_hot(ids, D)
    np.testing.assert_allclose(module(ids), module(one_hot), atol=1e-6)


def test_a_step_of_an_optimizer_under_jit_is_a_step_of_the_layer():
    module, inputs = LSTM(D, H, rngs=nnx.Rngs(0)), normal(B, T, D)
    layer, before = module.layer, module.params()
    optimizer = nnx.Optimizer(module, optax.sgd(0.1), wrt=nnx.Param)
    num_traces = 0

    @nnx.jit
    def train_step(module, optimizer, inputs):
        nonlocal num_traces
        num_traces += 1
        loss, grads = nnx.value_and_grad(lambda module: (module(inputs) ** 2).sum())(module)
        optimizer.update(module, grads)
        return loss

    def loss_of(params):
        outputs, _ = layer.apply(params, turn(inputs), layer.initial_carry(params, B))
        return (outputs**2).sum()

    loss = train_step(module, optimizer, inputs)
    expected, grads = jax.value_and_grad(loss_of)(before)
    # float32, fused otherwise
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    after = jax.tree.map(lambda param, grad: param - 0.1 * grad, before, grads)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), module.params(), after)
    assert train_step(module, optimizer, inputs) < loss
    assert num_traces == 1


def test_parameters_keep_their_structure_in_the_state():
    module = GRU(D, H, num_layers=2, bidirectional=True, rngs=nnx.Rngs(0))
    state = nnx.state(module, nnx.Param)
    shapes = {path: param.shape for path, param in nnx.to_flat_state(state)}
    assert len(shapes) == 2 * 2 * 4
    assert shapes["weights", 1, "backward", "w_ih"] == (2 * H, 3 * H)
    graph, everything = nnx.split(module)
    merged = nnx.merge(graph, everything)
    assert_equal(merged(normal(B, T, D)), module(normal(B, T, D)))
    assert isinstance(merged.params()[1].backward, jaxrnn.RecurrentParams)


def test_a_module_comes_back_from_a_checkpoint(tmp_path):
    module = lstm_with_dropout()
    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "module", nnx.state(module, nnx.Param))
        checkpointer.wait_until_finished()
        again = LSTM(D, H, num_layers=2, dropout_rate=0.5, rngs=nnx.Rngs(1))
        target = jax.tree.map(jnp.zeros_like, nnx.state(again, nnx.Param))
        nnx.update(again, checkpointer.restore(tmp_path / "module", target))
    assert_equal(again.params(), module.params())


def test_modules_of_equal_arguments_are_one_to_jit():
    first, second = (LSTM(D, H, num_layers=2, rngs=nnx.Rngs(seed)) for seed in range(2))
    assert nnx.graphdef(first) == nnx.graphdef(second)
    assert first.layer == second.layer
    assert nnx.graphdef(first) != nnx.graphdef(LSTM(D, H, rngs=nnx.Rngs(0)))


class Model(nnx.Module):
    """A model of a user, with one of our modules in it."""

    def __init__(self, rngs):
        self.body = lstm_with_dropout()
        self.head = nnx.Linear(H, 2, rngs=rngs)

    def __call__(self, inputs):
        with jax.numpy_rank_promotion("allow"):
            return self.head(self.body(inputs))


def test_train_and_eval_turn_the_dropout_of_a_whole_model_on_and_off():
    model, inputs = Model(nnx.Rngs(0)), normal(B, T, D)
    assert (model(inputs) != model(inputs)).any()  # each call draws anew
    view = nnx.view(model, deterministic=True)
    model.eval()
    body = model.body
    expected, _ = body.layer.apply(body.params(), turn(inputs), body.initial_carry(B))
    assert_equal(body(inputs), turn(expected))
    assert_equal(model(inputs), model(inputs))
    assert_equal(view(inputs), model(inputs))
    model.train()
    assert (model(inputs) != model(inputs)).any()


def test_dropout_draws_its_key_as_that_of_flax_does():
    module, inputs, key = lstm_with_dropout(), normal(B, T, D), jax.random.key(7)
    start = module.initial_carry(B)
    dropped, _ = module.layer.apply(module.params(), turn(inputs), start, key=key)
    assert_equal(module(inputs, rngs=key), turn(dropped))
    same = [module(inputs, rngs=nnx.Rngs(dropout=3)) for _ in range(2)]
    assert_equal(*same)
    assert_equal(module(inputs, rngs=nnx.Rngs(dropout=3).dropout), same[0])
    assert (same[0] != module(inputs, deterministic=True)).any()
    assert_equal(module(inputs, deterministic=True, rngs=key), module(inputs, deterministic=True))

    jitted = nnx.jit(lambda module, inputs: module(inputs))
    assert (jitted(module, inputs) != jitted(module, inputs)).any()  # the stream moves on

    rngs = nnx.Rngs(0)
    first, second = (LSTM(D, H, num_layers=2, dropout_rate=0.5, rngs=rngs) for _ in range(2))
    first(inputs)  # which moves no stream but its own
    assert (first.rngs.count[...], second.rngs.count[...]) == (1, 0)


def test_a_module_streams_as_its_layer():
    module, inputs = GRU(D, H, num_layers=2, rngs=nnx.Rngs(0)), normal(B, T, D)
    params, carry, steps = module.params(), module.initial_carry(B), []
    for t in range(T):
        outputs, carry = jaxrnn.step(module.layer, params, inputs[:, t], carry)
        steps.append(outputs)
    np.testing.assert_allclose(jnp.stack(steps, axis=1), module(inputs), atol=1e-6)


def test_parameters_of_another_layer_are_refused():
    module = LSTM(D, H, rngs=nnx.Rngs(0))
    with pytest.raises(TypeError, match="params must be those of Recurrent"):
        module.set_params(GRU(D, H, rngs=nnx.Rngs(0)).params())
    wider = LSTM(D + 1, H, rngs=nnx.Rngs(0)).params()
    with pytest.raises(ValueError, match=r"params.w_ih must have shape \(4, 24\), got \(5, 24\)"):
        module.set_params(wider)


ARGUMENTS = {
    "in_features must be at least 1, got 0": {"in_features": 0},
    "hidden_size must be at least 1, got 0": {"hidden_features": 0},
    "num_layers must be at least 1, got 0": {"num_layers": 0},
    "dropout_rate must be between 0 and 1, got 1.5": {"num_layers": 2, "dropout_rate": 1.5},
    "dropout_rate drops between layers: num_layers must be at least 2": {"dropout_rate": 0.5},
    "projection_size must be at least 1, got 0": {"projection_size": 0},
}


@pytest.mark.parametrize("text", ARGUMENTS)
def test_arguments_out_of_range_are_refused(text):
    options = {"in_features": D, "hidden_features": H, "rngs": nnx.Rngs(0)} | ARGUMENTS[text]
    with pytest.raises(ValueError, match=f"^{text}$"):
        LSTM(**options)


def test_calls_that_do_not_fit_are_refused(as_users_run):
    module, inputs = LSTM(D, H, rngs=nnx.Rngs(0)), normal(B, T, D)
    cases = {
        r"inputs must be \[B, T, D\] or ids \[B, T\], got shape \(5, 4\)": (inputs[0], {}),
        r"inputs must have D = 4 to match w_ih, got 3": (inputs[:, :, :3], {}),
        r"resets must have shape \(3, 5\), got \(5, 3\)": (inputs, {"resets": turn(RESETS)}),
        r"seq_lengths must have shape \[B\] = \(3,\), got \(2,\)$": (
            inputs,
            {"seq_lengths": LENGTHS[:2]},
        ),
        r"carry.hidden must have shape \(3, 6\), got \(2, 6\)": (
            inputs,
            {"initial_carry": module.initial_carry(2)},
        ),
    }
    for text, (came, options) in cases.items():
        with pytest.raises(ValueError, match=text):
            module(came, **options)
    with pytest.raises(TypeError, match="inputs must be an array, got list"):
        module([[0, 1]])
    with pytest.raises(AttributeError, match="No RngStream named 'dropout' found"):
        LSTM(D, H, num_layers=2, dropout_rate=0.5, rngs=nnx.Rngs(params=0))
