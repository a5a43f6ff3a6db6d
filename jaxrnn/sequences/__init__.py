"""Your own sequences, in the form that layers take.

`padding.py` makes arrays of ragged sequences, and takes out of arrays what is valid.  `sorting.py`
brings steps that do not count, wherever they are, to the end.
"""

from jaxrnn.sequences.padding import last_valid, pad, unpad, valid_steps
from jaxrnn.sequences.sorting import SortedSteps, sort_valid

__all__ = [  # noqa: RUF022, sorted by topic
    # ragged sequences
    "pad",
    "unpad",
    # the valid steps of padded arrays
    "valid_steps",
    "last_valid",
    # invalid steps anywhere
    "sort_valid",
    "SortedSteps",
]
