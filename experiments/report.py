"""What is told of a run: a row an epoch, samples now and then, a curve and a summary at the end."""

import dataclasses
from pathlib import Path
from typing import Any

from tqdm import tqdm

from experiments.run import Run
from jaxrnn.language_model import ModelConfig
from jaxrnn.training import Progress, TrainState, perplexity
from jaxrnn.training.checkpoint import params_digest
from jaxrnn.training.record import device, environment
from jaxrnn.training.reporting import MetricsLog, plot_perplexity, write_json

POINTS_OF_CURVE = 50
"""About how often the held-out perplexity is taken in a run."""


def print_start(run: Run, num_params: int) -> None:
    """Say what is trained, and on which text."""
    corpus, model, texts = run.corpus, run.settings.model, run.texts
    inputs = f"embedding of {model.embedding_size}" if model.embedding_size else "one-hot input"
    print(f"corpus {corpus.name}: {corpus.source}")
    print(f"  SHA-256 {corpus.digest}")
    print(
        f"  {len(texts.ids):,} characters to train on, {run.vocab_size:,} distinct;"
        f" {len(texts.held_out_ids):,} held out"
    )
    print(
        f"model {model.cell}, {model.num_layers} x {model.hidden_size} units, {inputs},"
        f" {model.init} initialisation{_regularisers(model)}: {num_params:,} parameters,"
        f" on {device()}",
        flush=True,
    )


def _regularisers(model: ModelConfig) -> str:
    """What there is of them, after a comma each."""
    kind = "variational dropout" if model.variational_dropout else "dropout"
    parts = {
        f"{kind} {model.dropout:g}": model.dropout > 0,
        f"embedding dropout {model.embedding_dropout:g}": model.embedding_dropout > 0,
        "tied embeddings": model.tie_embeddings,
        model.dtype: model.dtype != "float32",
    }
    return "".join(f", {part}" for part, there in parts.items() if there)


def report_epoch(run: Run, log: MetricsLog, state: TrainState, progress: Progress) -> None:
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


def report_end(
    run: Run,
    log: MetricsLog,
    state: TrainState,
    progress: Progress,
    compile_seconds: float,
    wall_seconds: float,
) -> None:
    """Draw the curve and write the summary."""
    settings, corpus = run.settings, run.corpus
    config = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(settings).items()
    }
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
        "finished": progress.finished_epochs == settings.training.epochs,
        "tokens_per_second": progress.total_tokens / max(progress.seconds, 1e-9),
        "seconds": progress.seconds,
        "compile_seconds": compile_seconds,
        "wall_seconds": wall_seconds,
        "corpus": corpus.name,
        "corpus_source": corpus.source,
        "digest": corpus.digest,
        "samples": run.samples(state),
        "params_digest": params_digest(state.params),
        "config": config,
        "versions": environment(),
        "device": device(),
    }
    write_json(settings.out / "summary.json", summary)
    title = f"{settings.model.cell.upper()} on {corpus.name}"
    plot_perplexity(log.rows, title, settings.out / "curve.png")
    print(
        f"{progress.finished_epochs} epochs in {progress.seconds:.1f} s of training,"
        f" {compile_seconds:.1f} s of compiling, {wall_seconds:.1f} s in all;"
        f" curve, metrics, summary and checkpoints in {settings.out}"
    )
