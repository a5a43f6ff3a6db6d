"""Bad input that JAX and NumPy would accept, or report obscurely, is named in an error."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrnn
from jaxrnn.runs import Checkpoints

V, B, H = 7, 2, 4
CELL = jaxrnn.lstm(H)
LAYER = jaxrnn.recurrent(CELL)
PARAMS = LAYER.init(jax.random.key(0), 3)
CARRY = CELL.initial_carry(B, jnp.float32)
X = jnp.ones((5, B, 3))
MODEL = jaxrnn.build_language_model(jaxrnn.ModelConfig(hidden_size=H), V)
MODEL_PARAMS = MODEL.init(jax.random.key(0), V)
IDS = np.zeros((3, B), np.int32)
LOGITS = jnp.zeros((3, B, V))


def ids(*values, dtype=np.int32):
    return np.array(values, dtype)


def unroll(inputs=X, carry=CARRY, **how):
    return jaxrnn.unroll(CELL, PARAMS, inputs, carry, **how)


def predict(inputs):
    return MODEL.apply(MODEL_PARAMS, inputs, MODEL.initial_carry(MODEL_PARAMS, B))


def sample(prompt=IDS, num_tokens=3, key=None, **how):
    sampling = jaxrnn.Sampling(**how)
    return jaxrnn.generate_ids(MODEL, MODEL_PARAMS, prompt, num_tokens, sampling=sampling, key=key)


KEY = jax.random.key(0)


def nats(targets, mask=None):
    return jaxrnn.losses.cross_entropy(LOGITS, jaxrnn.Batch(None, targets, mask))


CASES = {
    "target past the vocabulary": (
        lambda: nats(np.full((3, B), 99)), ValueError, "targets.*0..6.*99"),
    "target of -1": (
        lambda: nats(np.full((3, B), -1)), ValueError, "targets.*0..6.*-1"),
    "targets of floats": (
        lambda: nats(np.zeros((3, B))), TypeError, "targets.*integers"),
    "mask of another shape": (
        lambda: nats(IDS, np.ones((3, 1), bool)), ValueError, "mask"),
    "mask of integers": (
        lambda: nats(IDS, np.ones((3, B), int)), TypeError, "mask.*bool"),
    "token past the vocabulary": (
        lambda: predict(np.full((3, B), 99)), ValueError, "0..6.*99"),
    "token of -1": (
        lambda: predict(np.full((3, B), -1)), ValueError, "0..6.*-1"),
    "carry of another batch": (
        lambda: unroll(carry=CELL.initial_carry(B + 1, jnp.float32)), ValueError, "carry"),
    "carry of another dtype": (
        lambda: unroll(carry=CELL.initial_carry(B, jnp.bfloat16)), TypeError, "carry"),
    "inputs of another width": (
        lambda: unroll(jnp.ones((5, B, 9))), ValueError, "inputs"),
    "inputs of bools": (lambda: unroll(jnp.ones((5, B, 3), bool)), TypeError, "inputs"),
    "inputs without a batch": (lambda: unroll(jnp.ones((5,))), ValueError, "inputs"),
    "length past the end": (lambda: unroll(lengths=ids(5, 6)), ValueError, "lengths.*0..5.*6"),
    "length below 0": (lambda: unroll(lengths=ids(-1, 2)), ValueError, "lengths.*-1"),
    "lengths of floats": (lambda: unroll(lengths=np.ones(B)), TypeError, "lengths"),
    "lengths of another batch": (lambda: unroll(lengths=ids(1, 2, 3)), ValueError, "lengths"),
    "resets of another shape": (
        lambda: unroll(resets=np.zeros((B, 5), bool)), ValueError, "resets"),
    "resets of integers": (lambda: unroll(resets=np.zeros((5, B), int)), TypeError, "resets"),
    "unknown implementation": (
        lambda: unroll(implementation="cuda"), ValueError, "implementation.*'cuda'"),
    "remat_every of 0": (lambda: unroll(remat_every=0), ValueError, "remat_every"),
    "scan_unroll of a float": (lambda: unroll(scan_unroll=2.5), TypeError, "scan_unroll"),
    "dtype of integers": (lambda: unroll(dtype=jnp.int32), (TypeError, ValueError), "dtype"),
    "hidden size of 0": (lambda: jaxrnn.gru(0), ValueError, "hidden_size"),
    "hidden size of True": (lambda: jaxrnn.gru(True), TypeError, "hidden_size"),
    "temperature below 0": (
        lambda: sample(temperature=-1.0, key=KEY), ValueError, "temperature"),
    "temperature of NaN": (
        lambda: sample(temperature=np.nan, key=KEY), ValueError, "temperature"),
    "temperature without a key": (lambda: sample(temperature=1.0), ValueError, "key"),
    "top_k past the vocabulary": (
        lambda: sample(temperature=1.0, top_k=99, key=KEY), ValueError, "top_k.*7"),
    "top_k of 0": (lambda: sample(temperature=1.0, top_k=0, key=KEY), ValueError, "top_k"),
    "top_p above 1": (lambda: sample(temperature=1.0, top_p=2.0, key=KEY), ValueError, "top_p"),
    "prompt of no tokens": (
        lambda: sample(np.zeros((0, B), np.int32)), ValueError, "prompt"),
    "prompt past the vocabulary": (lambda: sample(np.full((2, B), 99)), ValueError, "99"),
    "num_tokens of 0": (lambda: sample(num_tokens=0), ValueError, "num_tokens"),
    "seed of 2**40": (lambda: jaxrnn.TrainConfig(seed=2**40), ValueError, "seed.*2\\*\\*32"),
    "seed of a float": (lambda: jaxrnn.TrainConfig(seed=1.0), TypeError, "seed"),
    "learning rate of NaN": (
        lambda: jaxrnn.TrainConfig(learning_rate=np.nan), ValueError, "learning_rate"),
    "gradient norm below 0": (
        lambda: jaxrnn.TrainConfig(max_grad_norm=-1.0), ValueError, "max_grad_norm"),
    "unknown optimizer": (
        lambda: jaxrnn.TrainConfig(optimizer="sdg"), ValueError, "optimizer.*'sdg'"),
    "max_skipped of 0": (lambda: jaxrnn.TrainConfig(max_skipped=0), ValueError, "max_skipped"),
    "unknown windows": (lambda: jaxrnn.TrainConfig(windows="all"), ValueError, "windows.*'all'"),
    "unknown cell": (lambda: jaxrnn.ModelConfig(cell="LSTM"), ValueError, "cell.*'LSTM'"),
    "dropout of 1.5": (lambda: jaxrnn.ModelConfig(dropout=1.5), ValueError, "dropout"),
    "unknown character": (
        lambda: jaxrnn.Vocabulary.of("ab").encode("abc"), ValueError, "'c'"),
    "id that no token has": (
        lambda: jaxrnn.Vocabulary.of("ab").decode(ids(0, 9)), ValueError, "9"),
    "score of one token": (
        lambda: jaxrnn.score(MODEL, MODEL_PARAMS, ids(1)), ValueError, "ids.*2|two"),
    "run that is none": (
        lambda: Checkpoints("/nowhere", read_only=True), ValueError, "holds no checkpoints"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_named(case, as_users_run, survived):
    call, error, message = CASES[case]
    with pytest.raises(error, match=message):
        call()
    survived("bad input", 1)
