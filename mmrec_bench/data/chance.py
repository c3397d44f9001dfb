"""Chance that belongs to a user-item pair itself, so that neither the order nor the company of rows changes it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmrec_bench.seeding import derive_seed
from mmrec_bench.types import DoubleArray, IntArray


def pair_hash(users: IntArray, items: IntArray, seed: int, stream: str) -> NDArray[np.uint64]:
    """Return a seeded hash of each pair, uint64 ``[E]``: splitmix64, chained over user and item.

    Args:
        users: Row numbers, int64 ``[E]``.
        items: Row numbers, int64 ``[E]``.
        seed: Number a user writes.
        stream: What the chance is for.
    """
    key = np.uint64(derive_seed(seed, stream))
    return mixed(mixed(users.astype(np.uint64) ^ key) ^ items.astype(np.uint64))


def pair_chance(users: IntArray, items: IntArray, seed: int, stream: str) -> DoubleArray:
    """Return a number of each pair that is spread evenly over 0 to 1, float64 ``[E]``; see `pair_hash`."""
    chance: DoubleArray = pair_hash(users, items, seed, stream).astype(np.float64) / 2.0**64
    return chance


def mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the splitmix64 step of each number (Steele, Lea and Flood, OOPSLA 2014); arithmetic wraps."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
