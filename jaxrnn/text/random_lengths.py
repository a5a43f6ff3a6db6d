"""Sequential windows whose length is drawn anew for each batch.

No gradient crosses the boundary between two windows.  If all have one length, the boundaries fall
on the same tokens in every epoch, and these never learn from what stands before them.

Reference: Merity, Keskar and Socher, Regularizing and optimizing LSTM language models, 2018,
arXiv:1708.02182, section 4.1.
"""

import numpy as np

from jaxrnn.text.windows import WindowPlan, check_long_enough
from jaxrnn.typing import HostArray, Int

HALF = 0.05
"""The probability with which a length is drawn around half the number of steps."""
DEVIATION = 5.0
"""The standard deviation of a length, in tokens."""
SHORTEST = 5
"""The least tokens in a window, unless num_steps is smaller."""
LONGEST_ABOVE = 10
"""The most tokens in a window, counted from num_steps: two standard deviations."""


def draw_lengths(num_steps: int, number: int, generator: np.random.Generator) -> np.ndarray:
    """Draw the lengths of windows: around `num_steps`, and sometimes around half of it.

    Examples:
        >>> import numpy as np
        >>> from jaxrnn.text.random_lengths import draw_lengths
        >>> draw_lengths(70, 5, np.random.default_rng(1)).tolist()
        [72, 67, 72, 71, 71]
    """
    around = np.where(generator.random(number) < HALF, num_steps / 2, num_steps)
    drawn = generator.normal(around, DEVIATION).astype(np.int32)
    return np.clip(drawn, min(SHORTEST, num_steps), num_steps + LONGEST_ABOVE)


def random_lengths_plan(
    num_ids: int,
    batch_size: int,
    num_steps: int,
    generator: np.random.Generator,
    offset: int = 0,
    row_length: int | None = None,
) -> WindowPlan:
    """Return a plan like `sequential_plan`, with windows of random lengths.

    Every batch's windows have the same length, and the next ones begin where they end.

    Args:
        num_ids, batch_size, num_steps, offset, row_length: as for `sequential_plan`.
        generator: draws the lengths.

    Raises:
        ValueError: the text is too short for one batch of the longest windows.

    Examples:
        >>> import numpy as np
        >>> from jaxrnn.text.random_lengths import random_lengths_plan
        >>> windows = random_lengths_plan(300, 2, 40, np.random.default_rng(0))[:]
        >>> windows.lengths.tolist(), windows.offsets[:, 0].tolist()
        ([38, 39, 22, 21], [0, 38, 77, 99])
    """
    longest = num_steps + LONGEST_ABOVE
    check_long_enough(num_ids, offset, batch_size, longest, longest)
    row_length = row_length or (num_ids - offset) // batch_size
    # The windows of all rows are cut out at the longest length, the last row's too.
    last_begin = num_ids - 1 - longest - (offset + (batch_size - 1) * row_length)
    most = row_length // min(SHORTEST, num_steps) + 1
    lengths = draw_lengths(num_steps, most, generator)
    begins = np.cumsum(lengths) - lengths
    within_text = np.searchsorted(begins, last_begin, side="right")
    within_row = np.searchsorted(begins + lengths, row_length, side="right")
    number = int(min(within_text, within_row))
    lengths, begins = lengths[:number], begins[:number]

    def offsets_of(batches: Int[HostArray, "N 1"], rows: Int[HostArray, "B"]) -> HostArray:
        return offset + rows[None] * row_length + begins[batches]

    def lengths_of(batches: Int[HostArray, "N"]) -> HostArray:
        return lengths[batches]

    return WindowPlan(number, batch_size, num_ids, offsets_of, True, lengths_of)
