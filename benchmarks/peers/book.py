"""The book's own loops in PyTorch: an RNN from scratch, its training and its greedy prediction.

Rewritten after "Dive into Deep Learning" (the chapter on RNNs from scratch): one-hot rows, a Python
loop over time with three products per step, and clipping and SGD by hand, batch after batch.
"""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np

Tensors = list[Any]


def init_params(vocab_size: int, hidden_size: int) -> Tensors:
    """Draw weights from a normal distribution of deviation 0.01, with zero biases."""
    import torch

    def normal(*shape: int) -> Any:
        return torch.normal(0, 0.01, size=shape).requires_grad_()

    def zeros(size: int) -> Any:
        return torch.zeros(size, requires_grad=True)

    return [
        normal(vocab_size, hidden_size),
        normal(hidden_size, hidden_size),
        zeros(hidden_size),
        normal(hidden_size, vocab_size),
        zeros(vocab_size),
    ]


def rnn(inputs: Tensors, hidden: Any, params: Tensors) -> tuple[Tensors, Any]:
    """Return the logits `[B, V]` of each step, and the hidden state after the last."""
    import torch

    w_xh, w_hh, b_h, w_hq, b_q = params
    outputs = []
    for x in inputs:
        hidden = torch.tanh(x @ w_xh + hidden @ w_hh + b_h)
        outputs.append(hidden @ w_hq + b_q)
    return outputs, hidden


def one_hot_steps(ids: Any, vocab_size: int) -> Tensors:
    """Convert ids `[B, T]` to T one-hot matrices `[B, V]`."""
    import torch

    return [torch.nn.functional.one_hot(column, vocab_size).float() for column in ids.T]


def random_batches(ids: Any, batch_size: int, num_steps: int) -> Iterator[tuple[Any, Any]]:
    """Yield windows in random order as (inputs, targets), `[B, T]` each."""
    import torch

    starts = list(range(0, (len(ids) - 1) // num_steps * num_steps, num_steps))
    random.shuffle(starts)
    for first in range(0, len(starts) - batch_size + 1, batch_size):
        rows = starts[first : first + batch_size]
        yield (
            torch.stack([ids[s : s + num_steps] for s in rows]),
            torch.stack([ids[s + 1 : s + num_steps + 1] for s in rows]),
        )


def sequential_batches(ids: Any, batch_size: int, num_steps: int) -> Iterator[tuple[Any, Any]]:
    """Yield consecutive windows of B parts of the text as (inputs, targets), `[B, T]` each."""
    length = len(ids) // batch_size
    rows = ids[: batch_size * length].reshape(batch_size, length)
    for first in range(0, (length - 1) // num_steps * num_steps, num_steps):
        yield rows[:, first : first + num_steps], rows[:, first + 1 : first + num_steps + 1]


def train_epoch(
    params: Tensors,
    ids: Any,
    vocab_size: int,
    windows: str,
    batch_size: int = 32,
    num_steps: int = 35,
    learning_rate: float = 100.0,
    max_grad_norm: float = 0.01,
) -> tuple[float, int]:
    """Make one pass over the text, and return its (nats, tokens)."""
    import torch

    batches = random_batches if windows == "random" else sequential_batches
    hidden, nats, tokens = None, 0.0, 0
    for inputs, targets in batches(ids, batch_size, num_steps):
        if windows == "random" or hidden is None:
            hidden = torch.zeros(batch_size, params[1].shape[0])
        else:
            hidden = hidden.detach()
        outputs, hidden = rnn(one_hot_steps(inputs, vocab_size), hidden, params)
        loss = torch.nn.functional.cross_entropy(torch.cat(outputs), targets.T.reshape(-1))
        for param in params:
            param.grad = None
        loss.backward()
        norm = sum((param.grad**2).sum().item() for param in params) ** 0.5
        with torch.no_grad():
            for param in params:
                clipped = param.grad * min(1.0, max_grad_norm / norm)
                param -= learning_rate * clipped
        nats += loss.item() * targets.numel()
        tokens += targets.numel()
    return nats, tokens


def predict(params: Tensors, prompt: list[int], num_tokens: int, vocab_size: int) -> list[int]:
    """Return the greedy continuation of a prompt, one step at a time."""
    import torch

    with torch.no_grad():
        hidden = torch.zeros(1, params[1].shape[0])
        ids = list(prompt)
        for step in range(len(prompt) + num_tokens - 1):
            column = torch.from_numpy(np.array([[ids[step]]]))
            outputs, hidden = rnn(one_hot_steps(column, vocab_size), hidden, params)
            if step >= len(prompt) - 1:
                ids.append(int(outputs[0].argmax(dim=1).item()))
    return ids[len(prompt) :]
