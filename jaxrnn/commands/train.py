"""Train a language model on any text: the general form behind the book's experiments.

    jaxrnn train --corpus my.txt --cell lstm --prompts "Once upon"

Writes checkpoints, metrics, a curve and a summary to `--out`.  Ctrl-C saves and stops; the same
command with `--resume` continues, and ends with the same bits as an uninterrupted run.  This trains
the model of a run further, on another text:

    jaxrnn train --from runs/train --corpus other.txt --new-tokens add --out runs/other
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import jax
import tyro

import jaxrnn
from jaxrnn.commands import command_line
from jaxrnn.commands.compilation import keep_programs_in, timed_compilation
from jaxrnn.commands.output import outlived_output
from jaxrnn.commands.progress import Bar
from jaxrnn.runs.interrupts import deferred_interrupts
from jaxrnn.runs.report import (
    Log,
    Seconds,
    has_summary,
    open_log,
    print_start,
    report_end,
    report_epoch,
)
from jaxrnn.runs.run import Run
from jaxrnn.runs.saver import Saver
from jaxrnn.runs.settings import Settings
from jaxrnn.runs.texts import Names
from jaxrnn.training import Progress, TrainState
from jaxrnn.training.processes import is_first, max_over_processes, wait_for_all


@dataclass(frozen=True)
class Flags(Settings):
    """The settings of a run, by the names of their flags."""

    corpus: Annotated[Names, tyro.conf.arg(metavar="TEXT...")] = Settings.corpus
    from_run: Annotated[Path | None, tyro.conf.arg(name="from")] = None  # a keyword of Python


def train(settings: Settings) -> int:
    """Train as the settings say; return the exit code, 128 + n if signal n stopped it."""
    with outlived_output():
        return _train(settings)


def _train(settings: Settings) -> int:
    began = time.perf_counter()
    if settings.compilation_cache is not None:
        keep_programs_in(settings.compilation_cache)
    settings.processes.join()
    run = Run(settings)
    with deferred_interrupts() as interrupt, Saver(run) as saver, timed_compilation() as compiled:
        state, progress = saver.start()
        finished = progress.finished_epochs
        if finished >= settings.training.epochs:
            print(f"{settings.out} has finished {finished} epochs: raise --epochs to train more")
            if not has_summary(settings.out, finished):  # it was killed before writing one
                with open_log(settings.out, finished) as log:
                    seconds = Seconds(time.perf_counter() - began, compiled(), saver.seconds)
                    report_end(run, log, state, progress, seconds, saver.best)
            wait_for_all("the summary is written")
            return 0
        print_start(run, sum(leaf.size for leaf in jax.tree.leaves(state.params)))
        (signal,) = max_over_processes(interrupt() or 0)
        if signal:
            print("stopped before the first step: start again with the same command")
            return 128 + signal
        with open_log(settings.out, finished) as log:
            state, progress, signal = _loop(run, saver, log, state, progress, interrupt)
            if signal:
                again = f"add --resume to the same command to continue from {settings.out}"
                print(f"stopped and saved: {again}")
            seconds = Seconds(time.perf_counter() - began, compiled(), saver.seconds)
            report_end(run, log, state, progress, seconds, saver.best)
            wait_for_all("the summary is written")  # or the exit of the others would end the first
    return 128 + signal if signal else 0


def _loop(
    run: Run,
    saver: Saver,
    log: Log,
    state: TrainState,
    progress: Progress,
    interrupt: Callable[[], int | None],
) -> tuple[TrainState, Progress, int]:
    """Train until the end, or until any process gets a signal; report and save on the way."""
    training = run.settings.training
    done = progress.epoch + progress.batch / max(1, progress.num_batches)
    with Bar("training", training.epochs, done=done, enabled=is_first()) as bar:
        steps = jaxrnn.train(run.model, run.optimizer, training, run.texts.ids, state, progress)
        for state, progress in bar.follow(steps):
            if progress.batch == progress.num_batches:
                saver.keep_if_best(state, progress, report_epoch(run, log, state, progress))
            signal, due = max_over_processes(interrupt() or 0, saver.is_due())
            done = signal or progress.finished_epochs == training.epochs
            stuck = progress.skipped_in_row >= training.max_skipped  # the next step raises
            if done or stuck or due:
                saver.save(state, progress)
            if done and (signal or not stuck):
                return state, progress, signal
    return state, progress, 0


def main() -> NoReturn:
    """Run the command line."""
    command_line.main(train, Flags, description=__doc__)


if __name__ == "__main__":
    main()
