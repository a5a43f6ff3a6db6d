"""The complete Jay Chou run: `experiments.jaychou` against the book's own loop in PyTorch.

    python -m benchmarks.end_to_end

Both train the same model (an RNN of 256 units) on the same text, batches and epochs, one after the
other, with sequential and with random windows.  Prints tokens per second.  "the command" divides
the tokens by all of its time, from the start of Python to the summary: compilation, held-out text,
samples, pictures, checkpoints.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers import book
from benchmarks.timing import describe_machine
from experiments.jaychou import Settings
from experiments.shared.tables import print_head, print_row
from jaxrnn.losses import perplexity
from jaxrnn.runs.run import Run


class Rates(NamedTuple):
    """Tokens per second, and the perplexity reached."""

    training: float
    """Tokens per second within the training steps."""
    whole: float
    """Tokens per second of the entire command."""
    perplexity: float
    """Perplexity at the end."""


def ours(windows: str, epochs: int, corpus: str) -> Rates:
    """Run `python -m experiments.jaychou` in its own process."""
    with tempfile.TemporaryDirectory() as out:
        flags = {"--windows": windows, "--epochs": str(epochs), "--corpus": corpus, "--out": out}
        command = [sys.executable, "-m", "experiments.jaychou"]
        began = time.perf_counter()
        subprocess.run(
            [*command, *(word for flag in flags.items() for word in flag)],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        seconds = time.perf_counter() - began
        summary = json.loads((Path(out) / "summary.json").read_text(encoding="utf-8"))
    tokens = summary["tokens_per_second"] * summary["seconds"]
    return Rates(summary["tokens_per_second"], tokens / seconds, summary["perplexity"])


def of_the_book(windows: str, epochs: int, corpus: str) -> Rates:
    """Run the book's loop in this process."""
    import torch

    run = Run(Settings(corpus=corpus))
    ids, vocab_size = torch.from_numpy(run.texts.ids).long(), run.vocab_size
    params = book.init_params(vocab_size, run.settings.model.hidden_size)
    tokens, began = 0, time.perf_counter()
    for _ in range(epochs):
        nats, epoch_tokens = book.train_epoch(params, ids, vocab_size, windows)
        tokens += epoch_tokens
    rate = tokens / (time.perf_counter() - began)
    return Rates(rate, rate, perplexity(nats / epoch_tokens))


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=250, help="passes over the text")
    parser.add_argument("--corpus", default="jaychou", help="as for experiments.jaychou")
    options = parser.parse_args()
    print(f"{describe_machine()}; {options.epochs} epochs\n")
    ours_twice = ("jaxrnn, training", "jaxrnn, the command")
    print_head("windows", *ours_twice, "the book", "ratio", "perplexities")
    for windows in ("sequential", "random"):
        here, there = (f(windows, options.epochs, options.corpus) for f in (ours, of_the_book))
        print_row(
            windows,
            *(f"{rate:,.0f}" for rate in (here.training, here.whole, there.training)),
            f"{here.training / there.training:.2f} ({here.whole / there.training:.2f})",
            f"{here.perplexity:.3f}, {there.perplexity:.3f}",
        )


if __name__ == "__main__":
    main()
