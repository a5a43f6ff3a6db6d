"""Tokens per second of greedy generation: jaxrnn, a PyTorch step loop and the book's loop.

    python -m benchmarks.generate

A model of 256 units, with vocabularies of 28 and 1,027 tokens, continues a prompt of 8 tokens by
512, for one text and for 64 at once.  PyTorch runs `torch.nn.RNN`, `GRU` or `LSTM` one token at a
time, as its users write it.
"""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np

import jaxrnn
from benchmarks.peers import book, jax_models, pytorch
from benchmarks.timing import OURS, arguments, compare
from benchmarks.workloads import Step, Workload
from experiments.shared.tables import print_head, print_row

PROMPT, NUM_TOKENS = 8, 512
BATCHES = (1, 64)
VOCAB_SIZES = (28, 1027)


def prompts(workload: Workload) -> np.ndarray:
    """Return random token ids `[T, B]`."""
    shape = (PROMPT, workload.batch_size)
    return np.random.default_rng(0).integers(0, workload.vocab_size, shape).astype(np.int32)


def ours(workload: Workload) -> Step:
    """Make a step that generates with `jaxrnn.generate_ids`, in one compiled call."""
    model = jax_models.language_model(workload)
    params = model.init(jax.random.key(0), workload.vocab_size)
    ids = jnp.asarray(prompts(workload))
    return lambda: jax.block_until_ready(jaxrnn.generate_ids(model, params, ids, NUM_TOKENS))


def torch_loop(workload: Workload) -> Step:
    """Make a step that calls a PyTorch module for one token after another."""
    import torch

    model = pytorch.language_model(workload).eval().to(pytorch.device())
    prompt = torch.from_numpy(prompts(workload)).long().to(pytorch.device())

    def step() -> None:
        with torch.inference_mode():
            logits, carry = model(prompt)
            for _ in range(NUM_TOKENS - 1):
                logits, carry = model(logits[-1:].argmax(dim=-1), carry)
        pytorch.wait()

    return step


def book_loop(workload: Workload) -> Step:
    """Make a step that runs the book's RNN from scratch, whose loop takes one text at a time."""
    if workload.cell != "rnn" or workload.batch_size > 1:
        raise NotImplementedError("the book's loop from scratch has an RNN and takes one text")
    params = book.init_params(workload.vocab_size, workload.hidden_size)
    prompt = prompts(workload)[:, 0].tolist()
    return functools.partial(book.predict, params, prompt, NUM_TOKENS, workload.vocab_size)


def main() -> None:
    """Measure, and print the table and the geometric means over the cells."""
    options = arguments(__doc__, repetitions=10).parse_args()
    workloads = [
        Workload(f"{cell.upper()}, V {size:,}, batch {batch}", cell, 256, 1, size, batch, PROMPT)
        for batch, size in itertools.product(BATCHES, VOCAB_SIZES)
        for cell in ("rnn", "gru", "lstm")
    ]
    peers = {OURS: ours, "PyTorch, step loop": torch_loop, "the book's loop": book_loop}
    results = compare(peers, workloads, options)
    print()
    print_head("tokens per second", *peers)
    for workload in workloads:
        times = results[workload.name]
        tokens = 1000 * NUM_TOKENS * workload.batch_size
        rates = [f"{tokens / times[name]:,.0f}" if name in times else "-" for name in peers]
        print_row(workload.name, *rates)
    for batch, size in itertools.product(BATCHES, VOCAB_SIZES):
        ratios = [
            results[workload.name]["PyTorch, step loop"] / results[workload.name][OURS]
            for workload in workloads
            if (workload.batch_size, workload.vocab_size) == (batch, size)
            and "PyTorch, step loop" in results[workload.name]
        ]
        if ratios:
            mean = math.prod(ratios) ** (1 / len(ratios))
            where = f"at batch {batch}, {size:,} tokens"
            print(f"\nPyTorch's time over ours {where}, geometric mean: {mean:.1f}")


if __name__ == "__main__":
    main()
