"""The windows of every epoch of a training run on one text."""

from dataclasses import dataclass

import numpy as np

from jaxrnn.text.random_lengths import LONGEST_ABOVE, random_lengths_plan
from jaxrnn.text.windows import WindowPlan, check_long_enough, random_plan, sequential_plan


@dataclass(frozen=True)
class EpochPlans:
    """A window plan for each epoch, a pure function of these settings and the epoch's number.

    Raises:
        ValueError: the text is too short for one batch at the largest offset.

    Examples:
        >>> from jaxrnn.text.epoch_plans import EpochPlans
        >>> plans = EpochPlans(21, True, False, batch_size=2, num_steps=5, seed=0)
        >>> plans.plan(epoch=3)[:].offsets.tolist()
        [[0, 10], [5, 15]]
    """

    num_ids: int
    """The number of tokens in the text."""
    sequential: bool
    """Whether rows are read side by side; otherwise windows come in random order."""
    random_offset: bool
    """Whether each epoch skips a random number of tokens at its start."""
    batch_size: int
    """The number of windows in a batch."""
    num_steps: int
    """The number of tokens in a window."""
    seed: int
    """The seed of the order, the offsets and the lengths."""
    random_lengths: bool = False
    """Whether the lengths of sequential windows are drawn, around `num_steps`."""

    def __post_init__(self) -> None:
        most_skipped = self.num_steps - (not self.sequential) if self.random_offset else 0
        check_long_enough(self.num_ids, most_skipped, self.batch_size, self.longest, self.longest)

    @property
    def longest(self) -> int:
        """The number of tokens that windows are cut out with."""
        return self.num_steps + LONGEST_ABOVE * self.random_lengths

    def plan(self, epoch: int) -> WindowPlan:
        """Return the windows of one epoch."""
        if not self.random_offset:
            return self._plan(epoch)
        generator = np.random.default_rng((self.seed, epoch, 1))  # not the stream of the order
        if not self.sequential:
            return self._plan(epoch, int(generator.integers(0, self.num_steps)))
        offset = int(generator.integers(0, self.num_steps, endpoint=True))
        return self._plan(epoch, offset, (self.num_ids - offset - 1) // self.batch_size)

    def batches_per_epoch(self) -> int:
        """Return the number of batches of an epoch without an offset.

        With random lengths it is that of the first epoch; others differ by a few.
        """
        return len(self._plan(0))

    def _plan(self, epoch: int, offset: int = 0, row_length: int | None = None) -> WindowPlan:
        sizes = (self.num_ids, self.batch_size, self.num_steps)
        if self.random_lengths:
            generator = np.random.default_rng((self.seed, epoch, 2))
            return random_lengths_plan(*sizes, generator, offset, row_length)
        if self.sequential:
            return sequential_plan(*sizes, offset, row_length)
        return random_plan(*sizes, self.seed, epoch, offset)
