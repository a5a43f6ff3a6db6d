"""A loss, gradient or carry that is not finite: the step changes nothing, and is counted."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from faults.runs import bits
from marks import in_matrix

import jaxrnn
from jaxrnn.language_model import LanguageModel
from jaxrnn.training import NonFiniteError, Progress
from jaxrnn.training import trainer as trainer_module

V, BAD = 6, 5  # the token that makes a batch go wrong


def root(x, bad):
    """Adds zero, and a derivative that is infinite where a batch is bad."""
    under_root = jnp.where(bad, 0.0 * x.sum(), 1.0)
    return x + jnp.where(bad, jnp.sqrt(under_root), 0.0)


WRONG = {
    "loss is NaN": lambda logits, carry, bad: (jnp.where(bad, jnp.nan, logits), carry),
    "loss is inf": lambda logits, carry, bad: (jnp.where(bad, jnp.inf, logits), carry),
    "gradient is not finite": lambda logits, carry, bad: (root(logits, bad), carry),
    "carry is NaN": lambda logits, carry, bad: (
        logits,
        jax.tree.map(lambda c: jnp.where(bad, jnp.nan, c), carry),
    ),
}


@pytest.fixture(autouse=True)
def optax_promotes():
    with jax.numpy_dtype_promotion("standard"):  # optax's own counters are not strict
        yield


@dataclasses.dataclass(frozen=True)
class WrongModel(LanguageModel):
    """Wrong for every batch that holds the bad token."""

    wrong: str = ""

    def run(self, params, inputs, carry, context):
        logits, carry = super().run(params, inputs, carry, context)
        return WRONG[self.wrong](logits, carry, (inputs == BAD).any())


def make_model(wrong):
    """A wrong model with dropout."""
    config = jaxrnn.ModelConfig(cell="lstm", hidden_size=4, dropout=0.3)
    good = jaxrnn.build_language_model(config, V)
    return WrongModel(good.body, good.embedding, good.output, wrong=wrong)


def make_run(wrong, optimizer="adam", max_skipped=10, bad_batches=(2, 5)):
    """(model, config, ids, state) of an epoch with bad batches, four steps and three rows each."""
    config = jaxrnn.TrainConfig(
        windows="sequential",
        batch_size=3,
        num_steps=4,
        epochs=1,
        optimizer=optimizer,
        learning_rate=0.1,
        max_skipped=max_skipped,
    )
    ids = np.random.default_rng(0).integers(0, BAD, 3 * 4 * 8 + 1).astype(np.int32)
    for batch in bad_batches:
        ids[4 * batch + 1] = BAD
    model = make_model(wrong)
    state = jaxrnn.init_state(model, config.make_optimizer(), V, 3, jax.random.key(0))
    return model, config, ids, state


@pytest.mark.parametrize("optimizer", ["adam", *in_matrix("sgd")])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_step_that_is_not_finite_changes_nothing(wrong, optimizer, survived):
    model, config, ids, state = make_run(wrong, optimizer)
    step = jax.jit(jaxrnn.make_train_step(model, config.make_optimizer()))
    skipped = []
    for batch in range(8):
        rows = np.stack([ids[r * 32 + 4 * batch : r * 32 + 4 * batch + 5] for r in range(3)], 1)
        starts = np.full(3, batch == 0)
        new, metrics = step(state, jaxrnn.Batch(rows[:-1], rows[1:], None, starts))
        assert int(new.step) == batch + 1
        assert bits(new.key) != bits(state.key)
        parts = ("params", "opt_state", "carry") if optimizer == "adam" else ("params", "carry")
        same = [bits(getattr(new, part)) == bits(getattr(state, part)) for part in parts]
        if metrics.skipped:
            skipped.append(batch)
            assert all(same)
            assert (metrics.loss_sum, metrics.weight) == (0, 0)
        else:
            assert not any(same)
            assert metrics.weight == 12
        state = new
    assert skipped == [b for b in range(8) if (ids.reshape(-1)[4 * b : 4 * b + 4] == BAD).any()]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
    survived("non-finite", 1)


def test_skipped_steps_are_counted_and_left_out_of_the_perplexity():
    model, config, ids, state = make_run("loss is NaN")
    *_, (_, progress) = jaxrnn.train(model, config.make_optimizer(), config, ids, state)
    assert (progress.skipped, progress.skipped_in_row) == (2, 0)
    assert progress.tokens == 6 * 12
    assert 0 < progress.nats_per_token < 3


@pytest.mark.parametrize("seconds", [1e-9, 1e9])
def test_training_stops_after_some_in_a_row_and_says_where(seconds, monkeypatch):
    """It does so with one step in a call and with all of them."""
    monkeypatch.setattr(trainer_module, "SECONDS_PER_CALL", seconds)
    model, config, ids, state = make_run("loss is NaN", max_skipped=3, bad_batches=(1, 3, 4, 5))
    steps = jaxrnn.train(model, config.make_optimizer(), config, ids, state)
    seen = []
    with pytest.raises(NonFiniteError, match="3 batches in a row, up to batch 6 of epoch 1"):
        seen.extend(steps)
    state, progress = seen[-1]
    assert (progress.batch, progress.skipped, progress.skipped_in_row) == (6, 4, 3)
    again = jaxrnn.train(model, config.make_optimizer(), config, ids, state, progress)
    *_, (state, progress) = again
    assert (progress.finished_epochs, progress.skipped) == (1, 4)
    assert progress != Progress()


@dataclasses.dataclass(frozen=True)
class FrozenModel(LanguageModel):
    """One whose gradient is zero."""

    def run(self, params, inputs, carry, context):
        return super().run(jax.lax.stop_gradient(params), inputs, carry, context)


UPDATES = {
    "no norm to divide by": lambda: jaxrnn.make_optimizer("sgd", 1.0, 0.0),
    "a rate that float32 does not have": lambda: jaxrnn.make_optimizer("sgd", 1e39, None),
    "a schedule without bounds": lambda: jaxrnn.make_optimizer("sgd", lambda n: 1e30**n, None),
    "a state that overflows": lambda: optax.GradientTransformation(
        lambda params: jnp.ones(3), lambda updates, state, params=None: (updates, 1e30 * state)
    ),
}


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("wrong", UPDATES)
def test_an_update_that_is_not_finite_changes_nothing_and_is_named(wrong, as_users_run, survived):
    """The loss and the gradient are finite; the next loss would not be, for ever."""
    config = jaxrnn.TrainConfig(windows="sequential", batch_size=3, num_steps=4, max_skipped=3)
    model, optimizer = (
        jaxrnn.build_language_model(jaxrnn.ModelConfig(hidden_size=4), V),
        UPDATES[wrong](),
    )
    if wrong == "no norm to divide by":
        model = FrozenModel(model.body, model.embedding, model.output)
    ids = np.random.default_rng(0).integers(0, V, 100).astype(np.int32)
    state = jaxrnn.init_state(model, optimizer, V, 3, jax.random.key(0))
    seen = []
    with pytest.raises(NonFiniteError, match="the update was not finite in 3 batches in a row"):
        seen.extend(jaxrnn.train(model, optimizer, config, ids, state))
    state, _ = seen[-1]
    for leaf in jax.tree.leaves((state.params, state.opt_state)):
        assert np.isfinite(leaf).all()
    survived("non-finite", 1)


def test_a_state_may_begin_with_an_infinite_best_value():
    """A state that begins with inf, as that of optax's reduce_on_plateau does, is accepted."""
    best = optax.stateless(lambda updates, params: updates)
    best = best._replace(init=lambda params: jnp.inf, update=lambda u, s, p=None: (u, s))
    model, optimizer = (
        jaxrnn.build_language_model(jaxrnn.ModelConfig(hidden_size=4), V),
        optax.chain(best, optax.sgd(0.1)),
    )
    step = jax.jit(jaxrnn.make_train_step(model, optimizer))
    rows = np.random.default_rng(0).integers(0, V, (5, 3)).astype(np.int32)
    state = jaxrnn.init_state(model, optimizer, V, 3, jax.random.key(0))
    state = jax.tree.map(jnp.asarray, state)
    _, metrics = step(state, jaxrnn.Batch(rows[:-1], rows[1:], None, np.ones(3, bool)))
    assert not metrics.skipped
