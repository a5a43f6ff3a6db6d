"""Train a language model on any text: the general form behind the book's experiments.

    python -m experiments.train --corpus my.txt --cell lstm --prompts "Once upon"

Writes checkpoints, metrics, a curve and a summary to `--out`.  Ctrl-C saves; `--resume` goes on,
and ends bit for bit where the undisturbed run would have ended.
"""

import dataclasses
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
from tqdm import tqdm

import jaxrnn
from experiments import command
from experiments.texts import held_out_metrics, known_prompts, prepare_texts
from jaxrnn.text import Corpus
from jaxrnn.text.corpora import BUNDLED
from jaxrnn.training import (
    CheckpointError,
    Checkpoints,
    Progress,
    Record,
    TextRecord,
    TrainConfig,
    TrainState,
    perplexity,
)
from jaxrnn.training.checkpoint import params_digest
from jaxrnn.training.interrupts import deferred_interrupts
from jaxrnn.training.record import device, versions
from jaxrnn.training.reporting import MetricsLog, plot_perplexity, write_json
from jaxrnn.training.trainer import plan_epoch

POINTS_OF_CURVE = 50
"""About how often the held-out perplexity is taken in a run."""


@dataclass(frozen=True)
class Settings:
    """Every setting of a run."""

    model: jaxrnn.ModelConfig = field(default_factory=jaxrnn.ModelConfig)
    training: TrainConfig = field(default_factory=TrainConfig)
    corpus: str = "jaychou"
    """What to train on: jaychou, time_machine, songs (comes with the package), or the path of a
    .txt or .zip file."""
    max_chars: int = 10_000
    """Characters to train on, from the beginning; line breaks become spaces."""
    held_out_chars: int = 2_000
    """Characters after those, for the held-out perplexity."""
    prompts: tuple[str, ...] = ()
    """Beginnings of the samples; without any, the beginning of the text."""
    sample_every: int = 50
    """Epochs between two reports with samples."""
    sample_length: int = 50
    """Characters of a sample, after its prompt."""
    out: Path = Path("runs/train")
    """Folder of the run."""
    resume: bool = False
    """Go on from the newest checkpoint in --out."""
    save_every: float = 10.0
    """Seconds between two checkpoints."""

    def __post_init__(self) -> None:
        for name in ("max_chars", "sample_every", "sample_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("held_out_chars", "save_every"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")


class Run:
    """One training run: the model, the texts, and what is reported of them."""

    def __init__(self, settings: Settings, corpus: Corpus) -> None:
        self.settings = settings
        self.corpus = corpus
        self.texts = prepare_texts(corpus.text, settings.max_chars, settings.held_out_chars)
        plan_epoch(settings.training, len(self.texts.ids), 0)  # raises if the text is too short
        self.vocab_size = len(self.texts.vocabulary)
        self.model = jaxrnn.build(settings.model, self.vocab_size)
        self.prompts = known_prompts(settings.prompts, type(settings)().prompts, self.texts)

    def initial_state(self) -> TrainState:
        training = self.settings.training
        return jaxrnn.init_state(
            self.model,
            jaxrnn.make_optimizer(
                training.optimizer, training.learning_rate, training.max_grad_norm
            ),
            self.vocab_size,
            training.batch_size,
            jax.random.key(training.seed),
        )

    def record(self, progress: Progress) -> Record:
        settings = self.settings
        text = TextRecord(
            self.corpus.name, self.corpus.digest, settings.max_chars, settings.held_out_chars
        )
        return Record(settings.model, settings.training, text, self.texts.vocabulary, progress)

    def samples(self, state: TrainState) -> list[str]:
        return jaxrnn.generate(
            self.model,
            state.params,
            self.texts.vocabulary,
            self.prompts,
            self.settings.sample_length,
        )

    def held_out(self, state: TrainState) -> dict[str, float]:
        return held_out_metrics(self.model, state.params, self.texts)


def train(settings: Settings) -> int:
    """Train as the settings say; returns the exit code, 128 + n where signal n ended it."""
    began = time.perf_counter()
    corpus = jaxrnn.load_corpus(settings.corpus, fallback=BUNDLED)
    run = Run(settings, corpus)
    print(f"corpus {corpus.name}: {corpus.source}")
    print(f"  SHA-256 {corpus.digest}")
    texts = run.texts
    print(
        f"  {len(texts.ids):,} characters to train on, {run.vocab_size:,} distinct;"
        f" {len(texts.held_out_ids):,} held out"
    )
    with Checkpoints(settings.out) as checkpoints:
        state, progress = _start(run, checkpoints)
        num_params = sum(leaf.size for leaf in jax.tree.leaves(state.params))
        print(f"{_described(settings.model)}: {num_params:,} parameters, on {device()}", flush=True)
        with MetricsLog(settings.out, progress.finished_epochs) as log:
            state, progress, signal = _loop(run, checkpoints, log, state, progress)
            _finish(run, log, state, progress, time.perf_counter() - began)
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
    saved = checkpoints.record()
    if differences := run.record(progress).differences(saved):
        raise CheckpointError(f"{out} is another run: {'; '.join(differences)}")
    done = saved.progress
    print(f"resuming {out} after batch {done.batch} of {done.num_batches} in epoch {done.epoch + 1}")
    return checkpoints.restore(state), saved.progress


def _described(model: jaxrnn.ModelConfig) -> str:
    inputs = f"embedding of {model.embedding_size}" if model.embedding_size else "one-hot input"
    return (
        f"model {model.cell}, {model.num_layers} x {model.hidden_size} units, {inputs},"
        f" {model.init} initialisation"
    )


def _loop(
    run: Run, checkpoints: Checkpoints, log: MetricsLog, state: TrainState, progress: Progress
) -> tuple[TrainState, Progress, int | None]:
    """Train to the end or to a signal; report and save on the way."""
    settings = run.settings
    last_save = time.perf_counter()
    epochs = settings.training.epochs
    bar = tqdm(total=epochs, initial=progress.finished_epochs, unit="epoch", disable=None)
    with bar, deferred_interrupts() as interrupt:
        steps = jaxrnn.train(run.model, settings.training, run.texts.ids, state, progress)
        for state, progress in steps:
            bar.set_postfix_str(f"perplexity {perplexity(progress.nats_per_token):.3g}")
            if progress.batch == progress.num_batches:
                _report_epoch(run, log, state, progress)
                bar.update()
            signal = interrupt()
            done = signal is not None or progress.finished_epochs == epochs
            if done or time.perf_counter() - last_save >= settings.save_every:
                checkpoints.save(state, run.record(progress))
                last_save = time.perf_counter()
            if done:
                return state, progress, signal
    return state, progress, None


def _report_epoch(run: Run, log: MetricsLog, state: TrainState, progress: Progress) -> None:
    """Log the epoch; every so often, evaluate and print samples."""
    epoch = progress.finished_epochs
    row: dict[str, Any] = {
        "epoch": epoch,
        "step": int(state.step),
        "perplexity": perplexity(progress.nats_per_token),
        "tokens_per_second": progress.total_tokens / progress.seconds,
        "seconds": progress.seconds,
    }
    last = epoch == run.settings.training.epochs
    report = epoch % run.settings.sample_every == 0 or last
    if report or epoch % max(1, run.settings.training.epochs // POINTS_OF_CURVE) == 0:
        row |= run.held_out(state)
    if report:
        tqdm.write(_told(row))
        for sample in run.samples(state):
            tqdm.write(f"  - {sample}")
    log.add(row)


def _told(row: dict[str, Any]) -> str:
    held_out = ""
    if "held_out_perplexity" in row:
        held_out = (
            f", held out {row['held_out_perplexity']:.1f}"
            f" (unigrams {row['unigram_perplexity']:.1f},"
            f" {row['held_out_unknown_share']:.1%} unknown)"
        )
    return (
        f"epoch {row['epoch']}, perplexity {row['perplexity']:.3f}{held_out},"
        f" {row['tokens_per_second']:,.0f} tokens/s"
    )


def _finish(
    run: Run, log: MetricsLog, state: TrainState, progress: Progress, wall_seconds: float
) -> None:
    """Draw the curve and write the summary."""
    settings, corpus = run.settings, run.corpus
    config = dataclasses.asdict(settings) | {"out": str(settings.out)}
    summary = {
        "perplexity": perplexity(progress.nats_per_token),
        "held_out_perplexity": None,
        **run.held_out(state),
        "best_held_out": min(
            (row for row in log.rows if "held_out_perplexity" in row),
            key=lambda row: row["held_out_perplexity"],
            default=None,
        ),
        "epochs": progress.finished_epochs,
        "tokens_per_second": progress.total_tokens / max(progress.seconds, 1e-9),
        "seconds": progress.seconds,
        "wall_seconds": wall_seconds,
        "corpus": corpus.name,
        "corpus_source": corpus.source,
        "digest": corpus.digest,
        "samples": run.samples(state),
        "params_digest": params_digest(state.params),
        "config": config,
        "versions": versions(),
        "device": device(),
    }
    write_json(settings.out / "summary.json", summary)
    title = f"{settings.model.cell.upper()} on {corpus.name}"
    plot_perplexity(log.rows, title, settings.out / "curve.png")
    print(
        f"{progress.finished_epochs} epochs in {progress.seconds:.1f} s of training,"
        f" {wall_seconds:.1f} s in all; curve, metrics, summary and checkpoints in {settings.out}"
    )


if __name__ == "__main__":
    command.main(train, Settings, description=__doc__)
