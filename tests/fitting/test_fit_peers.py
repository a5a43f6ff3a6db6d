"""Training of two models that PyTorch has no module for, against its loops: losses to 1 %."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from fitting.torch_adam import losses_of_torch
from test_tutorials import blocks_of

import jaxrnn

torch = pytest.importorskip("torch")
T, B, D = 6, 16, 4


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def to_linear(params):
    module = torch.nn.Linear(*params.kernel.shape)
    with torch.no_grad():
        module.weight.copy_(torch.tensor(np.array(params.kernel.T)))
        module.bias.copy_(torch.tensor(np.array(params.bias)))
    return module


def to_module(layer, params):
    from jaxrnn.interop.torch import to_torch

    return to_torch(layer, params)


def one_hot(ids, size):
    return torch.nn.functional.one_hot(torch.tensor(np.asarray(ids, np.int64)), size).float()


def test_an_encoder_and_its_decoder(rng):
    """The model of the tutorial, on the same batches."""
    session = {}
    exec(blocks_of("tutorials/translate.md")[1], session)  # the class
    writer = jaxrnn.stack([jaxrnn.recurrent(jaxrnn.gru(8)), jaxrnn.linear(10)])
    model = session["EncoderDecoder"](jaxrnn.recurrent(jaxrnn.gru(8)), writer)
    params = model.init(jax.random.key(0), 11)
    digits = rng.integers(0, 10, (T, B))
    given = np.concatenate([np.full((1, B), 10), digits[::-1][:-1]])
    inputs = np.concatenate([digits, given])
    targets = np.concatenate([0 * digits, digits[::-1]])
    mask = np.arange(2 * T)[:, None] >= T + np.zeros((1, B), int)
    encoder = to_module(model.encoder, params[0])
    decoder, head = to_module(writer.layers[0], params[1][0]), to_linear(params[1][1])

    def loss():
        _, memory = encoder(one_hot(digits, 11))
        outputs, _ = decoder(one_hot(given, 11), memory)
        wanted = torch.tensor(digits[::-1].copy())
        return torch.nn.functional.cross_entropy(head(outputs).flatten(0, 1), wanted.flatten())

    expected = losses_of_torch([encoder, decoder, head], loss, 15)
    _, history = jaxrnn.fit(
        model, optax.adam(0.01), inputs, targets, mask=mask, params=params, epochs=15,
        input_size=11, progress=False, key=jax.random.key(1),
    )  # fmt: skip
    assert history.column("loss") == pytest.approx(expected, rel=0.01)


def test_a_policy_with_resets(rng):
    """REINFORCE on given walks; PyTorch's cell starts from zeros where a row is reset."""
    policy = jaxrnn.stack([jaxrnn.recurrent(jaxrnn.gru(8)), jaxrnn.linear(2)])
    params = policy.init(jax.random.key(0), D)
    seen = rng.normal(size=(T, B, D)).astype(np.float32)
    turns = rng.integers(0, 2, (T, B)).astype(np.int32)
    advantages = rng.normal(size=(T, B)).astype(np.float32)
    resets = rng.random((T, B)) < 0.3

    def reinforce(logits, batch):
        chosen, advantages = batch.targets
        surprise = optax.losses.softmax_cross_entropy_with_integer_labels(logits, chosen)
        return jaxrnn.losses.sum_valid(advantages * surprise, batch)

    optimizer = optax.adam(0.01)
    state = jaxrnn.init_state(policy, optimizer, D, B, jax.random.key(0), params)
    step = jax.jit(jaxrnn.make_train_step(policy, optimizer, reinforce))
    batch = jaxrnn.Batch(seen, (turns, jnp.asarray(advantages)), resets=resets)
    found = []
    for _ in range(15):
        state, metrics = step(state, batch)
        found.append(float(metrics.loss_sum) / int(metrics.weight))

    module, head = to_module(policy.layers[0], params[0]), to_linear(params[1])

    def loss():
        hidden, logits = torch.zeros(1, B, 8), []
        for t in range(T):
            hidden = torch.where(torch.tensor(resets[t])[None, :, None], 0.0, hidden)
            outputs, hidden = module(torch.tensor(seen[t : t + 1]), hidden)
            logits.append(head(outputs[0]))
        surprise = torch.nn.functional.cross_entropy(
            torch.cat(logits), torch.tensor(turns.astype(np.int64)).flatten(), reduction="none"
        )
        return (torch.tensor(advantages).flatten() * surprise).mean()

    expected = losses_of_torch([module, head], loss, 15)
    assert found == pytest.approx(expected, rel=0.01, abs=1e-4)
