"""A regularized language model in PyTorch, and its training, as `experiments.shakespeare` has it.

Dropout that is the same at all steps of a window, weight drop, AdamW with a warm-up and a cosine,
clipping, and an average of the parameters.  It begins with the weights of our model and reads the
same windows.  PyTorch's second bias of an LSTM is redundant: it stays zero, so that both models
have the same parameters to learn.
"""

import functools
import math
from collections.abc import Iterator
from typing import Any

import jaxrnn
from benchmarks.peers.pytorch import device
from benchmarks.timing import measure
from jaxrnn.interop.torch import to_torch
from jaxrnn.interop.torch.tensors import to_tensor
from jaxrnn.layers.recurrent import Recurrent
from jaxrnn.runs.run import Run


def language_model(run: Run) -> Any:
    """Make a module (ids `[T, B]`, carries) -> (logits `[T, B, V]`, carries), one per LSTM."""
    import torch
    from torch.nn import functional

    model, params, config = run.model, run.initial_state().params, run.settings.model
    before, between, after = config.dropout_rates
    body: Any = model.body
    lstms = [
        to_torch(jaxrnn.recurrent(layer.cell), own)
        for layer, own in zip(body.layers, params.body, strict=True)
        if isinstance(layer, Recurrent)
    ]

    class LanguageModel(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            table, kernel = to_tensor(params.embedding), to_tensor(params.output.kernel)
            self.embed = torch.nn.Embedding.from_pretrained(table, freeze=False)
            self.lstms = torch.nn.ModuleList(lstms)
            for lstm in lstms:
                lstm.bias_hh_l0.requires_grad_(False)
            self.output = torch.nn.Linear(*kernel.shape)
            with torch.no_grad():
                self.output.weight.copy_(kernel.T)
                self.output.bias.copy_(to_tensor(params.output.bias))

        def forward(self, ids: Any, carries: Any) -> Any:
            x, last = self.drop(self.embed(ids), before), []
            rates = [between] * (len(lstms) - 1) + [after]
            for lstm, carry, rate in zip(self.lstms, carries, rates, strict=True):
                w_hh = functional.dropout(lstm.weight_hh_l0, config.weight_drop, self.training)
                x, carry = torch.func.functional_call(lstm, {"weight_hh_l0": w_hh}, (x, carry))
                x = self.drop(x, rate)
                last.append(carry)
            return self.output(x), last

        def drop(self, x: Any, rate: float) -> Any:
            """Drop the same units at all steps of a window."""
            if rate == 0 or not self.training:
                return x
            return x * functional.dropout(x.new_ones(1, *x.shape[1:]), rate)

    return LanguageModel()


def train(run: Run) -> Iterator[float]:
    """Train as the run's settings say, and yield the loss of each step."""
    import torch
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    config, model = run.settings.training, language_model(run).to(device())
    assert config.max_grad_norm is not None
    ids = torch.from_numpy(run.texts.ids).long().to(device())
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(
        weights, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    plans = config.plans(len(ids))
    num_steps = config.epochs * plans.batches_per_epoch()
    share = functools.partial(share_of_rate, warmup_steps=config.warmup_steps, num_steps=num_steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(config.average))
    for epoch in range(config.epochs):
        carries: list[Any] = [None] * run.settings.model.num_layers
        for offsets in plans.plan(epoch)[:].offsets:
            rows = torch.stack([ids[o : o + config.num_steps + 1] for o in offsets], dim=1)
            logits, carries = model(rows[:-1], carries)
            carries = [tuple(part.detach() for part in carry) for carry in carries]
            targets = rows[1:].reshape(-1)
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, config.max_grad_norm)
            optimizer.step()
            schedule.step()
            average.update_parameters(model)
            yield loss.item()


def share_of_rate(step: int, warmup_steps: int, num_steps: int) -> float:
    """Return the factor on the learning rate: a warm-up, along half a cosine."""
    return min(1.0, (step + 1) / warmup_steps) * (1 + math.cos(math.pi * step / num_steps)) / 2


def choose_threads(run: Run, repetitions: int = 5) -> int:
    """Let PyTorch use as many threads as train this model fastest, and return their number."""
    import torch

    losses = train(run)

    def step(threads: int) -> None:
        torch.set_num_threads(threads)
        next(losses)

    most = torch.get_num_threads()  # by default one for each core
    numbers = {1, max(1, most // 2), most}
    times = measure({str(n): functools.partial(step, n) for n in numbers}, repetitions)
    fastest = int(min(times, key=lambda n: times[n]))
    torch.set_num_threads(fastest)
    return fastest
