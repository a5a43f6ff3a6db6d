"""JAX's own switches, alone and in pairs: what is computed is the same, or slower, never an error.

Promotion is strict in all tests anyway.
"""

import contextlib
import functools
import itertools
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import in_matrix

import jaxrnn
from jaxrnn.runs.interrupts import deferred_interrupts

V, B, T = 5, 2, 2
SWITCHES = {
    "none": contextlib.nullcontext,
    "disable_jit": jax.disable_jit,
    "debug_nans": lambda: jax.debug_nans(True),
    "enable_x64": lambda: jax.enable_x64(True),
    "promotion as usual": lambda: jax.numpy_dtype_promotion("standard"),
}
PAIRS = list(itertools.combinations(SWITCHES, 2))
IN_CI = [(("none", "enable_x64"), "rnn")]


def outcomes(name):
    """What gradients of unroll, training, scoring and generation give with a cell."""
    config = jaxrnn.ModelConfig(cell=name, hidden_size=3, embedding_size=2, init="uniform")
    model = jaxrnn.build_language_model(config, V)
    training = jaxrnn.TrainConfig(
        windows="sequential", batch_size=B, num_steps=T, epochs=1, optimizer="adam",
        learning_rate=0.01,
    )  # fmt: skip
    ids = np.arange(B * T + B, dtype=np.int32) % V
    state = jaxrnn.init_state(model, training.make_optimizer(), V, B, jax.random.key(0))
    *_, (state, progress) = jaxrnn.train(model, training.make_optimizer(), training, ids, state)
    score = jaxrnn.score(model, state.params, ids)
    text = jaxrnn.generate_ids(model, state.params, ids[:2, None], 2).ids
    return gradients(name), state.params, progress.nats, score.log_probability, text


def gradients(name):
    """Return the gradients of unroll, for ids and for vectors."""
    cell = getattr(jaxrnn, name)(3)
    params = jaxrnn.recurrent(cell).init(jax.random.key(1), V)

    def loss(params, inputs):
        carry, lengths = cell.initial_carry(B, jnp.float32), np.array([T, 1], np.int32)
        outputs, _ = jaxrnn.unroll(cell, params, inputs, carry, lengths=lengths)
        return jnp.sin(outputs).sum()

    ids = np.arange(B * T, dtype=np.int32).reshape(T, B) % V
    vectors = np.eye(V, dtype=np.float32)[ids]
    return jax.jit(lambda params: [jax.grad(loss)(params, x) for x in (ids, vectors)])(params)


@pytest.fixture(scope="module")
def expected():
    return functools.cache(outcomes)


@pytest.mark.parametrize(
    ("pair", "cell"),
    [*IN_CI, *in_matrix(*itertools.product(PAIRS, ("gru", "lstm")))],
    ids=lambda value: " and ".join(value) if isinstance(value, tuple) else value,
)
def test_switches_of_jax_change_no_outcome(pair, cell, expected):
    without = expected(cell)
    with SWITCHES[pair[0]](), SWITCHES[pair[1]]():
        came = outcomes(cell)
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(without), strict=True):
        # Other programs round otherwise: sums of a dozen numbers, and three steps of Adam.
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_gradients_need_no_jit():
    """All else with it is slow: `--matrix` has it."""
    expected = gradients("rnn")
    with jax.disable_jit(), jax.debug_nans(True):
        came = gradients("rnn")
    for a, b in zip(jax.tree.leaves(came), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_debug_nans_raises_where_there_is_one():
    """Whoever switches it on wants to know where, not to have the step skipped."""
    model = jaxrnn.build_language_model(jaxrnn.ModelConfig(hidden_size=3), V)
    params = jax.tree.map(lambda p: p * jnp.nan, model.init(jax.random.key(0), V))
    ids = np.zeros((T, 1), np.int32)
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match="nan"):
        jaxrnn.score(model, params, ids)


def test_a_run_may_train_in_a_thread(tmp_path, as_users_run):
    """Where Python delivers no signals."""
    from jaxrnn.commands.train import train
    from jaxrnn.runs.settings import Settings

    codes = []
    settings = Settings(
        jaxrnn.ModelConfig(hidden_size=4), jaxrnn.TrainConfig(epochs=1), corpus="songs",
        max_chars=1500, held_out_chars=100, sample_length=3, out=tmp_path,
    )  # fmt: skip
    thread = threading.Thread(target=lambda: codes.append(train(settings)))
    thread.start()
    thread.join(120)
    assert codes == [0]
    with deferred_interrupts() as interrupt:
        assert interrupt() is None
