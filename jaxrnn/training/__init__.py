"""Training: loss, gradient, step, and the loop over epochs."""

from jaxrnn.training.config import TrainConfig as TrainConfig
from jaxrnn.training.losses import bits_per_character as bits_per_character
from jaxrnn.training.losses import cross_entropy as cross_entropy
from jaxrnn.training.losses import perplexity as perplexity
from jaxrnn.training.optimizer import make_optimizer as make_optimizer
from jaxrnn.training.train_step import Metrics as Metrics
from jaxrnn.training.train_step import TrainState as TrainState
from jaxrnn.training.train_step import init_state as init_state
from jaxrnn.training.train_step import make_train_step as make_train_step
from jaxrnn.training.trainer import NonFiniteError as NonFiniteError
from jaxrnn.training.trainer import Progress as Progress
from jaxrnn.training.trainer import train as train
