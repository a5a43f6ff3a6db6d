"""Running a cell over time: `unroll`, and one file per way to do it."""

from jaxrnn.recurrence.unroll import RecurrentParams as RecurrentParams
from jaxrnn.recurrence.unroll import unroll as unroll
