"""Layers: anything that maps a sequence to a sequence.

`layer.py` defines the type `Layer` and what all layers share.  `recurrent.py` runs a cell over
time: `recurrent_params.py` draws its parameters, and `recurrent_regularizers.py` the noise inside
it.  `linear.py` holds linear layers and embeddings, `dropout.py` dropout, and `pointwise.py` any
function of each step.  `stack.py`, `bidirectional.py`, `residual.py`, `learned_carry.py` and
`batch_first.py` build layers from other layers.
`step.py` runs any causal layer one time step at a time, and `initializers.py` holds initialisers.
"""

from jaxrnn.layers.batch_first import BatchFirst, batch_first
from jaxrnn.layers.bidirectional import Bidirectional, Directions, bidirectional
from jaxrnn.layers.dropout import Dropout, dropout
from jaxrnn.layers.initializers import chrono, initializer
from jaxrnn.layers.layer import Layer
from jaxrnn.layers.learned_carry import (
    LearnedCarryParams,
    LearnedInitialCarry,
    learned_initial_carry,
)
from jaxrnn.layers.linear import Embedding, Linear, LinearParams, embedding, linear
from jaxrnn.layers.pointwise import PointwiseFunction, pointwise
from jaxrnn.layers.recurrent import Recurrent, recurrent
from jaxrnn.layers.residual import Residual, residual
from jaxrnn.layers.stack import Stack, stack
from jaxrnn.layers.step import step
from jaxrnn.recurrence.boundaries import Context

__all__ = [  # noqa: RUF022, sorted by topic
    # the type, and what reaches every layer of a network
    "Layer",
    "Context",
    # factories
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
    # what they make
    "Recurrent",
    "Linear",
    "Embedding",
    "Dropout",
    "PointwiseFunction",
    "Stack",
    "Bidirectional",
    "Residual",
    "LearnedInitialCarry",
    "BatchFirst",
    # parameters and carries
    "LinearParams",
    "Directions",
    "LearnedCarryParams",
    "initializer",
    "chrono",
    # one time step
    "step",
]
