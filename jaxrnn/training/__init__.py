"""Training: loss, gradient, step, and the loop over epochs.  It writes no files.

`config.py` holds the settings.  `optimizer.py` makes optax's optimizers by name, `schedules.py`
their learning rates, and `averaging.py` keeps an average of the parameters.
`batch_loss.py` and `gradient.py` compute a batch's loss and gradient, with `chunked_loss.py` where
there are many logits; `train_step.py` makes one step of them, and `trainer.py` takes the steps of
many epochs.
`feed.py` brings batches from the text to the devices.  `parallel.py` splits the rows of a batch
over devices, `processes.py` connects the processes of a run, and `memory.py` says how much memory
the machine has.
"""

from jaxrnn.training.averaging import average_of, average_params
from jaxrnn.training.config import TrainConfig
from jaxrnn.training.optimizer import make_optimizer
from jaxrnn.training.train_step import Metrics, TrainState, init_state, make_train_step
from jaxrnn.training.trainer import NonFiniteError, Progress, train

__all__ = [  # noqa: RUF022, sorted by topic
    # settings
    "TrainConfig",
    "make_optimizer",
    "average_params",
    "average_of",
    # one step
    "TrainState",
    "Metrics",
    "init_state",
    "make_train_step",
    # many epochs
    "Progress",
    "train",
    "NonFiniteError",
]
