"""The array types of public signatures, and a key to their dimension names.

    T   time steps              B   batch                   N   batches of an epoch
    D   input size              F   output size             V   vocabulary size
    H   hidden size             G   gates of a cell (a gate block has H columns)

Arrays are time-major everywhere: `[T, B, ...]`.  The annotations are jaxtyping's.  Tests check them
at run time; they cost users nothing.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int, Integer, PRNGKeyArray, Real

__all__ = [
    "AnyArray",
    "Array",
    "Bool",
    "Carry",
    "Complex",
    "DType",
    "Float",
    "Gates",
    "HostArray",
    "Initializer",
    "Inputs",
    "Int",
    "Integer",
    "Key",
    "Params",
    "Real",
]

HostArray: TypeAlias = np.ndarray
AnyArray: TypeAlias = jax.Array | np.ndarray
Key: TypeAlias = PRNGKeyArray
DType: TypeAlias = Any
Params: TypeAlias = Any
"""A pytree of arrays."""

Gates: TypeAlias = tuple[jax.Array, ...]
"""One array `[B, H]` per gate of a cell."""

Carry: TypeAlias = Any
"""The state that a cell passes from one step to the next: a NamedTuple of arrays `[B, H]`.

Its field `hidden` is the cell's output, and the operand of the recurrent product.
"""

Inputs: TypeAlias = Float[AnyArray, "T B D"] | Integer[AnyArray, "T B"]
"""Vectors, or token ids that stand for one-hot rows."""

Initializer: TypeAlias = Callable[[Key, tuple[int, ...], DType], jax.Array]
"""An initializer as in `jax.nn.initializers`: (key, shape, dtype) -> array."""
