"""Complete training runs of jaxrnn, against the same in PyTorch.

    python -m benchmarks.end_to_end
    python -m benchmarks.end_to_end --preset shakespeare

jaychou: `experiments.jaychou` against the book's own loop in PyTorch.  Both train the same model
(an RNN of 256 units) on the same text, batches and epochs, one after the other, with sequential and
with random windows.  Prints tokens per second.  "the command" divides the tokens by all of its
time, from the start of Python to the summary: compilation, held-out text, samples, pictures,
checkpoints.

shakespeare: the model of `experiments.shakespeare` by `jaxrnn.train` and by a loop in PyTorch, with
all that a real run has: dropout, weight drop, clipping, AdamW with its schedule, the average.  Both
begin with the same weights, read the same windows and take turns in one process.  Their losses
differ because each draws masks of its own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jaxrnn
from benchmarks.peers import book, regularized
from benchmarks.timing import describe_machine
from experiments import jaychou, shakespeare
from experiments.shared.tables import print_head, print_row
from jaxrnn.losses import perplexity
from jaxrnn.runs.run import Run
from jaxrnn.runs.settings import Settings
from jaxrnn.training.trainer import Progress


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

    run = Run(jaychou.Settings(corpus=corpus))
    ids, vocab_size = torch.from_numpy(run.texts.ids).long(), run.vocab_size
    params = book.init_params(vocab_size, run.settings.model.hidden_size)
    tokens, began = 0, time.perf_counter()
    for _ in range(epochs):
        nats, epoch_tokens = book.train_epoch(params, ids, vocab_size, windows)
        tokens += epoch_tokens
    rate = tokens / (time.perf_counter() - began)
    return Rates(rate, rate, perplexity(nats / epoch_tokens))


def compare_runs(epochs: int, corpus: str) -> None:
    """Run the command and the book's loop, and print the table."""
    ours_twice = ("jaxrnn, training", "jaxrnn, the command")
    print_head("windows", *ours_twice, "the book", "ratio", "perplexities")
    for windows in ("sequential", "random"):
        here, there = (f(windows, epochs, corpus) for f in (ours, of_the_book))
        print_row(
            windows,
            *(f"{rate:,.0f}" for rate in (here.training, here.whole, there.training)),
            f"{here.training / there.training:.2f} ({here.whole / there.training:.2f})",
            f"{here.perplexity:.3f}, {there.perplexity:.3f}",
        )


class Piece(NamedTuple):
    """A piece of the text that was trained on."""

    tokens: int
    """Its length."""
    nats: float
    """The sum of its losses."""


def by_jaxrnn(run: Run) -> Iterator[Piece]:
    """Train by `jaxrnn.train`, and yield what each compiled call has read."""
    config, before = run.settings.training, Progress()
    for _, progress in jaxrnn.train(
        run.model, run.optimizer, config, run.texts.ids, run.initial_state()
    ):
        if progress.epoch != before.epoch:
            before = Progress()
        yield Piece(progress.tokens - before.tokens, progress.nats - before.nats)
        before = progress


def by_pytorch(run: Run) -> Iterator[Piece]:
    """Train in PyTorch, and yield what each step has read."""
    tokens = run.settings.training.batch_size * run.settings.training.num_steps
    for loss in regularized.train(run):
        yield Piece(tokens, loss * tokens)


def advance(training: Iterator[Piece], tokens: int) -> Piece:
    """Train on at least so many tokens, and return the piece that was read."""
    read, nats = 0, 0.0
    while read < tokens:
        piece = next(training)
        read, nats = read + piece.tokens, nats + piece.nats
    return Piece(read, nats)


class Turn(NamedTuple):
    """One of several turns of a training."""

    untimed: Piece
    """The first step, which like the pause before it is not timed, as in `timing.measure`."""
    timed: Piece
    """The steps after it."""
    seconds: float
    """The time of the latter."""

    @property
    def rate(self) -> float:
        """Tokens per second."""
        return self.timed.tokens / self.seconds

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.timed.nats / self.timed.tokens


def take_turn(training: Iterator[Piece], untimed: int, timed: int) -> Turn:
    """Train on at least so many tokens without, and then with the clock."""
    time.sleep(0.3)  # until the threads of the other library sleep
    first, began = advance(training, untimed), time.perf_counter()
    others = advance(training, timed)
    return Turn(first, others, time.perf_counter() - began)


def compare_in_turns(settings: Settings, rounds: int, steps: int) -> None:
    """Let both trainings take turns of so many timed steps, and print a row per round."""
    run, tokens = Run(settings), 0
    threads = regularized.choose_threads(run)
    print(f"PyTorch's threads: {threads}, the fastest number; losses in nats per token\n")
    names = ("jaxrnn, tokens/s", "PyTorch, tokens/s", "ratio", "jaxrnn, loss", "PyTorch, loss")
    print_head("tokens read", *names)
    batch = settings.training.batch_size * settings.training.num_steps
    here, there, rates = by_jaxrnn(run), by_pytorch(run), []
    for _ in range(rounds):
        own = take_turn(here, 1, steps * batch)
        other = take_turn(there, own.untimed.tokens, own.timed.tokens)
        tokens += own.untimed.tokens + own.timed.tokens
        rates.append((own.rate, other.rate, own.rate / other.rate))
        losses = (f"{turn.loss:.4f}" for turn in (own, other))
        print_row(f"{tokens:,}", *_in_words(*rates[-1]), *losses)
    medians = (statistics.median(column) for column in zip(*rates, strict=True))
    print_row("median", *_in_words(*medians), "", "")


def _in_words(own: float, other: float, ratio: float) -> tuple[str, ...]:
    return f"{own:,.0f}", f"{other:,.0f}", f"{ratio:.2f}"


def main() -> None:
    """Train with both and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=("jaychou", "shakespeare"), default="jaychou")
    parser.add_argument("--epochs", type=int, default=250, help="of jaychou: passes over the text")
    parser.add_argument("--corpus", default="jaychou", help="of jaychou, as for the experiment")
    parser.add_argument("--rounds", type=int, default=20, help="of shakespeare: turns of each")
    parser.add_argument("--steps", type=int, default=5, help="of shakespeare: timed steps per turn")
    options = parser.parse_args()
    if options.preset == "jaychou":
        print(f"{describe_machine()}; {options.epochs} epochs\n")
        compare_runs(options.epochs, options.corpus)
    else:
        print(f"{describe_machine()}; {options.rounds} rounds of {options.steps} timed steps")
        compare_in_turns(shakespeare.Settings(), options.rounds, options.steps)


if __name__ == "__main__":
    main()
