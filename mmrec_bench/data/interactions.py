"""Who interacted with what, and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from mmrec_bench.data.arrays import checked, checked_ids, digest
from mmrec_bench.errors import DataError
from mmrec_bench.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Interactions:
    """Unique user-item pairs with optional facts about each.

    Attributes:
        users: Row numbers of users, int64 ``[E]``.
        items: Row numbers of items, int64 ``[E]``.
        n_users: Number of users of the data set, seen here or not.
        n_items: Number of items of the catalogue, seen here or not.
        values: Ratings or counts, float32 ``[E]``.
        order: Position in time where no clock is known (larger = later), int64 ``[E]``.
        timestamps: Seconds UTC, int64 ``[E]``.
        labels: Part of the split delivered with the data (0 train, 1 valid, 2 test), int8 ``[E]``.

    Raises:
        DataError: On wrong types, lengths, ranges, or a pair that occurs twice.
    """

    users: IntArray
    items: IntArray
    n_users: int
    n_items: int
    values: FloatArray | None = None
    order: IntArray | None = None
    timestamps: IntArray | None = None
    labels: NDArray[np.int8] | None = None

    def __post_init__(self) -> None:
        if self.n_users < 1 or self.n_items < 1:
            raise DataError(f"a data set needs at least one user and one item; got {self.n_users} and {self.n_items}")
        users = checked_ids("users", self.users, self.n_users)
        items = checked_ids("items", self.items, self.n_items, len(users))
        object.__setattr__(self, "users", users)
        object.__setattr__(self, "items", items)
        for name, dtype in (("values", np.float32), ("order", np.int64), ("timestamps", np.int64), ("labels", np.int8)):
            if (array := getattr(self, name)) is not None:
                object.__setattr__(self, name, checked(name, array, dtype, (len(users),)))
        if self.values is not None and not np.isfinite(self.values).all():
            raise DataError(f"values must be finite; {int((~np.isfinite(self.values)).sum())} are not")
        if self.labels is not None and len(users) and (self.labels.min() < 0 or self.labels.max() > 2):
            raise DataError(f"labels must be 0 (train), 1 (valid) or 2 (test); got {np.unique(self.labels).tolist()}")
        keys = np.sort(self.keys())
        if len(keys) and (repeated := int((keys[1:] == keys[:-1]).sum())):
            raise DataError(f"user-item pairs must be unique; {repeated} occur again")

    def __len__(self) -> int:
        return len(self.users)

    def keys(self) -> IntArray:
        """Return ``user * n_items + item`` of each pair, int64 ``[E]``; sorted keys allow membership by search."""
        return self.users * np.int64(self.n_items) + self.items

    def select(self, rows: IntArray | BoolArray) -> Interactions:
        """Return the pairs of these rows, or where the mask is true."""

        def pick(array: NDArray[np.generic] | None) -> NDArray[np.generic] | None:
            return None if array is None else array[rows]

        return Interactions(
            self.users[rows], self.items[rows], self.n_users, self.n_items,
            pick(self.values), pick(self.order), pick(self.timestamps), pick(self.labels),  # type: ignore[arg-type]
        )  # fmt: skip

    def matrix(self) -> sp.csr_matrix:
        """Return the binary interaction matrix R, float32 CSR ``[n_users, n_items]`` with sorted indices."""
        ones = np.ones(len(self), np.float32)
        matrix = sp.csr_matrix((ones, (self.users, self.items)), shape=(self.n_users, self.n_items))
        matrix.sort_indices()
        return matrix

    def user_counts(self) -> IntArray:
        """Return the number of interactions of each user, int64 ``[n_users]``."""
        return np.bincount(self.users, minlength=self.n_users).astype(np.int64)

    def item_counts(self) -> IntArray:
        """Return the number of interactions of each item, int64 ``[n_items]``."""
        return np.bincount(self.items, minlength=self.n_items).astype(np.int64)

    def clock(self) -> IntArray | None:
        """Return timestamps, or the order where there is no clock, or None where time is unknown; int64 ``[E]``."""
        return self.timestamps if self.timestamps is not None else self.order

    def fingerprint(self) -> str:
        """Return a content fingerprint that does not depend on the order of the rows."""
        rows = np.argsort(self.keys(), kind="stable")
        columns = (self.values, self.order, self.timestamps, self.labels)
        ordered = [None if column is None else column[rows] for column in columns]
        return digest(f"{self.n_users}x{self.n_items}", self.users[rows], self.items[rows], *ordered)
