"""The start of a run: from nothing, from another run's parameters, or where it was stopped."""

import dataclasses
import os
import warnings
from pathlib import Path
from typing import NamedTuple

from jaxrnn.model_config import ModelConfig
from jaxrnn.runs.checkpoints import Checkpoints, CheckpointWarning
from jaxrnn.runs.digests import params_digest
from jaxrnn.runs.loading import LoadedRun, with_saved
from jaxrnn.runs.record import Origin, Record
from jaxrnn.runs.saved_checkpoint import CheckpointError, Saved
from jaxrnn.runs.settings import Settings
from jaxrnn.text.sources import KNOWN
from jaxrnn.typing import Params


class Start(NamedTuple):
    """The settings of a run, and what it starts from."""

    settings: Settings
    """Its settings; a fine-tuned run has the model and the unit of the run that it comes from."""
    previous: Record | None = None
    """The record of the run that is resumed or, in a new run, fine-tuned."""
    origin: Origin | None = None
    """Where the first parameters came from; None if they were drawn."""
    params: Params | None = None
    """The parameters to fine-tune; None if they are drawn, or if the run is resumed."""


def find_start(settings: Settings) -> Start:
    """Find out where a run of these settings starts.

    The run that is fine-tuned is read once, without a lock, and no longer needed after that.

    Raises:
        CheckpointError: the run to fine-tune has no intact checkpoint.
        ValueError: flags contradict the run that is fine-tuned or resumed, or one another.
    """
    resumed = _newest_record(settings.out) if settings.resume else None
    if resumed is not None:
        return _resume(settings, resumed)
    if settings.from_run is None:
        if settings.new_tokens != "refuse":
            raise ValueError(f"--new-tokens {settings.new_tokens} needs --from, got none")
        if settings.from_use is not None:
            raise ValueError(f"--from-use {settings.from_use} needs --from, got none")
        return Start(settings)

    def start_from(saved: Saved, run: LoadedRun) -> Start:
        digest = params_digest(run.params)
        origin = Origin(str(settings.from_run), saved.step, digest, len(run.vocabulary))
        return Start(settings, saved.text_record(), origin, run.params)

    start = with_saved(settings.from_run, settings.from_use, start_from)
    assert start.previous is not None
    return start._replace(settings=_as_trained(settings, start.previous, settings.from_run))


def _resume(settings: Settings, resumed: Record) -> Start:
    """Return the start of a resumed run; one that was fine-tuned needs its own folder alone."""
    trained = resumed.text.corpus
    if settings.corpus in KNOWN and trained not in KNOWN and not settings.accept_changes:
        # Before a text that is not wanted is downloaded.
        paths = trained if isinstance(trained, str) else " ".join(trained)
        raise ValueError(
            f"--corpus is {settings.corpus}, but the run in {settings.out} reads {paths}: --resume"
            " belongs to the whole command that began the run"
        )
    origin, asked = resumed.origin, settings.from_run
    source = origin and origin.run_dir
    if asked is not None and (not source or os.path.realpath(source) != os.path.realpath(asked)):
        raise ValueError(
            f"--from is {asked}, but the run in {settings.out} began with the parameters of"
            f" {source or 'no other run'}: leave out --from to resume it"
        )
    if origin is not None:
        settings = _as_trained(settings, resumed, settings.out)
    if settings.unit != resumed.vocabulary.unit:
        raise ValueError(
            f"unit must be {resumed.vocabulary.unit}, as in {settings.out}, got {settings.unit}"
        )
    return Start(dataclasses.replace(settings, from_run=None), resumed, origin)


def _as_trained(settings: Settings, trained: Record, run_dir: Path) -> Settings:
    """Return the settings with the model and the unit of a run.

    Raises:
        ValueError: one of them was set to something else.
    """
    asked = dataclasses.asdict(settings.model) | {"unit": settings.unit}
    defaults = dataclasses.asdict(ModelConfig()) | {"unit": Settings.unit}
    there = dataclasses.asdict(trained.model) | {"unit": trained.vocabulary.unit}
    for name, value in asked.items():
        if value not in (defaults[name], there[name]):
            raise ValueError(
                f"{name} must be {there[name]}, as in {run_dir}, whose parameters are fine-tuned,"
                f" got {value}"
            )
    return dataclasses.replace(settings, model=trained.model, unit=trained.vocabulary.unit)


def _newest_record(out: Path) -> Record | None:
    """Return the record of the newest readable checkpoint, or None."""
    try:
        with warnings.catch_warnings(), Checkpoints(out, read_only=True) as checkpoints:
            warnings.simplefilter("ignore", CheckpointWarning)  # shown when training begins
            return checkpoints.newest(lambda saved: saved.text_record())
    except CheckpointError:
        return None
