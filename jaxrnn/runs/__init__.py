"""Training runs: from settings to a folder, and back.

`settings.py` holds every flag of a run (`processes.py` those of several processes), and `texts.py`
reads the text that they name.  `start.py` finds out where the run starts, and `run.py` builds model
and optimizer; `saver.py` decides what is saved and when, and resumes.  On disk, `run_folder.py`
marks and locks the folder, `checkpoints.py` writes and finds checkpoints in `step_folders.py`'s
layout, `saved_checkpoint.py` verifies and restores one, `digests.py` hashes arrays, and
`record.py` describes what they belong to.
`report.py` prints progress and writes the files of `metrics.py`, `pictures.py` and `summary.py`;
`files.py` replaces files atomically, and `interrupts.py` defers Ctrl-C.  `loading.py` reads a
trained model back.

Fits of arrays have a folder, too: `array_fit.py` trains there, and `array_record.py` describes the
arrays.  `params.py` saves and loads parameters alone.
"""

from jaxrnn.runs.array_fit import fit
from jaxrnn.runs.checkpoints import Checkpoints, CheckpointWarning, Kind
from jaxrnn.runs.loading import LoadedRun, Use, load_run
from jaxrnn.runs.params import load_params, save_params
from jaxrnn.runs.record import Best, Origin, Record, TextRecord
from jaxrnn.runs.saved_checkpoint import (
    CheckpointError,
    DamagedCheckpointError,
    Saved,
    SaveFailedError,
)

__all__ = [  # noqa: RUF022, sorted by topic
    # trained models
    "LoadedRun",
    "load_run",
    "Use",
    # fits of arrays, and parameters alone
    "fit",
    "save_params",
    "load_params",
    # checkpoints
    "Checkpoints",
    "Kind",
    "Saved",
    # what a checkpoint belongs to
    "Record",
    "TextRecord",
    "Best",
    "Origin",
    # errors and warnings
    "CheckpointError",
    "DamagedCheckpointError",
    "SaveFailedError",
    "CheckpointWarning",
]
