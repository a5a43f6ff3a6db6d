"""Recurrent cells: the equations of one time step.  `jaxrnn.unroll` runs them over time.

`cell.py` defines the two types of cell: `Cell`, for gate equations around one recurrent product,
and `StepCell`, for any other recurrence.  It also defines their parameters and the carries that
they start from.  `elman.py` (`rnn`), `gru.py` and `lstm.py` hold the built-in cells.
"""

from jaxrnn.cells.cell import BaseCell, Cell, HiddenCarry, LoopParams, StepCell, zero_carry
from jaxrnn.cells.elman import rnn
from jaxrnn.cells.gru import gru
from jaxrnn.cells.lstm import LSTMCarry, lstm
from jaxrnn.cells.mgu import mgu

__all__ = [  # noqa: RUF022, sorted by topic
    # built-in cells
    "rnn",
    "gru",
    "lstm",
    "mgu",
    # custom cells
    "Cell",
    "StepCell",
    "BaseCell",
    "LoopParams",
    # carries
    "HiddenCarry",
    "LSTMCarry",
    "zero_carry",
]
