"""Ranked lists with what was shown, clicked and judged; and single impressions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmrec_bench.data.arrays import checked, checked_ids, digest
from mmrec_bench.errors import DataError
from mmrec_bench.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """Lists of items in long form: row r is one item of list ``list_of[r]``; rows of a list are adjacent.

    Attributes:
        list_of: List of each row, int64 ``[N]``, non-decreasing, without gaps from 0.
        items: Item of each row, int64 ``[N]``.
        n_items: Number of items of the catalogue.
        features: float32 ``[N, f]``.
        positions: Place at which the row was shown, 1 = top, int64 ``[N]``.
        clicks: bool ``[N]``.
        labels: Graded relevance, int64 ``[N]``, 0 = irrelevant.
        users: User of each **list**, int64 ``[n_lists]``.
        timestamps: Seconds UTC of each **list**, int64 ``[n_lists]``.
        propensities: Probability that the row was observed, float32 ``[N]`` in (0, 1], where it is known (simulation).

    Raises:
        DataError: On wrong types, lengths or ranges.
    """

    list_of: IntArray
    items: IntArray
    n_items: int
    features: FloatArray | None = None
    positions: IntArray | None = None
    clicks: BoolArray | None = None
    labels: IntArray | None = None
    users: IntArray | None = None
    timestamps: IntArray | None = None
    propensities: FloatArray | None = None

    def __post_init__(self) -> None:
        n = len(self.items)
        list_of = checked_ids("list_of", self.list_of, max(n, 1), n)
        steps = np.diff(list_of)
        if n and (list_of[0] != 0 or ((steps != 0) & (steps != 1)).any()):
            raise DataError("list_of must rise from 0 in steps of 0 or 1, so that the rows of a list are adjacent")
        object.__setattr__(self, "list_of", list_of)
        object.__setattr__(self, "items", checked_ids("items", self.items, self.n_items, n))
        rows = (
            ("positions", np.int64, n),
            ("clicks", np.bool_, n),
            ("labels", np.int64, n),
            ("propensities", np.float32, n),
        )
        lists = ("users", np.int64, self.n_lists), ("timestamps", np.int64, self.n_lists)
        for name, dtype, length in (*rows, *lists):
            if (array := getattr(self, name)) is not None:
                object.__setattr__(self, name, checked(name, array, dtype, (length,)))
        if self.features is not None:
            features = checked("features", self.features, np.float32, (n, None))
            if not np.isfinite(features).all():
                raise DataError("features of lists must be finite")
            object.__setattr__(self, "features", features)
        for name, low in (("positions", 1), ("labels", 0), ("users", 0)):
            if (array := getattr(self, name)) is not None and len(array) and array.min() < low:
                raise DataError(f"{name} must be at least {low}; got {array.min()}")
        if self.propensities is not None and not ((self.propensities > 0) & (self.propensities <= 1)).all():
            raise DataError("propensities must lie in (0, 1]")

    def __len__(self) -> int:
        return len(self.items)

    @property
    def n_lists(self) -> int:
        """Number of lists."""
        return int(self.list_of[-1]) + 1 if len(self.list_of) else 0

    def offsets(self) -> IntArray:
        """Return where each list starts, and the end, int64 ``[n_lists + 1]``."""
        return np.searchsorted(self.list_of, np.arange(self.n_lists + 1)).astype(np.int64)

    def fingerprint(self) -> str:
        """Return a content fingerprint."""
        facts = (
            self.features,
            self.positions,
            self.clicks,
            self.labels,
            self.users,
            self.timestamps,
            self.propensities,
        )
        return digest(f"{self.n_items}", self.list_of, self.items, *facts)


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
        recipe: How the negatives were made, in words and numbers, for the manifest.

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

    def __len__(self) -> int:
        return len(self.users)

    def fingerprint(self) -> str:
        """Return a content fingerprint."""
        return digest(
            f"{self.n_users}x{self.n_items}", self.users, self.items, self.labels, self.timestamps, self.recipe
        )
