"""Recurrent networks for JAX as pure functions.

A cell is its gate equations; `unroll` runs any cell over time; layers nest; language models train,
resume, generate and score.  See the README for a tour.
"""

from jaxrnn.cells import Cell as Cell
from jaxrnn.cells import HiddenCarry as HiddenCarry
from jaxrnn.cells import LoopParams as LoopParams
from jaxrnn.cells import LSTMCarry as LSTMCarry
from jaxrnn.cells import StepCell as StepCell
from jaxrnn.cells import gru as gru
from jaxrnn.cells import lstm as lstm
from jaxrnn.cells import rnn as rnn
from jaxrnn.cells import zero_carry as zero_carry
from jaxrnn.generation import Sampling as Sampling
from jaxrnn.generation import generate as generate
from jaxrnn.generation import generate_ids as generate_ids
from jaxrnn.language_model import language_model as language_model
from jaxrnn.layers import Layer as Layer
from jaxrnn.layers import bidirectional as bidirectional
from jaxrnn.layers import dropout as dropout
from jaxrnn.layers import embedding as embedding
from jaxrnn.layers import learned_initial_carry as learned_initial_carry
from jaxrnn.layers import linear as linear
from jaxrnn.layers import recurrent as recurrent
from jaxrnn.layers import stack as stack
from jaxrnn.layers import step as step
from jaxrnn.matmul import matmul as matmul
from jaxrnn.model_config import ModelConfig as ModelConfig
from jaxrnn.model_config import build_language_model as build_language_model
from jaxrnn.recurrence import BlockDiagonal as BlockDiagonal
from jaxrnn.recurrence import LowRank as LowRank
from jaxrnn.recurrence import RecurrentParams as RecurrentParams
from jaxrnn.recurrence import unroll as unroll
from jaxrnn.runs import load_run as load_run
from jaxrnn.scoring import Score as Score
from jaxrnn.scoring import score as score
from jaxrnn.text import Batch as Batch
from jaxrnn.text import Vocabulary as Vocabulary
from jaxrnn.text import load_corpus as load_corpus
from jaxrnn.text import random_windows as random_windows
from jaxrnn.text import sequential_windows as sequential_windows
from jaxrnn.training import TrainConfig as TrainConfig
from jaxrnn.training import TrainState as TrainState
from jaxrnn.training import init_state as init_state
from jaxrnn.training import make_optimizer as make_optimizer
from jaxrnn.training import make_train_step as make_train_step
from jaxrnn.training import train as train

__version__ = "0.1.0"
