"""Recurrent cells: the equations of one time step.  `jaxrnn.unroll` runs them over time.

There are three types: a `Cell` has gate equations around one recurrent product, a `LinearCell` has
a state that is a linear function of itself, and a `StepCell` is any other recurrence.  `cell.py`
and `linear_cell.py` define them, their parameters and the carries that they start from.  Every
other file holds the equations of a cell or two.
"""

from jaxrnn.cells.cell import BaseCell, Cell, HiddenCarry, LoopParams, StepCell, zero_carry
from jaxrnn.cells.cifg import cifg
from jaxrnn.cells.elman import rnn
from jaxrnn.cells.ema import ema
from jaxrnn.cells.gru import gru
from jaxrnn.cells.indrnn import indrnn
from jaxrnn.cells.layer_norm import layer_norm_gru, layer_norm_lstm
from jaxrnn.cells.linear_cell import ComplexCarry, LinearCarry, LinearCell, linear_cell
from jaxrnn.cells.lru import lru
from jaxrnn.cells.lstm import LSTMCarry, lstm
from jaxrnn.cells.mgu import mgu
from jaxrnn.cells.minimal import min_gru, min_lstm
from jaxrnn.cells.peephole import peephole_lstm
from jaxrnn.cells.qrnn import qrnn
from jaxrnn.cells.rg_lru import rg_lru
from jaxrnn.cells.s5 import s5
from jaxrnn.cells.slstm import SLSTMCarry, slstm
from jaxrnn.cells.sru import sru

__all__ = [  # noqa: RUF022, sorted by topic
    # cells of gate equations
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
    # linear cells
    "min_gru",
    "min_lstm",
    "lru",
    "s5",
    "rg_lru",
    "qrnn",
    "sru",
    "ema",
    # custom cells
    "Cell",
    "StepCell",
    "LinearCell",
    "linear_cell",
    "BaseCell",
    "LoopParams",
    # carries
    "HiddenCarry",
    "LSTMCarry",
    "SLSTMCarry",
    "LinearCarry",
    "ComplexCarry",
    "zero_carry",
]
