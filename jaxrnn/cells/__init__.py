"""Recurrent cells: gate equations only.  `jaxrnn.unroll` runs them over time."""

from jaxrnn.cells.cell import BaseCell as BaseCell
from jaxrnn.cells.cell import Cell as Cell
from jaxrnn.cells.cell import HiddenCarry as HiddenCarry
from jaxrnn.cells.cell import LoopParams as LoopParams
from jaxrnn.cells.cell import StepCell as StepCell
from jaxrnn.cells.cell import zero_carry as zero_carry
from jaxrnn.cells.elman import rnn as rnn
from jaxrnn.cells.gru import gru as gru
from jaxrnn.cells.lstm import LSTMCarry as LSTMCarry
from jaxrnn.cells.lstm import lstm as lstm
