"""Running a cell over time: `unroll`, and one file per way to do it."""

from jaxrnn.recurrence.unroll import unroll as unroll
from jaxrnn.recurrence.weights import BlockDiagonal as BlockDiagonal
from jaxrnn.recurrence.weights import LowRank as LowRank
from jaxrnn.recurrence.weights import Masked as Masked
from jaxrnn.recurrence.weights import RecurrentParams as RecurrentParams
