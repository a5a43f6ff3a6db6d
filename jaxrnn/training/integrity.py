"""Names, types and SHA-256 sums of a state's arrays: what a checkpoint is verified by."""

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import jax

from jaxrnn.training.processes import to_host
from jaxrnn.typing import Params

Description = dict[str, Any]
"""The dtype, shape and SHA-256 of one array, in JSON types."""


def flatten(tree: Any) -> dict[str, Any]:
    """A flat dictionary from each array's place in the tree to the array.

    Raises:
        ValueError: two arrays would have the same name on disk.
    """
    leaves = jax.tree.leaves_with_path(tree)
    flat = {jax.tree_util.keystr(path, simple=True, separator="."): x for path, x in leaves}
    if len(flat) < len(leaves):
        raise ValueError("two arrays of the state would have the same name on disk")
    return flat


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


def num_bytes(arrays: Any) -> int:
    """Of all arrays of a tree, or of what describes them."""
    return sum(array.size * array.dtype.itemsize for array in jax.tree.leaves(arrays))


def physical_memory() -> int:
    """Bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def canonical_digest(content: Mapping[str, Any]) -> str:
    """A SHA-256 of JSON content, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def params_digest(params: Params) -> str:
    """One SHA-256 for all parameters: equal digests mean equal bits."""
    return canonical_digest(describe(flatten(params)))
