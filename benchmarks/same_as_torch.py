"""Held-out perplexity of `time_machine full-plain`, trained by jaxrnn and by PyTorch.

    JAXRNN_DATA=... python -m benchmarks.same_as_torch

Both use the same initial weights, windows, clipping and learning rates; PyTorch uses its own LSTM,
loss, Adam and gradients.  Prints both perplexities after each epoch, which differ only by rounding.
"""

import argparse
import dataclasses
from collections.abc import Iterator
from typing import Any

import jaxrnn
from benchmarks.timing import describe_machine
from experiments.shared.tables import print_head, print_row
from experiments.time_machine import PRESETS
from jaxrnn.interop.torch import from_torch, to_torch
from jaxrnn.interop.torch.tensors import to_host, to_tensor
from jaxrnn.runs.run import Run
from jaxrnn.typing import Params


def ours(run: Run) -> Iterator[Params]:
    """Yield the parameters after each epoch of training by jaxrnn."""
    config, state = run.settings.training, run.initial_state()
    for state, progress in jaxrnn.train(  # noqa: B020
        run.model, run.optimizer, config, run.texts.ids, state
    ):
        if progress.batch == progress.num_batches:
            yield state.params


def pytorch(run: Run) -> Iterator[Params]:
    """Yield the parameters after each epoch of training by PyTorch."""
    import torch

    config, size = run.settings.training, run.vocab_size
    rate, limit = config.learning_rate, config.max_grad_norm
    assert rate is not None
    assert limit is not None
    params, ids = run.initial_state().params, torch.from_numpy(run.texts.ids).long()
    lstm = to_torch(run.model.body, params.body)
    output = torch.nn.Linear(run.settings.model.hidden_size, size)
    with torch.no_grad():
        output.weight.copy_(to_tensor(params.output.kernel).T)
        output.bias.copy_(to_tensor(params.output.bias))
    weights = [*lstm.parameters(), *output.parameters()]
    adam = torch.optim.Adam(weights, lr=rate)
    for epoch in range(config.epochs):
        for group in adam.param_groups:
            factor = config.decay ** max(0, epoch + 1 - config.decay_after)
            group["lr"] = rate * factor
        carry = None
        for offsets in config.plans(len(ids)).plan(epoch)[:].offsets:
            rows = torch.stack([ids[o : o + config.num_steps + 1] for o in offsets], dim=1)
            one_hot = torch.nn.functional.one_hot(rows[:-1], size).float()
            hidden, carry = lstm(one_hot, carry)
            carry = tuple(part.detach() for part in carry)
            loss = torch.nn.functional.cross_entropy(
                output(hidden).reshape(-1, size), rows[1:].reshape(-1)
            )
            adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, limit)
            adam.step()
        _, body = from_torch(lstm)
        kernel, bias = to_host(output.weight.T), to_host(output.bias)
        yield params._replace(
            body=body, output=params.output._replace(kernel=kernel.copy(), bias=bias.copy())
        )


def main() -> None:
    """Train with both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=PRESETS["full-plain"].training.epochs)
    epochs = parser.parse_args().epochs
    settings = PRESETS["full-plain"]
    training = dataclasses.replace(settings.training, epochs=epochs)
    run = Run(dataclasses.replace(settings, training=training))
    print(f"{describe_machine()}\n")
    print_head("epoch", "jaxrnn", "PyTorch")
    held_out: dict[Any, list[float]] = {ours: [], pytorch: []}
    for epoch, both in enumerate(zip(ours(run), pytorch(run), strict=True), 1):
        for way, params in zip(held_out, both, strict=True):
            score = jaxrnn.score(run.model, params, run.texts.held_out.ids)
            held_out[way].append(float(score.perplexity))
        print_row(epoch, *(f"{each[-1]:.4f}" for each in held_out.values()))
    print_row("least", *(f"{min(each):.4f}" for each in held_out.values()))


if __name__ == "__main__":
    main()
