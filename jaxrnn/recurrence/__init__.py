"""Running a cell over time: `unroll`, and one file per way to do it."""

from jaxrnn.recurrence.params import RecurrentParams as RecurrentParams
from jaxrnn.recurrence.unroll import unroll as unroll
