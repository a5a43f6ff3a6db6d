"""Reports of a run: a row per epoch, samples now and then, finally a curve and a summary."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from jaxrnn.model_config import ModelConfig
from jaxrnn.runs.digests import params_digest
from jaxrnn.runs.metrics import MetricsLog
from jaxrnn.runs.pictures import plot_perplexity
from jaxrnn.runs.record import Best, device, environment
from jaxrnn.runs.run import Run
from jaxrnn.runs.settings import Settings
from jaxrnn.runs.summary import read_summary, write_summary
from jaxrnn.text.units import visible
from jaxrnn.training import Progress, TrainState
from jaxrnn.training.processes import is_first

INSIDE = ("embedding_dropout", "recurrent_dropout", "weight_drop", "zoneout")
"""The rates of the noise within the layers."""

POINTS_OF_CURVE = 50
"""Approximate number of evaluations in a run."""


def print_start(run: Run, num_params: int) -> None:
    """Print what is trained, and on which text."""
    corpus, model, texts = run.corpus, run.settings.model, run.texts
    validation = f" {n:,} for validation," if (n := len(texts.validation.ids)) else ""
    inputs = f"embedding of {model.embedding_size}" if model.embedding_size else "one-hot input"
    print(f"corpus {corpus.name}: {corpus.source}")
    print(f"  SHA-256 {corpus.digest}")
    print(
        f"  {len(texts.ids):,} {texts.vocabulary.unit}s to train on, {run.vocab_size:,} distinct;"
        f"{validation} {len(texts.held_out.ids):,} held out"
    )
    print(
        f"model {model.cell}, {_layers(model)} units, {inputs},"
        f" {model.init} initialisation{_regularizers(run.settings)}: {num_params:,} parameters,"
        f" on {device(run.settings.training)}",
        flush=True,
    )
    if (origin := run.start.origin) is not None:
        print(
            f"  fine-tuned from step {origin.step} in {origin.run_dir}; SHA-256 {origin.digest}\n"
            f"  {run.vocab_size - origin.vocab_size:,} {texts.vocabulary.unit}s added to its"
            f" vocabulary of {origin.vocab_size:,}",
            flush=True,
        )


def _layers(model: ModelConfig) -> str:
    """Return the sizes of the layers, such as 2 x 256 or 2 x 1150 + 400."""
    if model.last_size == model.hidden_size:
        return f"{model.num_layers} x {model.hidden_size}"
    return f"{model.num_layers - 1} x {model.hidden_size} + {model.last_size}"


def _regularizers(settings: Settings) -> str:
    """Return the regularizers in use, a comma before each."""
    model, training = settings.model, settings.training
    kind = "variational dropout" if model.variational_dropout else "dropout"
    before, between, after = (f"{rate:g}" for rate in model.dropout_rates)
    ids = model.embedding_size is None  # which have no units to drop
    same = (before == between or ids) and after == between
    rates = between if same else f"{before} before, {between} between and {after} after the layers"
    named = {name.replace("_", " "): getattr(model, name) for name in INSIDE}
    named |= {
        name.replace("_", " "): getattr(training, name)
        for name in ("weight_decay", "activation_penalty", "temporal_penalty", "average")
    }
    parts = {
        f"{kind} {rates}": any(model.dropout_rates),
        **{
            f"{name} {number:g}": number != 0
            for name, number in named.items()
            if number is not None
        },
        "random lengths": training.random_lengths,
        "tied embeddings": model.tie_embeddings,
        "unigram bias": training.unigram_bias,
        model.dtype: model.dtype != "float32",
    }
    return "".join(f", {part}" for part, used in parts.items() if used)


class Seconds(NamedTuple):
    """The seconds since this command was started, by kind of work."""

    wall: float
    """Seconds in all."""
    compiling: float
    """Of these, seconds spent compiling."""
    saving: float
    """Of these, seconds spent saving."""


class NoLog(contextlib.nullcontext["NoLog"]):
    """The log of a process that writes none."""

    rows: ClassVar[list[dict[str, Any]]] = []

    def __enter__(self) -> "NoLog":
        return self

    def add(self, row: dict[str, Any]) -> None:
        """Discard the row."""


Log = MetricsLog | NoLog


def open_log(out: Path, finished_epochs: int) -> Log:
    """Open the run's log, or a `NoLog` in every process but the first."""
    return MetricsLog(out, finished_epochs) if is_first() else NoLog()


def report_epoch(run: Run, log: Log, state: TrainState, progress: Progress) -> float | None:
    """Log an epoch; now and then, evaluate it and print samples.

    The held-out text is evaluated less often if there is a validation text.

    Returns:
        The validation perplexity; None if this epoch was not evaluated, or without such a text.
    """
    from tqdm import tqdm  # its `write` leaves a progress bar intact

    epoch = progress.finished_epochs
    row: dict[str, Any] = {
        "epoch": epoch,
        "step": int(state.step),
        "perplexity": progress.perplexity,
        "tokens_per_second": progress.tokens_per_second,
        "seconds": progress.seconds,
    }
    if progress.skipped:
        row["skipped_steps"] = progress.skipped
    validation = None
    last = epoch == run.settings.training.epochs
    report = epoch % run.settings.sample_every == 0 or last
    if report or epoch % max(1, run.settings.training.epochs // POINTS_OF_CURVE) == 0:
        if (validation := run.validation_perplexity(state)) is not None:
            row["validation_perplexity"] = validation
        if report or validation is None:
            row |= run.held_out(state)
    if report:
        tqdm.write(_format_row(row))
        for sample in run.samples(state):
            tqdm.write("  - " + visible(sample).replace("\n", "\n    "))
    log.add(row)
    return validation


def _format_row(row: dict[str, Any]) -> str:
    skipped = f", {row['skipped_steps']} steps skipped" if "skipped_steps" in row else ""
    held_out = ""
    if "validation_perplexity" in row:
        held_out = f", validation {_short(row['validation_perplexity'])}"
    if "held_out_perplexity" in row:
        held_out += f", held out {_short(row['held_out_perplexity'])}" + (
            f" ({row['held_out_bits_per_token']:.2f} bits each,"
            f" unigrams {row['unigram_perplexity']:.1f},"
            f" {row['held_out_unknown_share']:.1%} unknown)"
        )
    return (
        f"epoch {row['epoch']}, perplexity {row['perplexity']:.3f}{held_out},"
        f" {row['tokens_per_second']:,.0f} tokens/s{skipped}"
    )


def _short(perplexity: float) -> str:
    return f"{perplexity:.4g}" if perplexity < 1000 else f"{perplexity:,.0f}"


def has_summary(out: Path, finished_epochs: int) -> bool:
    """Return whether there is an intact summary of exactly that many epochs."""
    try:
        return bool(read_summary(out)["epochs"] == finished_epochs)
    except (OSError, ValueError, KeyError):
        return False


def report_end(
    run: Run,
    log: Log,
    state: TrainState,
    progress: Progress,
    seconds: Seconds,
    best: Best | None,
) -> None:
    """Draw the curve and write the summary.

    If the run was stopped, the held-out metrics are the last ones logged and there are no samples,
    as the user is waiting.
    """
    if not is_first():
        return
    finished = progress.finished_epochs == run.settings.training.epochs
    settings, corpus = run.settings, run.corpus
    config = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(settings).items()
    }
    summary = {
        "perplexity": progress.perplexity,
        "held_out_perplexity": None,
        **(run.held_out(state) if finished else _last_held_out(log)),
        "best": best and next((row for row in log.rows if row["epoch"] == best.epoch), None),
        "epochs": progress.finished_epochs,
        "finished": finished,
        "tokens_per_second": progress.tokens_per_second,
        "seconds": progress.seconds,
        "compile_seconds": seconds.compiling,
        "save_seconds": seconds.saving,
        "wall_seconds": seconds.wall,
        "skipped_steps": progress.skipped,
        "corpus": corpus.name,
        "corpus_source": corpus.source,
        "digest": corpus.digest,
        "samples": run.samples(state) if finished else [],
        "params_digest": params_digest(state.params),
        "origin": run.start.origin and dataclasses.asdict(run.start.origin),
        "config": config,
        "versions": environment(settings.model, settings.training),
        "device": device(settings.training),
    }
    write_summary(settings.out, summary)
    title = f"{settings.model.cell.upper()} on {Path(corpus.name).name}"
    plot_perplexity(log.rows, title, settings.out / "curve.png")
    curve = "curve, " if (settings.out / "curve.png").exists() else ""
    resumed = settings.resume and run.start.previous is not None
    print(
        f"{_epochs(progress)} in {progress.seconds:.1f} s of training"
        f"{', earlier starts included; in this one' if resumed else ','}"
        f" {seconds.compiling:.1f} s of compiling, {seconds.saving:.1f} s of saving,"
        f" {seconds.wall:.1f} s in all; {curve}metrics, summary and checkpoints in {settings.out}\n"
        f"training perplexity {summary['perplexity']:.3f}, {summary['tokens_per_second']:,.0f}"
        f" tokens/s on {device(settings.training)}"
    )


def _epochs(progress: Progress) -> str:
    """Return the number of epochs in words, to two decimals if one is unfinished."""
    done = progress.epoch + progress.batch / max(1, progress.num_batches)
    return "1 epoch" if done == 1 else f"{round(done, 2):g} epochs"


def _last_held_out(log: Log) -> dict[str, float]:
    judged = (row for row in reversed(log.rows) if "held_out_perplexity" in row)
    last: dict[str, Any] = next(judged, {})
    return {name: value for name, value in last.items() if name.startswith(("held_out", "unigram"))}
