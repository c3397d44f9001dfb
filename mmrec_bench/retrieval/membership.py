"""Membership of user-item pairs in a fixed set, for whole matrices of items at once."""

from __future__ import annotations

import numpy as np

from mmrec_bench.errors import DataError
from mmrec_bench.retrieval.base import Exclusions
from mmrec_bench.types import BoolArray, IntArray

TABLE_WIDTH = 1024
"""Columns of the hash table of a block; a power of two. Users own few items, so almost every slot stays empty."""


class Membership:
    """Tells which items of a matrix belong to the user of their row.

    Sorted keys ``user * n_items + item`` answer exactly by binary search. A byte table of ``item mod 1024``, made for
    the users at hand, first rules out nearly all items, which is several times cheaper than searching for each.

    Args:
        pairs: The set, ascending within each user.
        n_items: Number of items of the catalogue.

    Raises:
        DataError: The pairs are not ascending, or an item lies outside the catalogue.
    """

    def __init__(self, pairs: Exclusions, n_items: int) -> None:
        counts = np.diff(pairs.offsets)
        if len(pairs.offsets) == 0 or pairs.offsets[0] != 0 or pairs.offsets[-1] != len(pairs.items):
            raise DataError("offsets of excluded items must rise from 0 to the number of pairs")
        if (counts < 0).any():
            raise DataError("offsets of excluded items must not fall")
        if len(pairs.items) and (pairs.items.min() < 0 or pairs.items.max() >= n_items):
            raise DataError(
                f"excluded items must lie in 0..{n_items - 1}; got {pairs.items.min()}..{pairs.items.max()}"
            )
        self._keys = np.repeat(np.arange(len(counts), dtype=np.int64), counts) * n_items + pairs.items
        if (self._keys[1:] <= self._keys[:-1]).any():
            raise DataError("excluded items must ascend within each user, none twice")
        self._offsets, self._items, self._n_items = pairs.offsets, pairs.items, n_items

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self._offsets) - 1

    def counts(self, users: IntArray) -> IntArray:
        """Return how many items each user owns, int64 ``[B]``."""
        return self._offsets[users + 1] - self._offsets[users]

    def pairs(self, users: IntArray) -> tuple[IntArray, IntArray]:
        """Return all pairs of these users as (place of the user in ``users``, item), int64 ``[n]`` each."""
        counts = self.counts(users)
        ends = np.cumsum(counts)
        rows = np.repeat(np.arange(len(users)), counts)
        places = np.arange(len(rows)) + np.repeat(self._offsets[users] - (ends - counts), counts)
        return rows, self._items[places]

    def contains(self, users: IntArray, items: IntArray) -> BoolArray:
        """Return whether each item belongs to the user of its row.

        Args:
            users: User rows, int64 ``[B]``.
            items: Item rows, int64 ``[B, w]``; negative (padding) belongs to nobody.

        Returns:
            bool ``[B, w]``.
        """
        width = items.shape[1]
        if len(self._keys) == 0 or items.size == 0:
            return np.zeros(items.shape, np.bool_)
        table = np.zeros((len(users), TABLE_WIDTH), np.bool_)
        rows, owned = self.pairs(users)
        table[rows, owned & (TABLE_WIDTH - 1)] = True
        slots = items & (TABLE_WIDTH - 1)
        slots += (np.arange(len(users)) * TABLE_WIDTH)[:, None]
        found: BoolArray = table.reshape(-1).take(slots)
        flat = found.reshape(-1)
        suspects = np.flatnonzero(flat)
        item = items.reshape(-1)[suspects]
        keys = users[suspects // width] * self._n_items + item
        nearest = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        flat[suspects] = (self._keys[nearest] == keys) & (item >= 0)
        return found
