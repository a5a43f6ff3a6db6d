"""Sequences with targets on the host: arrays or ragged lists, checked, and cut into batches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrnn.batch import Batch
from jaxrnn.checks import to_default_dtype
from jaxrnn.recurrence.arguments import check_lengths
from jaxrnn.typing import Bool, HostArray, Int

Take = Callable[[HostArray, int], HostArray]
"""(rows, num_steps) -> those sequences, `[T, B, ...]`, or their values, `[B, ...]`."""


@dataclass(frozen=True)
class Dataset:
    """N sequences and their targets, on the host."""

    take_inputs: Take
    """Takes the inputs of some sequences."""
    take_targets: Take | None
    """Takes their targets; None if there are none."""
    take_mask: Take | None
    """Takes which targets count: `[T, B]`, or `[B]`; None means all."""
    lengths: Int[HostArray, "N"]
    """The number of valid steps of each sequence."""
    num_steps: int
    """T, the steps of the longest one, or of the array."""
    has_lengths: bool
    """Whether sequences may be shorter than that."""
    width: int | None
    """D, the size of an input vector; None for token ids."""

    @property
    def has_step_mask(self) -> bool:
        """Whether the mask leaves out single steps, not only whole sequences."""
        return self.take_mask is not None and self.take_mask(np.arange(1), 1).ndim == 2

    def counted(self, rows: HostArray, num_steps: int) -> tuple[HostArray, HostArray]:
        """Return which steps of some sequences count, `[T, n]`, and which sequences, `[n]`."""
        steps: HostArray = np.arange(num_steps)[:, None] < self.lengths[rows]
        mask: HostArray = np.ones(len(rows), bool)
        if self.take_mask is not None:
            mask = self.take_mask(rows, num_steps)
        return steps & mask, np.asarray(mask.any(axis=0)) if mask.ndim == 2 else mask

    def pieces(self) -> Iterator[tuple[HostArray, HostArray, HostArray]]:
        """Yield some rows at a time, which of their steps count, and which of the rows."""
        for first in range(0, len(self), 1024):
            rows = np.arange(first, min(first + 1024, len(self)))
            yield rows, *self.counted(rows, self.num_steps)

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: Int[HostArray, "n"], batch_size: int, num_steps: int) -> Batch:
        """Return a batch of these sequences, filled up to `batch_size` rows that do not count."""
        real = np.arange(batch_size) < len(rows)
        rows = np.resize(rows, batch_size)  # repeats them
        mask: Bool[HostArray, "*steps B"] = real
        if self.take_mask is not None:
            mask = self.take_mask(rows, num_steps) & real
        return Batch(
            self.take_inputs(rows, num_steps),
            None if self.take_targets is None else self.take_targets(rows, num_steps),
            mask,
            lengths=self.lengths[rows] if self.has_lengths else None,
        )


def make_dataset(
    inputs: Any,
    targets: Any = None,
    lengths: Any = None,
    mask: Any = None,
    *,
    per_step: bool = True,
    name: str = "",
) -> Dataset:
    """Check sequences and their targets, and return them as a Dataset.

    Args:
        inputs: `[T, N, D]`, ids `[T, N]`, or a list of N sequences `[n, D]` or `[n]`.
        targets: one per step, `[T, N, ...]` or a list like the inputs, or one per sequence,
            `[N, ...]`; None if there are none.
        lengths: the valid steps of each sequence in an array; a list has its own.
        mask: which targets count, bool `[T, N]`, `[N]`, or a list like the inputs; None means all.
        per_step: whether the model has an output at every step.
        name: what to put before the names of arguments in messages, such as "validation ".
    """
    is_list = isinstance(inputs, list | tuple)
    if is_list and lengths is not None:
        raise ValueError(
            f"{name}lengths must be None for a list of sequences, which have their own"
        )
    if is_list:
        take_inputs, lengths, example = _ragged(f"{name}inputs", inputs)
        num_steps = max(1, int(lengths.max()))
    else:
        array = _numbers(f"{name}inputs", inputs)
        if array.ndim not in (2, 3) or array.shape[1] == 0 or array.shape[0] == 0:
            raise ValueError(
                f"{name}inputs must be vectors [T, N, D], ids [T, N] or a list of N sequences, with"
                f" at least one step and sequence, got shape {array.shape}"
            )
        num_steps, example, take_inputs = len(array), array[0], _over_time(array)
        has_lengths = lengths is not None
        lengths = _checked_lengths(name, lengths, array.shape[:2])
        # Beside an array, a list is an array, too, whose first axis may be time.
        targets = None if targets is None else _numbers(f"{name}targets", targets)
        mask = None if mask is None else _numbers(f"{name}mask", mask)
    floats = jnp.issubdtype(example.dtype, np.floating)
    if floats != (example.ndim == 2) or not (floats or jnp.issubdtype(example.dtype, jnp.integer)):
        hint = ": give numbers an axis of their own, sequence[:, None]" if floats else ""
        if floats and is_list:
            hint += ", or put a single sequence [T, D] into a list"
        raise TypeError(
            f"{name}inputs must be vectors of floats or ids of integers, got {example.dtype} of"
            f" shape {list(example.shape[1:])} per step{hint}"
        )
    data = Dataset(
        take_inputs, None, None, lengths, num_steps, is_list or has_lengths,
        example.shape[1] if floats else None,
    )  # fmt: skip
    if floats:
        _check_finite(f"{name}inputs", take_inputs, data, over_time=True)
    if mask is not None:
        data = replace(data, take_mask=_mask_of(f"{name}mask", mask, data, per_step))
    if targets is None:
        return data
    take_targets, over_time = _values(f"{name}targets", targets, data, per_step)
    _check_finite(f"{name}targets", take_targets, data, over_time)
    return replace(data, take_targets=_zero_where_ignored(take_targets, data, over_time))


def _zero_where_ignored(take: Take, data: Dataset, over_time: bool) -> Take:
    """Take zeros in place of numbers that do not count: through NaN, every gradient is NaN."""

    def taken(rows: HostArray, num_steps: int) -> HostArray:
        values = take(rows, num_steps)
        if not jnp.issubdtype(values.dtype, np.floating):
            return values
        counted = data.counted(rows, num_steps)[0 if over_time else 1]
        counted = counted.reshape(counted.shape + (1,) * (values.ndim - counted.ndim))
        return np.where(counted, values, np.zeros((), values.dtype))

    return taken


def _check_finite(name: str, take: Take, data: Dataset, over_time: bool) -> None:
    for rows, steps, sequences in data.pieces():
        values, counted = take(rows, data.num_steps), steps if over_time else sequences
        if not jnp.issubdtype(values.dtype, np.floating):
            return
        wrong = ~np.isfinite(values[counted])
        if wrong.any():
            row = rows[np.nonzero(counted)[-1][np.nonzero(wrong)[0][0]]]
            raise ValueError(f"{name} must be finite, got NaN or inf in sequence {row}")


def _numbers(name: str, values: Any) -> HostArray:
    """Return an array of numbers in JAX's default dtypes."""
    try:
        array = np.asarray(values)
    except ValueError as error:  # NumPy's, of lists of unequal shapes
        raise ValueError(f"{name} must have one shape: {error}") from error
    if not (jnp.issubdtype(array.dtype, np.number) or array.dtype == bool):
        hint = ": pass a list of arrays" if array.dtype == object else ""
        raise TypeError(f"{name} must hold numbers, got {array.dtype}{hint}")
    return to_default_dtype(name, array)


def _over_time(array: HostArray) -> Take:
    return lambda rows, num_steps: array[:num_steps, rows]


def _per_sequence(array: HostArray) -> Take:
    return lambda rows, num_steps: array[rows]


def _ragged(name: str, sequences: Sequence[Any]) -> tuple[Take, HostArray, HostArray]:
    """Return how to take padded sequences, their lengths, and an example of one step."""
    arrays = [_numbers(f"{name}[{n}]", sequence) for n, sequence in enumerate(sequences)]
    if not arrays:
        raise ValueError(f"{name} must hold at least one sequence, got an empty list")
    first = next((array for array in arrays if len(array.shape) and len(array)), arrays[0])
    # NumPy takes an empty list for floats.
    arrays = [first[:0] if array.shape == (0,) else array for array in arrays]
    for n, array in enumerate(arrays):
        if array.ndim != first.ndim or array.ndim == 0 or array.shape[1:] != first.shape[1:]:
            raise ValueError(
                f"{name}[{n}] must be a sequence of steps of shape {first.shape[1:]} like the"
                f" others, got shape {array.shape}"
            )
    lengths = np.array([len(array) for array in arrays], np.int32)
    # All steps in one array, so that a batch is one gather.
    steps = np.concatenate([*arrays, np.zeros_like(first[:1], shape=(1, *first.shape[1:]))])
    begins = np.concatenate([[0], np.cumsum(lengths)[:-1]])

    def take(rows: HostArray, num_steps: int) -> HostArray:
        time = np.arange(num_steps)[:, None]
        return steps[np.where(time < lengths[rows], begins[rows] + time, len(steps) - 1)]

    return take, lengths, steps[-1:]


def _checked_lengths(name: str, lengths: Any, shape: tuple[int, int]) -> HostArray:
    if lengths is None:
        return np.full(shape[1], shape[0], np.int32)
    lengths = np.asarray(lengths)
    try:
        check_lengths(lengths, shape)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}{error}") from error
    return lengths.astype(np.int32)


def _values(name: str, values: Any, data: Dataset, per_step: bool) -> tuple[Take, bool]:
    """Return how to take targets, and whether they are one per step."""
    if isinstance(values, list | tuple) and per_step and _is_like(values, data):
        take, _, _ = _ragged(name, values)
        return take, True
    array = _numbers(name, values)
    if per_step and array.ndim > 1 and array.shape[:2] == (data.num_steps, len(data)):
        return _over_time(array), True
    if array.ndim and len(array) == len(data):
        return _per_sequence(array), False
    steps = f"[T, N, ...] = [{data.num_steps}, {len(data)}, ...] or " if per_step else ""
    swapped = array.ndim and len(array) == data.num_steps and not data.has_lengths
    hint = ": inputs are time-major [T, N, D], inputs.swapaxes(0, 1) makes them so"
    raise ValueError(
        f"{name} must be {steps}[N, ...] = [{len(data)}, ...], got shape {array.shape}"
        f"{hint if swapped else ''}"
    )


def _is_like(values: Any, data: Dataset) -> bool:
    """Return whether a list holds sequences as long as the inputs."""
    if len(values) != len(data) or not all(hasattr(value, "__len__") for value in values):
        return False
    return all(len(v) == n for v, n in zip(values, data.lengths, strict=True))


def _mask_of(name: str, mask: Any, data: Dataset, per_step: bool) -> Take:
    take, _ = _values(name, mask, data, per_step)
    example = take(np.arange(1), 1)
    if example.dtype != bool:
        raise TypeError(f"{name} must be bool, got {example.dtype}")
    return take
