"""Checks of the arguments of public functions.  They add nothing to traced programs.

Each error names the argument, what came and what was expected.
"""

import math
import numbers
import os
import stat
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np

INT32_MAX = 2**31 - 1
"""The largest value of JAX's default integer type."""

FLOAT32_MAX = float(np.finfo(np.float32).max)
"""The largest finite value of JAX's default floating type."""


def check_integer(name: str, value: Any) -> None:
    """Raise unless `value` is an integer or a symbolic dimension of `jax.export`."""
    if jax.export.is_symbolic_dim(value):
        return
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}")


def check_positive_integer(name: str, value: Any, high: int | None = INT32_MAX) -> None:
    """Raise unless `value` is an integer in `1..high`; None means no upper limit.

    JAX would raise an OverflowError for an integer that its default type cannot hold.
    """
    check_integer(name, value)
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    if high is not None and value > high:
        raise ValueError(f"{name} must be at most {high:,}, got {value}")


def check_number(name: str, value: Any, *, low: float, high: float = math.inf) -> None:
    """Raise unless `value` is a real number in `low..high`; NaN is not."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not low <= float(value) <= high:
        expected = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
        raise ValueError(f"{name} must be {expected}, got {value}")


def check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Raise unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def check_seed(name: str, value: Any) -> None:
    """Raise unless `value` fits uint32: a larger seed would silently act as a smaller one."""
    check_integer(name, value)
    if not 0 <= int(value) < 2**32:
        raise ValueError(f"{name} must be between 0 and 2**32 - 1, got {value}")


def check_regular_file(path: Path, most_bytes: float = math.inf) -> None:
    """Raise unless `path` is a regular file that is not too large.

    Reading anything else, such as a pipe, may never end.

    Raises:
        OSError: the file does not exist or is not accessible.
        ValueError: it is not a regular file, or is larger than `most_bytes`.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path} must be a regular file")
    if status.st_size > most_bytes:
        raise ValueError(f"{path} must have at most {most_bytes:,} bytes, got {status.st_size:,}")


def check_array(name: str, value: Any) -> None:
    """Raise unless `value` is a JAX or NumPy array."""
    if not isinstance(value, jax.Array | np.ndarray):
        hint = f": numpy.array({name}) is one" if isinstance(value, list | tuple) else ""
        raise TypeError(f"{name} must be an array, got {type(value).__name__}{hint}")


def check_ids(name: str, ids: Any, size: int) -> None:
    """Raise unless `ids` are integers and, where they are concrete, in `0..size - 1`.

    JAX's gather would silently clamp an id past the end and wrap a negative one.
    """
    check_array(name, ids)
    if not np.issubdtype(ids.dtype, np.integer):
        raise TypeError(f"{name} must be integers, got {ids.dtype}")
    check_range(name, ids, size - 1)


def widen_ids(name: str, ids: Any, size: int) -> Any:
    """Check ids with `check_ids`, and return them as integers of 32 or 64 bits.

    Call it where ids enter a program: in 8 bits, `ids < 256` silently becomes `ids < 0`.
    """
    check_ids(name, ids, size)
    return widen(ids)


def widen(integers: Any) -> Any:
    """Convert integers to int64 if they have 64 bits, and to int32 otherwise."""
    return integers.astype(np.int64 if integers.dtype.itemsize == 8 else np.int32)


def is_concrete(array: Any) -> bool:
    """Return whether an array is concrete: not traced, and addressable by this process."""
    traced = isinstance(array, jax.core.Tracer)
    return not traced and getattr(array, "is_fully_addressable", True)


def check_range(name: str, integers: Any, high: int, *, low: int = 0) -> None:
    """Raise if any of the integers is outside `low..high`.  Skip arrays that are not concrete."""
    if not is_concrete(integers):
        return
    values = np.asarray(integers)  # under jit, a method of a jax.Array would be traced
    wrong = values[(values < low) | (values > high)]
    if wrong.size:
        raise ValueError(f"{name} must lie in {low}..{high}, got {wrong[0]}")


def to_default_dtype(name: str, array: Any) -> Any:
    """Return a NumPy array in JAX's default dtype of its kind; raise if an integer overflows."""
    dtype = jax.dtypes.canonicalize_dtype(array.dtype)
    if np.issubdtype(array.dtype, np.integer) and dtype != array.dtype:
        bounds = np.iinfo(dtype)
        check_range(name, array, int(bounds.max), low=int(bounds.min))
    return array.astype(dtype, copy=False)


def check_mask(name: str, mask: Any, shape: tuple[int, ...]) -> None:
    """Raise unless `mask` is a bool array of the given shape."""
    check_array(name, mask)
    if tuple(mask.shape) != tuple(shape):
        raise ValueError(f"{name} must have shape {tuple(shape)}, got {tuple(mask.shape)}")
    if mask.dtype != bool:
        raise TypeError(f"{name} must be bool, got {mask.dtype}")


def check_like(name: str, came: Any, expected: Any) -> None:
    """Raise unless two trees agree in structure and in the shapes and dtypes of their arrays.

    Args:
        name: the name of the argument; field names are appended to it.
        came: a tree of arrays.
        expected: a tree of arrays or of `jax.ShapeDtypeStruct`.
    """
    if jax.tree.structure(came) != jax.tree.structure(expected):  # type: ignore[operator]
        differs = ", of another structure" if type(came) is type(expected) else ""
        raise TypeError(
            f"{name} must be a {type(expected).__name__} of arrays, got"
            f" {type(came).__name__}{differs}"
        )
    leaves = zip(jax.tree.leaves_with_path(expected), jax.tree.leaves(came), strict=True)
    for (path, wanted), leaf in leaves:
        field = f"{name}{jax.tree_util.keystr(path)}"
        if not hasattr(leaf, "dtype"):
            raise TypeError(f"{field} must be an array, got {type(leaf).__name__}")
        if tuple(leaf.shape) != tuple(wanted.shape):
            raise ValueError(f"{field} must have shape {wanted.shape}, got {leaf.shape}")
        if leaf.dtype != wanted.dtype:
            raise TypeError(f"{field} must be {wanted.dtype}, got {leaf.dtype}")


def check_shape(name: str, shape: tuple[int, ...], expected: tuple[int, ...], means: str) -> None:
    """Raise unless the shapes agree; `means` names the expected axes, such as `[T, B]`."""
    if tuple(shape) != tuple(expected):
        raise ValueError(f"{name} must have shape {means} = {expected}, got {tuple(shape)}")
