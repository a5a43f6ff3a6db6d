"""A random order of any number of things, any part of which can be asked for."""

import functools
from collections.abc import Callable

import numpy as np

from jaxrnn.typing import HostArray, Int

LARGEST_TABLE = 1 << 20
"""Larger orders are computed where they are asked for: a table would need eight bytes for each."""

ROUNDS = 8

Order = Callable[[Int[HostArray, "*N"]], Int[HostArray, "*N"]]
"""places -> what stands there."""


def random_order(size: int, seed: int, epoch: int) -> Order:
    """A permutation of `0..size - 1`: a function of seed and epoch, each in `0..2**32 - 1`."""
    if size <= LARGEST_TABLE:
        return np.random.default_rng((seed, epoch)).permutation(size).__getitem__
    return functools.partial(permute, size, np.random.SeedSequence((seed, epoch)))


def permute(
    size: int, seeds: np.random.SeedSequence, places: Int[HostArray, "*N"]
) -> Int[HostArray, "*N"]:
    """What stands at some places of a permutation of `0..size - 1`.

    A Feistel network permutes a power of four numbers; what falls outside is permuted again until
    it falls inside, which keeps the whole a permutation.

    Reference: Luby and Rackoff, How to construct pseudorandom permutations from pseudorandom
        functions, 1988; Black and Rogaway, Ciphers with arbitrary finite domains, 2002.
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
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): every bit depends on every bit."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
