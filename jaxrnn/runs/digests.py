"""SHA-256 digests of a state's arrays, with their names and types."""

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
"""Disk space of a save in addition to its arrays: metadata, and what orbax adds."""


def flatten(tree: Any) -> dict[str, Any]:
    """Return a flat dictionary from each array's place in the tree to the array.

    A typed key is replaced by its bits.

    Raises:
        ValueError: two arrays would have the same name on disk.
    """
    leaves = jax.tree.leaves_with_path(tree)
    flat = {jax.tree_util.keystr(path, simple=True, separator="."): x for path, x in leaves}
    if len(flat) < len(leaves):
        raise ValueError("two arrays of the state would have the same name on disk")
    return {place: jax.random.key_data(x) if is_key(x) else x for place, x in flat.items()}


def is_key(array: Any) -> bool:
    """Return whether an array holds typed keys, such as those of an optimizer that adds noise."""
    return bool(jnp.issubdtype(array.dtype, jax.dtypes.prng_key))


def describe(arrays: Mapping[str, Any]) -> dict[str, Description]:
    """Return the type of each array, and a SHA-256 of its place, type and bytes."""
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
    """Return dtype and shape in words, such as float32[256, 28]."""
    return f"{array.dtype}{list(array.shape)}"


def not_finite(arrays: Mapping[str, Any]) -> str | None:
    """Return the place of an array that contains NaN or infinity, or None."""
    for place, array in arrays.items():
        if jnp.issubdtype(array.dtype, jnp.inexact) and not np.isfinite(to_host(array)).all():
            return place
    return None


def num_bytes(arrays: Any) -> int:
    """Return the total bytes of a tree of arrays, or of their ShapeDtypeStructs."""
    return sum(array.size * array.dtype.itemsize for array in jax.tree.leaves(arrays))


def bytes_needed(arrays: Any) -> int:
    """Return how many bytes must be free on disk before these arrays are saved."""
    return num_bytes(arrays) + SPARE_BYTES


def canonical_digest(content: Mapping[str, Any]) -> str:
    """Return a SHA-256 of JSON content, independent of the order of its keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    # A name of a file that is not UTF-8 has lone surrogates in Python.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def params_digest(params: Params) -> str:
    """Return one SHA-256 of all parameters: equal digests mean equal bits."""
    return canonical_digest(describe(flatten(params)))
