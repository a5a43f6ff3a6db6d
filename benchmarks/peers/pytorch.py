"""The language model of a workload in PyTorch, with `torch.nn.RNN`, `GRU` or `LSTM`."""

from typing import Any

import jax

from benchmarks.peers.own_cells import OWN_CELLS, torch_layer
from benchmarks.workloads import LEARNING_RATE, MAX_GRAD_NORM, Step, Workload, batch_of


def language_model(workload: Workload) -> Any:
    """Make a module from token ids `[T, B]` to logits `[T, B, V]`."""
    import torch

    modules: dict[str, Any] = {
        "rnn": torch.nn.RNN,
        "gru": torch.nn.GRU,
        "lstm": torch.nn.LSTM,
        **{name: torch_layer(own) for name, own in OWN_CELLS.items()},
    }

    class LanguageModel(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            size = workload.embedding_size or workload.vocab_size
            self.embed = (
                torch.nn.Embedding(workload.vocab_size, size) if workload.embedding_size else None
            )
            self.body = modules[workload.cell](size, workload.hidden_size, workload.num_layers)
            self.output = torch.nn.Linear(workload.hidden_size, workload.vocab_size)

        def forward(self, ids: Any, carry: Any = None) -> Any:
            if self.embed is None:
                x = torch.nn.functional.one_hot(ids, workload.vocab_size).float()
            else:
                x = self.embed(ids)
            x, carry = self.body(x, carry)
            return self.output(x), carry

    return LanguageModel()


def device() -> Any:
    """Return the PyTorch device that matches the one JAX computes on."""
    import torch

    on_gpu = jax.default_backend() == "gpu" and torch.cuda.is_available()
    return torch.device("cuda" if on_gpu else "cpu")


def wait() -> None:
    """Wait until PyTorch has finished all queued work."""
    import torch

    if device().type == "cuda":
        torch.cuda.synchronize()


def train_step(workload: Workload, steps_per_call: int = 1, compiled: bool = False) -> Step:
    """Make a step of forward, backward, clipping and SGD, in a Python loop."""
    import torch

    model = language_model(workload).to(device())
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE)
    inputs, targets = (torch.from_numpy(ids).long().to(device()) for ids in batch_of(workload))

    def loss_of(inputs: Any, targets: Any) -> Any:
        logits = model(inputs)[0].reshape(-1, workload.vocab_size)
        return torch.nn.functional.cross_entropy(logits, targets.reshape(-1))

    if compiled:
        torch.compiler.reset()  # or it gives up after eight models
        loss_of = torch.compile(loss_of)

    def step() -> None:
        for _ in range(steps_per_call):
            optimizer.zero_grad()
            loss_of(inputs, targets).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
            optimizer.step()
        wait()

    return step


def forward(workload: Workload, compiled: bool = False) -> Step:
    """Make a step that computes the logits of a batch, without gradients."""
    import torch

    model = language_model(workload).eval().to(device())
    model = torch.compile(model) if compiled else model
    inputs = torch.from_numpy(batch_of(workload)[0]).long().to(device())

    def step() -> None:
        with torch.inference_mode():
            model(inputs)
        wait()

    return step
