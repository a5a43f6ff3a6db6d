"""The tables of docs/results.md, one command each.

    python -m experiments.results                           Jay Chou's lyrics: about ten minutes
    python -m experiments.results --table time_machine      The Time Machine: twenty minutes

Trains the book's models, three seeds of each (one of those with Adam) on two CPU cores, and prints
the table.  Finished runs in `--out` are not repeated.
"""

import itertools
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import jaxrnn
from experiments.shared.tables import print_head, print_row
from jaxrnn.commands import command_line
from jaxrnn.runs.metrics import read_metrics
from jaxrnn.runs.summary import read_summary

SEQUENTIAL = ("--windows", "sequential")
ADAM = ("--optimizer", "adam", "--init", "uniform", "--learning-rate")


class Row(NamedTuple):
    """A model of the book, and the training perplexities it prints along the way."""

    name: str
    flags: tuple[str, ...]
    """Flags after `python -m experiments.TABLE`."""
    published: tuple[float, ...]
    seeds: tuple[int, ...] = (0, 1, 2)


def _adam(cell: str, rate: str, epochs: int, published: tuple[float, ...]) -> tuple[Row, Row]:
    """Make two rows: one as the book describes the run, one without clipping, as its code runs."""
    flags = ("--cell", cell, *SEQUENTIAL, "--epochs", str(epochs), *ADAM, rate)
    name = f"{cell.upper()}, Adam"
    return (
        Row(name, flags, published, (0,)),
        Row(f"{name}, not clipped", (*flags, "--max-grad-norm", "None"), published, (0,)),
    )


JAYCHOU = (
    Row("RNN, random windows", (), (70.04, 9.73, 2.86, 1.60, 1.304)),
    Row("RNN, sequential windows", SEQUENTIAL, (59.51, 6.80, 2.06, 1.30, 1.164)),
    Row("GRU", ("--cell", "gru", *SEQUENTIAL, "--epochs", "160"), (149.5, 31.7, 4.87, 1.442)),
    Row("LSTM", ("--cell", "lstm", *SEQUENTIAL, "--epochs", "160"), (211.4, 67.0, 15.55, 4.274)),
    *_adam("rnn", "0.001", 250, (10.66, 1.309, 1.070, 1.035, 1.021)),
    *_adam("gru", "0.01", 160, (1.022, 1.015, 1.148, 1.018)),
    *_adam("lstm", "0.01", 160, (1.020, 1.011, 1.025, 1.017)),
)
TIME_MACHINE = (
    Row("RNN 512, sequential windows", ("rnn",), (1.0,)),
    Row("RNN 512, random windows", ("rnn-random",), (1.5,)),
    Row("RNN, uniform initialisation", ("rnn-uniform",), (1.3,), (0,)),
    Row("GRU", ("gru",), (1.1,)),
    Row("GRU, uniform initialisation", ("gru-uniform",), (1.0,)),
    Row("LSTM", ("lstm",), (1.3,)),
    Row("LSTM, uniform initialisation", ("lstm-uniform",), (1.1,)),
    Row("LSTM of two layers, rate 2", ("lstm2",), (1.0,)),
    Row("LSTM of two layers, rate 1", ("lstm2-slow",), (), (0,)),
    Row("GRU of two layers, rate 2", ("gru2",), (), (0,)),
    Row("RNN 512, Adam", ("rnn-adam",), (), (0,)),
    Row("GRU, Adam", ("gru-adam",), (), (0,)),
    Row("LSTM, Adam", ("lstm-adam",), (), (0,)),
)
Table = Literal["jaychou", "time_machine"]
TABLES: dict[Table, tuple[Row, ...]] = {"jaychou": JAYCHOU, "time_machine": TIME_MACHINE}


@dataclass(frozen=True)
class Settings:
    """Settings of the table and the runs."""

    table: Table = "jaychou"
    """Table of the lyrics or of the novel."""
    out: Path = Path("runs/results")
    """Folder of the runs."""


class Outcome(NamedTuple):
    """The results of one run, read from its folder."""

    along: tuple[float, ...]
    held_out: float
    least_held_out: float
    least_epoch: int
    unigrams: float
    seconds: float
    tokens_per_second: float


def results(settings: Settings) -> None:
    """Do the runs that are missing, and print the table."""
    print_table(settings.table, settings.out)


def print_table(table: Table, out: Path) -> None:
    """Do the runs that are missing in `out`, and print the table."""
    jaxrnn.load_corpus(table)  # fail now, rather than fall back to other songs
    rows = []
    number, total = itertools.count(1), sum(len(row.seeds) for row in TABLES[table])
    for row in TABLES[table]:
        outcomes = []
        for seed in row.seeds:
            print(f"run {next(number)} of {total}: {row.name}, seed {seed}", flush=True)
            outcomes.append(run(table, row, seed, out))
        rows.append(cells(row, outcomes))
    print_head(
        "model", "flags", "published", "ours", "final, by seed", "held out: final; least; unigrams",
        "time",
    )  # fmt: skip
    for row_cells in rows:
        print_row(*row_cells)


def run(table: Table, row: Row, seed: int, out: Path) -> Outcome:
    """Train one model, unless it is finished already, and read its results."""
    folder = out / table / f"{row.name.lower().replace(',', '').replace(' ', '-')}-{seed}"
    flags = [*row.flags, "--seed", str(seed), "--out", str(folder), "--resume"]
    if not _is_finished(folder):
        ended = subprocess.run([sys.executable, "-m", f"experiments.{table}", *flags])
        if ended.returncode:
            raise ValueError(f"{folder}: the run ended with exit code {ended.returncode}")
    summary = read_summary(folder)
    metrics = read_metrics(folder)
    perplexities = [row["perplexity"] for row in metrics]
    judged = (row for row in metrics if "held_out_perplexity" in row)
    least = min(judged, key=lambda row: row["held_out_perplexity"])
    every = len(perplexities) // max(1, len(row.published))
    return Outcome(
        tuple(perplexities[every - 1 :: every]),
        summary["held_out_perplexity"],
        least["held_out_perplexity"],
        least["epoch"],
        summary["unigram_perplexity"],
        summary["wall_seconds"],
        summary["tokens_per_second"],
    )


def _is_finished(folder: Path) -> bool:
    try:
        return bool(read_summary(folder)["finished"])
    except (OSError, ValueError):
        return False


def cells(row: Row, outcomes: list[Outcome]) -> list[str]:
    """Return the cells of a row of the table: medians over seeds."""
    along = [statistics.median(at) for at in zip(*(o.along for o in outcomes), strict=True)]
    finals = ", ".join(f"{o.along[-1]:.3f}" for o in outcomes)
    held_out = statistics.median(o.held_out for o in outcomes)
    least = sorted((o.least_held_out, o.least_epoch) for o in outcomes)[len(outcomes) // 2]
    seconds = statistics.median(o.seconds for o in outcomes)
    speed = statistics.median(o.tokens_per_second for o in outcomes)
    return [
        row.name,
        f"`{' '.join(row.flags)}`",
        _numbers(row.published),
        _numbers(along),
        finals,
        f"{held_out:,.0f}; {least[0]:.0f} at epoch {least[1]}; {outcomes[0].unigrams:.0f}",
        f"{seconds:.0f} s, {speed:,.0f} tokens/s",
    ]


def _numbers(values: tuple[float, ...] | list[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


if __name__ == "__main__":
    command_line.main(results, Settings, description=__doc__)
