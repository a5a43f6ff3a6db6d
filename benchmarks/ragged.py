"""Ragged sequences: epochs of `jaxrnn.fit` against PyTorch's packed sequences.

    python -m benchmarks.ragged

Both train a classifier with an LSTM of 128 units on 10,000 sequences of unequal length, with Adam
and batches of 32.  Epochs of both take turns in one process.  PyTorch gets random batches, packed,
and once more the batches of similar length that `fit` makes.  "Padding" is the share of our steps
that are padding; valid steps per second do not count it.  The first epoch, in which we compile, is
given apart.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

import jaxrnn
from benchmarks.timing import describe_machine
from experiments.shared.tables import print_head, print_row
from jaxrnn.fitting.epochs import run_epochs
from jaxrnn.fitting.history import History
from jaxrnn.fitting.plans import epoch_plan
from jaxrnn.fitting.setup import Fitting
from jaxrnn.typing import HostArray

INPUT_SIZE, HIDDEN_SIZE, BATCH_SIZE = 16, 128, 32
LENGTHS: dict[str, Callable[[np.random.Generator, int], HostArray]] = {
    "5 to 100, evenly": lambda rng, number: rng.integers(5, 101, number),
    "many short, few long": lambda rng, number: rng.lognormal(3, 0.7, number).astype(int) + 2,
    "all 50": lambda rng, number: np.full(number, 50),
}


class Course(NamedTuple):
    """The seconds of one library's epochs."""

    first: float
    """The first epoch."""
    others: list[float]
    """Those after it."""


def ours(sequences: list[HostArray], classes: HostArray) -> tuple[Fitting, Any]:
    """Return what `jaxrnn.fit` trains with, and the epochs themselves."""
    model = jaxrnn.classifier(jaxrnn.recurrent(jaxrnn.lstm(HIDDEN_SIZE)), 2)
    key, optimizer = jax.random.key(0), optax.adam(1e-3)
    fitting = Fitting.of(
        model, optimizer, sequences, classes, batch_size=BATCH_SIZE, epochs=99, key=key
    )
    return fitting, run_epochs(fitting, fitting.init_state(None), History())


def packed(sequences: list[HostArray], classes: HostArray) -> Callable[[list[HostArray]], None]:
    """Return a function that trains the same model in PyTorch on the batches of an epoch."""
    import torch

    lstm = torch.nn.LSTM(INPUT_SIZE, HIDDEN_SIZE)
    head = torch.nn.Linear(HIDDEN_SIZE, 2)
    optimizer = torch.optim.Adam([*lstm.parameters(), *head.parameters()], lr=1e-3)
    tensors, targets = [torch.from_numpy(s) for s in sequences], torch.from_numpy(classes)

    def epoch(batches: list[HostArray]) -> None:
        for rows in batches:
            batch = [tensors[row] for row in rows]
            inputs = torch.nn.utils.rnn.pack_sequence(batch, enforce_sorted=False)
            _, (hidden, _) = lstm(inputs)
            loss = torch.nn.functional.cross_entropy(head(hidden[0]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return epoch


def compare(lengths: HostArray, num_epochs: int) -> tuple[dict[str, Course], float, int]:
    """Return the courses, our share of padding, and the number of our programs."""
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(n, INPUT_SIZE)).astype(np.float32) for n in lengths]
    classes = rng.integers(0, 2, len(lengths))
    fitting, epochs = ours(sequences, classes)
    theirs, theirs_sorted = packed(sequences, classes), packed(sequences, classes)
    plans = epoch_plan(lengths, fitting.lengths, BATCH_SIZE, (0,))
    shuffled = np.array_split(rng.permutation(len(lengths)), len(plans))
    calls: dict[str, Callable[[], object]] = {
        "jaxrnn": lambda: next(epochs),
        "PyTorch, random": lambda: theirs(shuffled),
        "PyTorch, sorted": lambda: theirs_sorted([plan.rows for plan in plans]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(1 + num_epochs):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
    steps = sum(plan.num_steps * BATCH_SIZE for plan in plans)
    courses = {name: Course(first, others) for name, (first, *others) in seconds.items()}
    return courses, 1 - lengths.sum() / steps, len(fitting.lengths)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sequences", type=int, default=10_000, help="number of sequences")
    parser.add_argument("--epochs", type=int, default=5, help="epochs after the first")
    options = parser.parse_args()
    print(f"{describe_machine()}; {options.sequences:,} sequences\n")
    names = ("jaxrnn", "PyTorch, random", "PyTorch, sorted")
    columns = [f"{name}: valid steps/s" for name in names]
    print_head("lengths", "programs", "padding", *columns, "ratio to the faster", "first epochs, s")
    for title, draw in LENGTHS.items():
        lengths = draw(np.random.default_rng(1), options.sequences)
        courses, padding, programs = compare(lengths, options.epochs)
        rates = [lengths.sum() / float(np.median(courses[name].others)) for name in names]
        print_row(
            title,
            programs,
            f"{padding:.0%}",
            *(f"{rate:,.0f}" for rate in rates),
            f"{rates[0] / max(rates[1:]):.2f}",
            ", ".join(f"{courses[name].first:.1f}" for name in names),
        )


if __name__ == "__main__":
    main()
