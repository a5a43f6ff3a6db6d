"""All rows of the table in docs/results.md, one command.

    JAXRNN_DATA=... python -m experiments.results

Trains the book's models of Jay Chou's lyrics, three seeds of each with SGD and one with Adam (about
ten minutes on two CPU cores), and prints the table.  Runs that are in `--out` are not done again.
"""

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jaxrnn
from experiments import command

SEQUENTIAL = ("--windows", "sequential")
ADAM = ("--optimizer", "adam", "--init", "uniform", "--learning-rate")


class Row(NamedTuple):
    """A model of the book, and the training perplexities it prints along the way."""

    name: str
    flags: tuple[str, ...]
    published: tuple[float, ...]
    seeds: tuple[int, ...] = (0, 1, 2)


def _adam(cell: str, rate: str, epochs: int, published: tuple[float, ...]) -> tuple[Row, Row]:
    """The row as the book describes it, and without clipping, as its code in fact runs."""
    flags = ("--cell", cell, *SEQUENTIAL, "--epochs", str(epochs), *ADAM, rate)
    name = f"{cell.upper()}, Adam"
    return (
        Row(name, flags, published, (0,)),
        Row(f"{name}, not clipped", (*flags, "--max-grad-norm", "None"), published, (0,)),
    )


ROWS = (
    Row("RNN, random windows", (), (70.04, 9.73, 2.86, 1.60, 1.304)),
    Row("RNN, sequential windows", SEQUENTIAL, (59.51, 6.80, 2.06, 1.30, 1.164)),
    Row("GRU", ("--cell", "gru", *SEQUENTIAL, "--epochs", "160"), (149.5, 31.7, 4.87, 1.442)),
    Row("LSTM", ("--cell", "lstm", *SEQUENTIAL, "--epochs", "160"), (211.4, 67.0, 15.55, 4.274)),
    *_adam("rnn", "0.001", 250, (10.66, 1.309, 1.070, 1.035, 1.021)),
    *_adam("gru", "0.01", 160, (1.022, 1.015, 1.148, 1.018)),
    *_adam("lstm", "0.01", 160, (1.020, 1.011, 1.025, 1.017)),
)


@dataclass(frozen=True)
class Settings:
    """Where the runs lie."""

    out: Path = Path("runs/results")
    """Folder of the runs."""


class Outcome(NamedTuple):
    """One run, read back from its folder."""

    along: tuple[float, ...]
    held_out: float
    best_held_out: float
    best_epoch: int
    unigrams: float
    seconds: float
    tokens_per_second: float


def results(settings: Settings) -> None:
    """Do the runs that are missing, and print the table."""
    jaxrnn.load_corpus("jaychou")  # an error now, rather than other songs in its place
    lines = []
    for row in ROWS:
        outcomes = [run(row, seed, settings.out) for seed in row.seeds]
        lines.append(table_line(row, outcomes))
    print(
        "| model | flags | published | ours | final, by seed"
        " | held out: final; best; unigrams | time |"
    )
    print("|---|---|---|---|---|---|---|")
    print("\n".join(lines))


def run(row: Row, seed: int, out: Path) -> Outcome:
    """Train one model, unless that is done, and read its numbers."""
    folder = out / f"{row.name.lower().replace(',', '').replace(' ', '-')}-{seed}"
    flags = [*row.flags, "--seed", str(seed), "--out", str(folder), "--resume"]
    path = folder / "summary.json"
    if not (path.exists() and json.loads(path.read_text(encoding="utf-8"))["finished"]):
        subprocess.run([sys.executable, "-m", "experiments.jaychou", *flags], check=True)
    summary = json.loads(path.read_text(encoding="utf-8"))
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    perplexities = [json.loads(line)["perplexity"] for line in lines]
    every = len(perplexities) // len(row.published)
    return Outcome(
        tuple(perplexities[every - 1 :: every]),
        summary["held_out_perplexity"],
        summary["best_held_out"]["held_out_perplexity"],
        summary["best_held_out"]["epoch"],
        summary["unigram_perplexity"],
        summary["wall_seconds"],
        summary["tokens_per_second"],
    )


def table_line(row: Row, outcomes: list[Outcome]) -> str:
    """The row in Markdown: medians over seeds."""
    along = [statistics.median(at) for at in zip(*(o.along for o in outcomes), strict=True)]
    finals = ", ".join(f"{o.along[-1]:.3f}" for o in outcomes)
    held_out = statistics.median(o.held_out for o in outcomes)
    best = sorted((o.best_held_out, o.best_epoch) for o in outcomes)[len(outcomes) // 2]
    seconds = statistics.median(o.seconds for o in outcomes)
    speed = statistics.median(o.tokens_per_second for o in outcomes)
    return (
        f"| {row.name} | `{' '.join(row.flags)}` | {_numbers(row.published)} | {_numbers(along)} |"
        f" {finals} | {held_out:,.0f}; {best[0]:.0f} at epoch {best[1]};"
        f" {outcomes[0].unigrams:.0f} |"
        f" {seconds:.0f} s, {speed:,.0f} tokens/s |"
    )


def _numbers(values: tuple[float, ...] | list[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


if __name__ == "__main__":
    command.main(results, Settings, description=__doc__)
