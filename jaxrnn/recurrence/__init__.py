"""Running a cell over time: `unroll`, and one file per way to do it."""

from jaxrnn.recurrence.params import RecurrentParams as RecurrentParams
from jaxrnn.recurrence.products import BlockDiagonal as BlockDiagonal
from jaxrnn.recurrence.products import LowRank as LowRank
from jaxrnn.recurrence.products import Masked as Masked
from jaxrnn.recurrence.unroll import unroll as unroll
