"""Checks of sequences and targets that depend on the model."""

from dataclasses import replace

import numpy as np

from jaxrnn.checks import check_range
from jaxrnn.fitting.dataset import Dataset


def check_ids(name: str, data: Dataset, input_size: int | None) -> None:
    """Raise unless the ids are in `0..input_size - 1`, or not negative if that is unknown."""
    if data.width is not None:
        return
    for rows, steps, _ in replace(data, take_mask=None).pieces():
        ids = data.take_inputs(rows, data.num_steps)
        high = int(np.iinfo(ids.dtype).max) if input_size is None else input_size - 1
        check_range(name, ids[steps], high)


def check_classes(name: str, data: Dataset, num_classes: int) -> None:
    """Raise unless the targets that count are in `0..num_classes - 1`."""
    for rows, steps, sequences in data.pieces():
        assert data.take_targets is not None
        targets = data.take_targets(rows, data.num_steps)
        if not np.issubdtype(targets.dtype, np.integer):
            raise TypeError(
                f"{name} must be classes, which are integers, got {targets.dtype}: for numbers"
                " choose a loss such as losses.squared_error"
            )
        if targets.shape not in (steps.shape, sequences.shape):
            raise ValueError(
                f"{name} must be one class for each sequence or step, without a further axis, got"
                f" shape {targets.shape}"
            )
        check_range(name, targets[steps if targets.ndim == 2 else sequences], num_classes - 1)
