"""Random permutations of any size, of which any part can be computed."""

import functools
from collections.abc import Callable

import numpy as np

from jaxrnn.typing import HostArray, Int

LARGEST_TABLE = 1 << 20
"""The largest permutation stored as a table, at eight bytes per entry; others are computed."""

ROUNDS = 8
"""Rounds of the Feistel network."""

Order = Callable[[Int[HostArray, "*N"]], Int[HostArray, "*N"]]
"""A permutation: positions -> the numbers at these positions."""


def random_order(size: int, seed: int, epoch: int) -> Order:
    """Return the permutation of `0..size - 1` that a seed and an epoch determine.

    Both are in `0..2**32 - 1`.

    Examples:
        >>> import numpy as np
        >>> from jaxrnn.text.permutation import random_order
        >>> sorted(random_order(5, seed=0, epoch=1)(np.arange(5)).tolist())
        [0, 1, 2, 3, 4]
    """
    if size <= LARGEST_TABLE:
        return np.random.default_rng((seed, epoch)).permutation(size).__getitem__
    return functools.partial(permute, size, np.random.SeedSequence((seed, epoch)))


def permute(
    size: int, seeds: np.random.SeedSequence, places: Int[HostArray, "*N"]
) -> Int[HostArray, "*N"]:
    """Return the numbers at some positions of a permutation of `0..size - 1`.

    A Feistel network permutes a power of four numbers.  Results outside the range are permuted
    again until they fall inside, so the result is still a permutation.

    Reference:
        Luby and Rackoff, How to construct pseudorandom permutations from pseudorandom functions,
        1988; Black and Rogaway, Ciphers with arbitrary finite domains, 2002.
    """
    half_bits = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
    keys = seeds.generate_state(ROUNDS, np.uint64)
    permuted = _feistel(np.asarray(places, np.uint64), half_bits, keys)
    while (outside := permuted >= size).any():
        permuted[outside] = _feistel(permuted[outside], half_bits, keys)
    return permuted.astype(np.int64)


def _feistel(numbers: HostArray, half_bits: np.uint64, keys: HostArray) -> HostArray:
    mask = (np.uint64(1) << half_bits) - np.uint64(1)
    left, right = numbers >> half_bits, numbers & mask
    for key in keys:
        left, right = right, left ^ (_mix(right ^ key) & mask)
    return (left << half_bits) | right


def _mix(bits: HostArray) -> HostArray:
    """Mix bits with the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).

    Every output bit depends on every input bit.
    """
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
