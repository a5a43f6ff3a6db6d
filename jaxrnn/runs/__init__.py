"""A training run: from settings to a folder, and back."""

from jaxrnn.runs.checkpoints import Checkpoints as Checkpoints
from jaxrnn.runs.checkpoints import CheckpointWarning as CheckpointWarning
from jaxrnn.runs.checkpoints import Kind as Kind
from jaxrnn.runs.loading import LoadedRun as LoadedRun
from jaxrnn.runs.loading import load_run as load_run
from jaxrnn.runs.record import Best as Best
from jaxrnn.runs.record import Record as Record
from jaxrnn.runs.record import TextRecord as TextRecord
from jaxrnn.runs.saved import CheckpointError as CheckpointError
from jaxrnn.runs.saved import DamagedCheckpointError as DamagedCheckpointError
from jaxrnn.runs.saved import Saved as Saved
from jaxrnn.runs.saved import SaveFailedError as SaveFailedError
