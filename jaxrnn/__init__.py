"""Recurrent networks for JAX as pure functions.

`cells` holds the equations of one time step; `recurrence` runs any cell over time (`unroll`), and
`layers` builds nestable layers from it.  `sequences` makes arrays of ragged sequences, and `losses`
compares a model's outputs with the targets of a `Batch`.  `models.py` holds classifiers and the
like; `language_model.py` and `model_config.py` build language models, `fine_tuning.py` gives
trained ones new tokens, and `generation` and `scoring` use them.  `text` reads corpora,
`training` trains on text and `fitting` on arrays, `runs` keeps a training run in a folder,
`interop` exchanges weights with other libraries.  `probes` look inside a network, `studio` shows it
on a page, and `commands` is the command line.  `matmul.py`
and `primitives.py` hold the operations underneath, `checks.py` and `typing.py` the checks and types
of arguments.  See the README for a tour.

Examples:
    >>> import jax, jaxrnn
    >>> layer = jaxrnn.recurrent(jaxrnn.lstm(8))
    >>> params = layer.init(jax.random.key(0), 3)
    >>> outputs, carry = layer.apply(params, jax.numpy.ones((5, 2, 3)))
    >>> outputs.shape
    (5, 2, 8)
"""

from jaxrnn import losses, probes
from jaxrnn.batch import Batch
from jaxrnn.cells import (
    Cell,
    ComplexCarry,
    HiddenCarry,
    LinearCarry,
    LoopParams,
    LSTMCarry,
    SLSTMCarry,
    StepCell,
    cifg,
    ema,
    gru,
    indrnn,
    layer_norm_gru,
    layer_norm_lstm,
    linear_cell,
    lru,
    lstm,
    mgu,
    min_gru,
    min_lstm,
    peephole_lstm,
    qrnn,
    rg_lru,
    rnn,
    s5,
    slstm,
    sru,
    zero_carry,
)
from jaxrnn.fine_tuning import add_tokens
from jaxrnn.fitting import History, evaluate, fit, plot_history, predict
from jaxrnn.generation import (
    Generated,
    Sample,
    Sampling,
    generate,
    generate_ids,
    generate_samples,
    generate_stream,
)
from jaxrnn.language_model import language_model
from jaxrnn.layers import (
    Layer,
    batch_first,
    bidirectional,
    dropout,
    embedding,
    learned_initial_carry,
    linear,
    pointwise,
    recurrent,
    residual,
    stack,
    step,
)
from jaxrnn.matmul import matmul
from jaxrnn.model_config import ModelConfig, build_language_model
from jaxrnn.models import classifier, regressor, tagger
from jaxrnn.recurrence import (
    BlockDiagonal,
    LowRank,
    RecurrentParams,
    implementations,
    unroll,
)
from jaxrnn.runs import load_params, load_run, save_params
from jaxrnn.scoring import Score, score
from jaxrnn.sequences import SortedSteps, last_valid, pad, sort_valid, unpad, valid_steps
from jaxrnn.text import Vocabulary, load_corpus, random_windows, sequential_windows
from jaxrnn.training import (
    TrainConfig,
    TrainState,
    init_state,
    make_optimizer,
    make_train_step,
    train,
)

__all__ = [  # noqa: RUF022, sorted by topic
    # cells
    "rnn",
    "gru",
    "lstm",
    "peephole_lstm",
    "cifg",
    "layer_norm_lstm",
    "layer_norm_gru",
    "mgu",
    "indrnn",
    "slstm",
    "min_gru",
    "min_lstm",
    "lru",
    "s5",
    "rg_lru",
    "qrnn",
    "sru",
    "ema",
    "Cell",
    "StepCell",
    "linear_cell",
    "LoopParams",
    "HiddenCarry",
    "LSTMCarry",
    "SLSTMCarry",
    "LinearCarry",
    "ComplexCarry",
    "zero_carry",
    # a cell over time
    "unroll",
    "implementations",
    "RecurrentParams",
    "LowRank",
    "BlockDiagonal",
    "matmul",
    # layers
    "Layer",
    "recurrent",
    "linear",
    "embedding",
    "dropout",
    "pointwise",
    "stack",
    "bidirectional",
    "residual",
    "learned_initial_carry",
    "batch_first",
    "step",
    # models of sequences
    "classifier",
    "regressor",
    "tagger",
    # training on sequences
    "fit",
    "predict",
    "evaluate",
    "History",
    "plot_history",
    "save_params",
    "load_params",
    # sequences of one's own
    "pad",
    "unpad",
    "valid_steps",
    "last_valid",
    "sort_valid",
    "SortedSteps",
    # language models
    "language_model",
    "ModelConfig",
    "build_language_model",
    "add_tokens",
    "Sampling",
    "generate",
    "generate_samples",
    "Sample",
    "generate_stream",
    "generate_ids",
    "Generated",
    "Score",
    "score",
    # text
    "load_corpus",
    "Vocabulary",
    "sequential_windows",
    "random_windows",
    # training
    "losses",
    "TrainConfig",
    "TrainState",
    "make_optimizer",
    "init_state",
    "make_train_step",
    "Batch",
    "train",
    "load_run",
    # what happens inside
    "probes",
]

__version__ = "0.1.0"
