"""Single impressions in time order, and what their users had clicked before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmrec_bench.data.arrays import checked, checked_ids, digest
from mmrec_bench.errors import DataError
from mmrec_bench.types import BoolArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Single impressions in time order, for click-through-rate models.

    Attributes:
        users: int64 ``[N]``.
        items: int64 ``[N]``.
        labels: Clicked or not, int8 ``[N]`` of 0 and 1.
        timestamps: Seconds UTC, int64 ``[N]``, non-decreasing.
        n_users: Number of users of the data set.
        n_items: Number of items of the catalogue.
        recipe: How the impressions were made, in words and numbers, for the manifest.

    Raises:
        DataError: On wrong types, lengths, ranges or order.
    """

    users: IntArray
    items: IntArray
    labels: NDArray[np.int8]
    timestamps: IntArray
    n_users: int
    n_items: int
    recipe: str

    def __post_init__(self) -> None:
        n = len(self.users)
        object.__setattr__(self, "users", checked_ids("users", self.users, self.n_users))
        object.__setattr__(self, "items", checked_ids("items", self.items, self.n_items, n))
        object.__setattr__(self, "labels", checked("labels", self.labels, np.int8, (n,)))
        object.__setattr__(self, "timestamps", checked("timestamps", self.timestamps, np.int64, (n,)))
        if not np.isin(self.labels, (0, 1)).all():
            raise DataError("labels of points must be 0 or 1")
        if (np.diff(self.timestamps) < 0).any():
            raise DataError("points must be in time order")

    @classmethod
    def sorted(
        cls,
        users: IntArray,
        items: IntArray,
        labels: NDArray[np.int8],
        timestamps: IntArray,
        *,
        n_users: int,
        n_items: int,
        recipe: str,
    ) -> Points:
        """Return points in time order; those of one second by user and item, so that no label shows in the order."""
        rows = np.lexsort((labels, items, users, timestamps))
        return cls(users[rows], items[rows], labels[rows], timestamps[rows], n_users, n_items, recipe)

    def __len__(self) -> int:
        return len(self.users)

    def select(self, rows: IntArray | BoolArray) -> Points:
        """Return the points of these rows, rising, or where the mask is true."""
        return Points(
            self.users[rows], self.items[rows], self.labels[rows], self.timestamps[rows],
            self.n_users, self.n_items, self.recipe,
        )  # fmt: skip

    def then(self, other: Points) -> Points:
        """Return these points and, behind them, others that are no earlier."""
        columns = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in _COLUMNS}
        return Points(**columns, n_users=self.n_users, n_items=self.n_items, recipe=self.recipe)

    def fingerprint(self) -> str:
        """Return a content fingerprint."""
        return digest(
            f"{self.n_users}x{self.n_items}", self.users, self.items, self.labels, self.timestamps, self.recipe
        )


_COLUMNS = ("users", "items", "labels", "timestamps")


@dataclass(frozen=True, slots=True, eq=False)
class ClickHistories:
    """What the user of each point had clicked before, oldest first, without a copy for every point.

    Attributes:
        items: Clicked items, those of a user together, int64 ``[C]``.
        begins: First row of the history of each point, int64 ``[N]``.
        ends: Row behind its last one, int64 ``[N]``.
    """

    items: IntArray
    begins: IntArray
    ends: IntArray


def clicks_before(points: Points, log: Points, start: int | None = None) -> ClickHistories:
    """Return the items of a log that the user of each point clicked strictly before it.

    A click of the same second does not count, for nothing says that it came before.

    Args:
        points: Whose histories.
        log: Where clicks are looked for.
        start: First second from which on clicks of the log are not looked at, whenever the point is; None = no such.
    """
    clicked = np.flatnonzero(log.labels > 0)
    rows = clicked[np.argsort(log.users[clicked], kind="stable")]  # a log is in time order already
    times, until = log.timestamps[rows], points.timestamps
    if start is not None:
        until = np.minimum(until, start)
    first = min((int(each.min()) for each in (times, until) if len(each)), default=0)
    last = max((int(each.max()) for each in (times, until) if len(each)), default=0)
    span = last - first + 1
    keys = log.users[rows] * span + (times - first)
    begins = np.searchsorted(keys, points.users * span)
    ends = np.searchsorted(keys, points.users * span + (until - first))
    return ClickHistories(log.items[rows], begins.astype(np.int64), ends.astype(np.int64))
