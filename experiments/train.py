"""Train a language model on any text: the general form behind the book's experiments.

    python -m experiments.train --corpus my.txt --cell lstm --prompts "Once upon"

Writes checkpoints, metrics, a curve and a summary to `--out`.  Ctrl-C saves; `--resume` goes on,
and ends bit for bit where the undisturbed run would have ended.
"""

import math
import time

import jax
from tqdm import tqdm

import jaxrnn
from experiments import command
from experiments.compilation import keep_programs_in, timed_compilation
from experiments.report import print_start, report_end, report_epoch
from experiments.run import Run, Settings
from jaxrnn.text.corpora import BUNDLED
from jaxrnn.training import CheckpointError, Checkpoints, Progress, TrainState, perplexity
from jaxrnn.training.interrupts import deferred_interrupts
from jaxrnn.training.reporting import MetricsLog


def train(settings: Settings) -> int:
    """Train as the settings say; returns the exit code, 128 + n where signal n ended it."""
    began = time.perf_counter()
    if settings.compilation_cache is not None:
        keep_programs_in(settings.compilation_cache)
    fallback = BUNDLED if settings.corpus == "jaychou" else None
    run = Run(settings, jaxrnn.load_corpus(settings.corpus, fallback=fallback))
    with Checkpoints(settings.out) as checkpoints, timed_compilation() as compile_seconds:
        state, progress = _start(run, checkpoints)
        if progress.finished_epochs >= settings.training.epochs:
            print(f"{settings.out} has its {progress.finished_epochs} epochs: add more by --epochs")
            return 0
        print_start(run, sum(leaf.size for leaf in jax.tree.leaves(state.params)))
        with MetricsLog(settings.out, progress.finished_epochs) as log:
            state, progress, signal = _loop(run, checkpoints, log, state, progress)
            wall_seconds = time.perf_counter() - began
            report_end(run, log, state, progress, compile_seconds(), wall_seconds)
    if signal is None:
        return 0
    print(f"stopped and saved: add --resume to the same command to go on from {settings.out}")
    return 128 + signal


def _start(run: Run, checkpoints: Checkpoints) -> tuple[TrainState, Progress]:
    """Where training begins: at the beginning, or at the newest checkpoint."""
    out, state, progress = run.settings.out, run.initial_state(), Progress()
    if checkpoints.latest_step() is None:
        if run.settings.resume:
            print(f"nothing to resume in {out}: starting from the beginning")
        return state, progress
    if not run.settings.resume:
        raise ValueError(f"{out} holds a run already: go on with --resume, or choose another --out")
    saved = checkpoints.newest()
    if differences := run.record(progress).differences(saved.record):
        raise CheckpointError(f"{out} is another run: {'; '.join(differences)}")
    done = saved.record.progress
    print(
        f"resuming {out} after batch {done.batch} of {done.num_batches} in epoch {done.epoch + 1}"
    )
    return saved.restore(state), done


def _loop(
    run: Run, checkpoints: Checkpoints, log: MetricsLog, state: TrainState, progress: Progress
) -> tuple[TrainState, Progress, int | None]:
    """Train to the end or to a signal; report and save on the way."""
    settings = run.settings
    last_save = time.perf_counter()
    epochs = settings.training.epochs
    bar = tqdm(total=epochs, initial=progress.finished_epochs, unit="epoch", disable=None)
    with bar, deferred_interrupts() as interrupt:
        steps = jaxrnn.train(
            run.model, run.optimizer, settings.training, run.texts.ids, state, progress
        )
        for state, progress in steps:
            bar.set_postfix_str(f"perplexity {perplexity(progress.nats_per_token):.3g}")
            if not math.isfinite(progress.nats):
                raise ValueError(
                    f"the loss is no longer finite in epoch {progress.epoch + 1}: try a lower"
                    f" --learning-rate than {settings.training.learning_rate:g}"
                )
            if progress.batch == progress.num_batches:
                report_epoch(run, log, state, progress)
                bar.update()
            signal = interrupt()
            done = signal is not None or progress.finished_epochs == epochs
            if done or time.perf_counter() - last_save >= settings.save_every:
                checkpoints.save(state, run.record(progress))
                last_save = time.perf_counter()
            if done:
                return state, progress, signal
    return state, progress, None


if __name__ == "__main__":
    command.main(train, Settings, description=__doc__)
