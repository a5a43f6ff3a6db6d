"""Names, types and SHA-256 sums of a state's arrays: what a checkpoint is verified by."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrnn.training.processes import to_host
from jaxrnn.typing import Params

Description = dict[str, Any]
"""The dtype, shape and SHA-256 of one array, in JSON types."""


SPARE_BYTES = 1 << 20
"""Left free beside the arrays of a save: metadata, and what orbax adds."""


def flatten(tree: Any) -> dict[str, Any]:
    """A flat dictionary from each array's place in the tree to the array; of a key, its bits.

    Raises:
        ValueError: two arrays would have the same name on disk.
    """
    leaves = jax.tree.leaves_with_path(tree)
    flat = {jax.tree_util.keystr(path, simple=True, separator="."): x for path, x in leaves}
    if len(flat) < len(leaves):
        raise ValueError("two arrays of the state would have the same name on disk")
    return {place: jax.random.key_data(x) if is_key(x) else x for place, x in flat.items()}


def is_key(array: Any) -> bool:
    """Whether an array holds typed keys, as that of an optimizer that adds noise."""
    return bool(jnp.issubdtype(array.dtype, jax.dtypes.prng_key))


def describe(arrays: Mapping[str, Any]) -> dict[str, Description]:
    """The type of each array, and a SHA-256 of its place, type and bytes."""
    described = {}
    for place, array in arrays.items():
        host = to_host(array)
        content = f"{place} {type_of(host)} ".encode() + host.tobytes()
        described[place] = {
            "dtype": str(host.dtype),
            "shape": list(host.shape),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    return described


def type_of(array: Any) -> str:
    """Such as float32[256, 28]."""
    return f"{array.dtype}{list(array.shape)}"


def not_finite(arrays: Mapping[str, Any]) -> str | None:
    """The place of an array with NaN or an infinity in it, or None."""
    for place, array in arrays.items():
        if jnp.issubdtype(array.dtype, jnp.inexact) and not np.isfinite(to_host(array)).all():
            return place
    return None


def num_bytes(arrays: Any) -> int:
    """Of all arrays of a tree, or of what describes them."""
    return sum(array.size * array.dtype.itemsize for array in jax.tree.leaves(arrays))


def bytes_needed(arrays: Any) -> int:
    """What a disk must have free before a save of these arrays is begun."""
    return num_bytes(arrays) + SPARE_BYTES


def canonical_digest(content: Mapping[str, Any]) -> str:
    """A SHA-256 of JSON content, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def params_digest(params: Params) -> str:
    """One SHA-256 for all parameters: equal digests mean equal bits."""
    return canonical_digest(describe(flatten(params)))
