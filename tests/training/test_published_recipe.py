"""The training of the AWD-LSTM (Merity et al. 2018, arXiv:1708.02182), without its dropout.

jaxrnn's against the loop of the published code in PyTorch, which cuts each window at its own
length.
"""

import itertools

import jax
import numpy as np
import pytest
from parallel.runs import IDS, REGULARIZED, STEPS, V, make_config, make_model, make_state, run

from jaxrnn.interop.torch import from_torch, to_torch
from jaxrnn.interop.torch.tensors import to_tensor
from jaxrnn.training import average_of


def batches(config):
    """(offsets, starts, length) of each batch of all epochs."""
    for epoch in range(config.epochs):
        windows = config.plans(len(IDS)).plan(epoch)[:]
        yield from zip(windows.offsets, windows.starts, windows.lengths.tolist(), strict=True)


def published(torch, model, config, steps):
    """(losses, parameters, their average, carry) after some steps by PyTorch."""
    params, ids = make_state(model, config).params, torch.tensor(IDS).long()
    lstm, output = to_torch(model.body, params.body), torch.nn.Linear(8, V)
    lstm.bias_hh_l0.requires_grad_(False)  # ours has one bias
    with torch.no_grad():
        output.weight.copy_(to_tensor(params.output.kernel).T)
        output.bias.copy_(to_tensor(params.output.bias))
    weights = [w for w in (*lstm.parameters(), *output.parameters()) if w.requires_grad]
    averages, losses, scales = [torch.zeros_like(w) for w in weights], [], []
    for step, (offsets, starts, length) in enumerate(itertools.islice(batches(config), steps), 1):
        assert starts.all() or not starts.any()
        rows = torch.stack([ids[o : o + length + 1] for o in offsets], dim=1)
        one_hot = torch.nn.functional.one_hot(rows[:-1], V).float()
        hidden, carry = lstm(one_hot, None if starts.all() else carry)
        carry = tuple(part.detach() for part in carry)
        raw = torch.nn.functional.cross_entropy(output(hidden).flatten(0, 1), rows[1:].flatten())
        losses.append(float(raw.detach()) * rows[1:].numel())
        loss = raw + config.activation_penalty * hidden.pow(2).mean()
        changes = (hidden[1:] - hidden[:-1]).pow(2).mean() * (length - 1) / length  # see losses
        loss = loss + config.temporal_penalty * changes
        grads = torch.autograd.grad(loss, weights)
        norm = torch.sqrt(sum(grad.pow(2).sum() for grad in grads))
        scales.append(min(1.0, config.max_grad_norm / float(norm)))
        rate = config.learning_rate * length / config.num_steps
        with torch.no_grad():
            for weight, grad, average in zip(weights, grads, averages, strict=True):
                weight -= rate * (scales[-1] * grad + config.weight_decay * weight)
                average += (weight - average) / step
    assert min(scales) < 1 == max(scales)  # some are clipped
    current = back(params, lstm, output)
    with torch.no_grad():
        for weight, average in zip(weights, averages, strict=True):
            weight.copy_(average)
    return np.array(losses), current, back(params, lstm, output), carry


def back(params, lstm, output):
    """Parameters of ours."""
    _, body = from_torch(lstm)
    kernel, bias = (array.detach().numpy().copy() for array in (output.weight.T, output.bias))
    return params._replace(body=body, output=params.output._replace(kernel=kernel, bias=bias))


def test_training_is_that_of_the_published_loop():
    torch = pytest.importorskip("torch")
    model, config = make_model("lstm"), make_config(**REGULARIZED)
    lengths = {length for *_, length in itertools.islice(batches(config), STEPS)}
    assert len(lengths) > 5
    losses, params, average, carry = published(torch, model, config, STEPS)
    ours, params_here, state = run(model, config)
    np.testing.assert_allclose(ours, losses, rtol=1e-5)  # 50 steps in float32
    (layer,) = state.carry
    for came, expected in (
        *zip(*map(jax.tree.leaves, (params_here, params)), strict=True),
        *zip(*map(jax.tree.leaves, (average_of(state.opt_state), average)), strict=True),
        (layer.hidden, carry[0][0]),
        (layer.memory, carry[1][0]),
    ):
        expected = np.asarray(expected)
        np.testing.assert_allclose(came, expected, rtol=0, atol=2e-5 * np.abs(expected).max())
