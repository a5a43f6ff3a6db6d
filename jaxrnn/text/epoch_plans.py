"""The windows of all epochs of a training on one text."""

from dataclasses import dataclass

import numpy as np

from jaxrnn.text.windows import WindowPlan, check_long_enough, random_plan, sequential_plan


@dataclass(frozen=True)
class EpochPlans:
    """A plan for each epoch: a pure function of these settings and the epoch's number.

    Raises:
        ValueError: the text is too short for one batch, at some offset.
    """

    num_ids: int
    """Tokens of the text."""
    sequential: bool
    """Whether rows are read side by side; else windows come in random order."""
    random_offset: bool
    """Whether each epoch skips some tokens at its start."""
    batch_size: int
    num_steps: int
    seed: int

    def __post_init__(self) -> None:
        most_skipped = self.num_steps - (not self.sequential) if self.random_offset else 0
        check_long_enough(
            self.num_ids, most_skipped, self.batch_size, self.num_steps, self.num_steps
        )

    def plan(self, epoch: int) -> WindowPlan:
        """Return the windows of one epoch."""
        if not self.random_offset:
            return self._plan(epoch)
        generator = np.random.default_rng((self.seed, epoch, 1))  # the order has its own stream
        if not self.sequential:
            return self._plan(epoch, int(generator.integers(0, self.num_steps)))
        offset = int(generator.integers(0, self.num_steps, endpoint=True))
        return self._plan(epoch, offset, (self.num_ids - offset - 1) // self.batch_size)

    def most_batches(self) -> int:
        """Return the number of batches of an epoch without an offset, the most that there are."""
        return len(self._plan(0))

    def _plan(self, epoch: int, offset: int = 0, row_length: int | None = None) -> WindowPlan:
        sizes = (self.num_ids, self.batch_size, self.num_steps)
        if self.sequential:
            return sequential_plan(*sizes, offset, row_length)
        return random_plan(*sizes, self.seed, epoch, offset)
