"""From raw rows of users and items to unique pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.types import DoubleArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class RawPairs:
    """Rows as they stand in a file, with row numbers instead of ids; pairs may repeat.

    Attributes:
        users: int64 ``[N]`` in ``0..n_users-1``.
        items: int64 ``[N]`` in ``0..n_items-1``.
        n_users: Number of users.
        n_items: Number of items.
        values: float64 ``[N]``.
        timestamps: Seconds UTC, int64 ``[N]``.
        labels: int8 ``[N]`` of 0, 1, 2.
        order: Place in the user's sequence, oldest first, int64 ``[N]``.
    """

    users: IntArray
    items: IntArray
    n_users: int
    n_items: int
    values: DoubleArray | None = None
    timestamps: IntArray | None = None
    labels: NDArray[np.int8] | None = None
    order: IntArray | None = None

    def merged(self) -> tuple[Interactions, int, int]:
        """Keep one row of each pair: the smallest label, then the earliest timestamp, then the first row.

        Returns:
            The interactions in the order of the file, the number of rows left out, and how many of those carried
            another label than the row that was kept.
        """
        keys = self.users * np.int64(self.n_items) + self.items
        columns = [column for column in (self.timestamps, self.labels) if column is not None]
        order = np.lexsort((*columns, keys))  # stable: the first row wins among equals
        first = np.ones(len(keys), np.bool_)
        first[1:] = keys[order[1:]] != keys[order[:-1]]
        kept = order[first]
        across = 0
        if self.labels is not None:
            kept_label = self.labels[kept][np.cumsum(first) - 1]
            across = int((self.labels[order] != kept_label).sum())
        rows = np.sort(kept)
        interactions = Interactions(
            self.users[rows],
            self.items[rows],
            self.n_users,
            self.n_items,
            values=None if self.values is None else self.values[rows].astype(np.float32),
            order=None if self.order is None else self.order[rows],
            timestamps=None if self.timestamps is None else self.timestamps[rows],
            labels=None if self.labels is None else self.labels[rows],
        )
        return interactions, len(keys) - len(rows), across
