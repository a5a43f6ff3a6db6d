"""Ragged sequences as padded arrays and back."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrnn.checks import check_array, check_positive_integer, to_default_dtype
from jaxrnn.recurrence import boundaries
from jaxrnn.recurrence.arguments import check_lengths
from jaxrnn.typing import AnyArray, Array, Bool, HostArray, Int, Integer


def pad(sequences: Sequence[Any], *, multiple_of: int = 1) -> tuple[HostArray, Int[HostArray, "B"]]:
    """Put sequences of unequal length side by side, with zeros at their ends.

    It runs on the host, on concrete values.

    Args:
        sequences: at least one array `[n, ...]` or list of n steps, where n may be 0; all of them
            have the same trailing shape and dtype.  Numbers in lists get JAX's default dtypes.
        multiple_of: T is the smallest multiple of this that holds all steps, and at least 1: a
            multiple above 1 makes batches of similar lengths share a compiled program.

    Returns:
        (the padded array `[T, B, ...]`, the length of each sequence)

    Raises:
        TypeError: a sequence holds something else than numbers, or their dtypes differ.
        ValueError: there are no sequences, or their trailing shapes differ.

    Examples:
        >>> import jaxrnn
        >>> padded, lengths = jaxrnn.pad([[3, 1, 4], [1, 5]])
        >>> padded.T.tolist(), lengths.tolist()
        ([[3, 1, 4], [1, 5, 0]], [3, 2])
    """
    check_positive_integer("multiple_of", multiple_of)
    arrays = [_as_array(f"sequences[{k}]", steps) for k, steps in enumerate(sequences)]
    if not arrays:
        raise ValueError("sequences must hold at least one sequence, got none")
    first = _check_alike(arrays)
    lengths = np.array([len(array) for array in arrays], np.int32)
    num_steps = max(1, -(-int(lengths.max()) // multiple_of)) * multiple_of
    padded = np.zeros((num_steps, len(arrays), *first.shape[1:]), first.dtype)
    for row, array in enumerate(arrays):
        if len(array):  # an empty list has no trailing shape
            padded[: len(array), row] = array
    return padded, lengths


def unpad(array: AnyArray, lengths: Integer[AnyArray, "B"]) -> list[HostArray]:
    """Return the valid steps of each sequence, one array `[n, ...]` per row.

    It is the inverse of `pad`, and runs on the host, on concrete values.

    Args:
        array: `[T, B, ...]`, such as the outputs of a layer.
        lengths: the number of valid steps of each sequence, in `0..T`.

    Raises:
        TypeError: an argument is not an array, or the lengths are not integers.
        ValueError: the array has no axes for time and batch, or the lengths do not fit it.

    Examples:
        >>> import jaxrnn
        >>> [steps.tolist() for steps in jaxrnn.unpad(*jaxrnn.pad([[3, 1, 4], [1, 5]]))]
        [[3, 1, 4], [1, 5]]
    """
    _check_padded("array", array, lengths)
    rows = np.asarray(array)
    return [rows[:length, b] for b, length in enumerate(np.asarray(lengths))]


def valid_steps(lengths: Integer[AnyArray, "B"], num_steps: int) -> Bool[Array, "T B"]:
    """Return where the steps of padded sequences are valid, for instance as a mask in a loss.

    Args:
        lengths: the number of valid steps of each sequence, in `0..T`.
        num_steps: T.

    Returns:
        True at valid steps, False in the padding.

    Raises:
        TypeError: the lengths are not an array of integers, or `num_steps` is not an integer.
        ValueError: the lengths are not `[B]` or out of range, or `num_steps` is below 1.

    Examples:
        >>> import jax.numpy as jnp, jaxrnn
        >>> jaxrnn.valid_steps(jnp.array([3, 1]), 3).T.tolist()
        [[True, True, True], [True, False, False]]
    """
    check_positive_integer("num_steps", num_steps)
    check_array("lengths", lengths)
    check_lengths(lengths, (num_steps, lengths.size))
    return boundaries.valid_steps(lengths, num_steps)


def last_valid(outputs: AnyArray, lengths: Integer[AnyArray, "B"]) -> Array:
    """Return the values at the last valid step of each sequence, for instance to classify it.

    Nothing in the padding reaches the result or a gradient.

    Args:
        outputs: `[T, B, ...]`.
        lengths: the number of valid steps of each sequence, in `0..T`.

    Returns:
        An array `[B, ...]`; zeros for a sequence of length 0.

    Raises:
        TypeError: an argument is not an array, or the lengths are not integers.
        ValueError: the outputs have no axes for time and batch, or the lengths do not fit them.

    Examples:
        >>> import jax.numpy as jnp, jaxrnn
        >>> outputs = jnp.array([[1, 5], [2, 6], [3, 7]])
        >>> jaxrnn.last_valid(outputs, jnp.array([3, 1])).tolist()
        [3, 5]
    """
    _check_padded("outputs", outputs, lengths)
    return boundaries.take_last(lengths, jnp.asarray(outputs))


def _as_array(name: str, steps: Any) -> HostArray:
    try:
        array = np.asarray(steps)
    except ValueError as error:  # NumPy's, of lists whose steps have different shapes
        raise ValueError(f"{name} must have steps of one shape: {error}") from error
    if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == bool):
        raise TypeError(f"{name} must hold numbers, got {array.dtype}")
    if array.ndim == 0:
        raise ValueError(f"{name} must be [n, ...], got shape ()")
    if hasattr(steps, "dtype"):
        return array
    return to_default_dtype(name, array)


def _check_alike(arrays: Sequence[HostArray]) -> HostArray:
    """Check that trailing shapes and dtypes agree, and return an array that has them.

    An empty list, whose array is `[0]`, fits all.
    """
    like = [(k, array) for k, array in enumerate(arrays) if array.shape != (0,)]
    _, first = like[0] if like else (0, arrays[0])
    for k, array in like:
        if array.shape[1:] != first.shape[1:]:
            raise ValueError(
                f"sequences[{k}] must have trailing shape {first.shape[1:]} like those before it,"
                f" got {array.shape[1:]}"
            )
        if array.dtype != first.dtype:
            raise TypeError(
                f"sequences[{k}] must be {first.dtype} like those before it, got {array.dtype}"
            )
    return first


def _check_padded(name: str, array: Any, lengths: Any) -> None:
    check_array(name, array)
    if array.ndim < 2:
        raise ValueError(f"{name} must be [T, B, ...], got shape {tuple(array.shape)}")
    check_lengths(lengths, array.shape[:2])
