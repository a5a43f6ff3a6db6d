"""The loss of a language model on a batch, with all logits and with a part at a time."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from marks import in_matrix

import jaxrnn
from jaxrnn.language_model import LanguageModel
from jaxrnn.losses import ActivationPenalty, cross_entropy
from jaxrnn.training import batch_loss, chunked_loss
from jaxrnn.training.batch_loss import loss_of_batch

V = 7


def loss_of_all_logits(inputs, kernel, bias, targets):
    logits = inputs @ kernel + bias[None, None]
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, targets)


@pytest.mark.parametrize("num_steps", [1, 6, 7])
def test_a_loss_in_chunks_is_that_of_all_logits_and_so_are_its_derivatives(
    num_steps, monkeypatch, x64
):
    """With four steps at once: one chunk, two, and two with a step of padding."""
    monkeypatch.setattr(chunked_loss, "LOGITS_AT_ONCE", 4 * 2 * V)
    draw = np.random.default_rng(num_steps).normal
    arrays, direction = (
        [jnp.asarray(draw(size=shape)) for shape in ((num_steps, 2, 3), (3, V), V)]
        for _ in range(2)
    )
    weights = draw(size=(num_steps, 2))
    targets = np.random.default_rng(0).integers(0, V, (num_steps, 2))

    def value_and_derivatives(loss):
        def total(arrays):
            return (loss(*arrays, targets) * weights).sum()

        def along(arrays):
            return jax.jvp(total, (arrays,), (direction,))[1]

        @jax.jit
        def run(arrays):
            return total(arrays), jax.grad(total)(arrays), jax.value_and_grad(along)(arrays)

        return run(arrays)

    came, expected = map(
        value_and_derivatives, (chunked_loss.linear_cross_entropy, loss_of_all_logits)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), came, expected)


def test_a_loss_in_chunks_multiplies_in_the_precision_of_the_inputs(monkeypatch):
    monkeypatch.setattr(chunked_loss, "LOGITS_AT_ONCE", 4 * 2 * V)
    draw = np.random.default_rng(0).normal
    inputs = jnp.asarray(draw(size=(6, 2, 3)), jnp.bfloat16)
    kernel, bias = jnp.asarray(draw(size=(3, V)), jnp.float32), jnp.zeros(V)
    targets = jnp.ones((6, 2), jnp.int32)

    def total(loss, inputs, kernel):
        return loss(inputs, kernel, bias, targets).sum()

    def rounded(inputs, kernel, bias, targets):
        exact = (inputs.astype(jnp.float32), kernel.astype(inputs.dtype).astype(jnp.float32))
        return loss_of_all_logits(*exact, bias, targets)

    value, grads = jax.value_and_grad(
        functools.partial(total, chunked_loss.linear_cross_entropy), (0, 1)
    )(inputs, kernel)
    expected, expected_grads = jax.value_and_grad(functools.partial(total, rounded), (0, 1))(
        inputs, kernel
    )
    assert float(value) == pytest.approx(float(expected), rel=1e-6)
    assert [grad.dtype for grad in grads] == [jnp.bfloat16, jnp.float32]
    for grad, expected in zip(grads, expected_grads, strict=True):  # 2**-8 is bfloat16's rounding
        np.testing.assert_allclose(
            grad.astype(jnp.float32), expected.astype(jnp.float32), rtol=2**-6, atol=2**-8
        )


def test_a_loss_in_chunks_keeps_one_array_of_the_size_of_the_logits():
    num_steps, vocab_size = 32, 2**16  # 2**22 logits in eight chunks
    shapes = [(num_steps, 2, 3), (3, vocab_size), (vocab_size,)]
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    targets = jax.ShapeDtypeStruct((num_steps, 2), jnp.int32)
    megabytes = {}
    for loss in (chunked_loss.linear_cross_entropy, loss_of_all_logits):
        gradient = jax.grad(lambda *arrays, loss=loss: loss(*arrays).sum(), (0, 1, 2))
        memory = jax.jit(gradient).lower(*arrays, targets).compile().memory_analysis()
        megabytes[loss] = memory.temp_size_in_bytes / 2**20
    assert megabytes[chunked_loss.linear_cross_entropy] < 16 + 3 * 2  # and some of a chunk
    assert megabytes[loss_of_all_logits] > 16 * 1.9


class Tempered(LanguageModel):
    """A model whose logits are not those of a linear layer."""

    def run(self, params, inputs, carry, context):
        logits, carry = super().run(params, inputs, carry, context)
        return logits / 2, carry


def test_a_model_with_an_output_of_its_own_gets_all_its_logits(monkeypatch):
    plain = jaxrnn.language_model(V, jaxrnn.recurrent(jaxrnn.gru(4)))
    model = Tempered(**{f.name: getattr(plain, f.name) for f in dataclasses.fields(plain)})
    params = model.init(jax.random.key(0), V)
    ids = np.random.default_rng(0).integers(0, V, (8, 3)).astype(np.int32)
    batch = jaxrnn.Batch(ids[:-1], ids[1:])

    def loss_of(params):
        return loss_of_batch(model, cross_entropy, params, batch, None, None).total

    expected = loss_of(params)
    monkeypatch.setattr(batch_loss, "MANY_LOGITS", 0)
    assert loss_of(params) == expected


PENALTY = ActivationPenalty(2.0, 1.0)


@pytest.mark.parametrize(
    ("tied", "penalty"),
    [(False, None), (True, PENALTY), *in_matrix((True, None), (False, PENALTY))],
)
def test_the_loss_of_a_batch_does_not_depend_on_how_many_logits_there_are(
    tied, penalty, monkeypatch
):
    """With a mask, dropout and rows that start afresh."""
    body, drop = jaxrnn.recurrent(jaxrnn.gru(4)), jaxrnn.dropout(0.5)
    model = jaxrnn.language_model(
        V, body, embedding_size=4, output_dropout=drop, tie_embeddings=tied
    )
    params = model.init(jax.random.key(0), V)
    ids = np.random.default_rng(0).integers(0, V, (8, 3)).astype(np.int32)
    mask = np.random.default_rng(1).random((7, 3)) < 0.7
    batch = jaxrnn.Batch(ids[:-1], np.where(mask, ids[1:], -5), mask, np.zeros(3, bool))
    carry = model.initial_carry(params, 3)

    def loss_of(params):
        key = jax.random.key(1)
        found = loss_of_batch(model, cross_entropy, params, batch, carry, key, penalty)
        assert (found.penalty is None) == (penalty is None)
        return found.total + (0.0 if penalty is None else found.penalty), found

    def value_and_grads():
        return jax.jit(jax.value_and_grad(loss_of, has_aux=True))(params)

    expected = value_and_grads()
    monkeypatch.setattr(batch_loss, "MANY_LOGITS", 0)
    monkeypatch.setattr(chunked_loss, "LOGITS_AT_ONCE", 2 * 3 * V)
    result = value_and_grads()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), result, expected)
