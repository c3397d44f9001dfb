"""Ranked lists with what was shown, clicked and judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmrec_bench.data.arrays import checked, checked_ids, digest
from mmrec_bench.errors import DataError
from mmrec_bench.types import BoolArray, FloatArray, IntArray

MAX_LABEL = 31
"""Largest graded relevance: the gain 2^label - 1 of more would drown all others."""

MAX_POSITION = 1 << 20
"""Largest place at which a row is shown: models of position bias hold a value for each place up to the last."""

_OF_ROWS = {"positions": np.int64, "clicks": np.bool_, "labels": np.int64, "propensities": np.float32}
_OF_LISTS = {"timestamps": np.int64, "parts": np.int8, "missed": np.int64}


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """What whoever a list is for had before, oldest first.

    Attributes:
        offsets: Where the items of each list begin, and the end, int64 ``[n_lists + 1]``.
        items: int64 ``[H]``.

    Raises:
        DataError: Offsets that do not rise from 0 to H.
    """

    offsets: IntArray
    items: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", checked("history items", self.items, np.int64, (None,)))
        offsets = checked("history offsets", self.offsets, np.int64, (None,))
        if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(self.items) or (np.diff(offsets) < 0).any():
            raise DataError(f"history offsets must rise from 0 to {len(self.items)}, the number of history items")
        object.__setattr__(self, "offsets", offsets)

    def select(self, lists: IntArray) -> Histories:
        """Return the histories of some lists, in this order."""
        rows, offsets = gathered(self.offsets, lists)
        return Histories(offsets, self.items[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """Lists of items in long form: row r is one item of list ``list_of[r]``; rows of a list are adjacent.

    The rows of a list stand in the order shown, or in the order of the file where nothing was shown.

    Attributes:
        list_of: List of each row, int64 ``[N]``, non-decreasing, without gaps from 0.
        items: Item (or document) of each row, int64 ``[N]``.
        n_items: Number of items of the catalogue.
        users: User (or query) of each **list**, int64 ``[n_lists]``; many lists may be for one.
        n_users: Number of users (or queries) of the data set.
        features: float32 ``[N, f]``.
        positions: Place at which the row was shown, 1 = top, int64 ``[N]`` in 1..1,048,576.
        clicks: bool ``[N]``.
        labels: Graded relevance, int64 ``[N]`` in 0..31, 0 = irrelevant.
        timestamps: Seconds UTC of each **list**, int64 ``[n_lists]``.
        propensities: Probability that the row was observed, float32 ``[N]`` in (0, 1], where it is known (simulation).
        parts: Delivered part of the split of each **list** (0 train, 1 valid, 2 test), int8 ``[n_lists]``.
        histories: Items before each list.
        missed: Relevant items (of label 1) that each **list** lacks, int64 ``[n_lists]``: candidates of a first stage
            leave some out, and the best order must not profit from it.

    Raises:
        DataError: On wrong types, lengths or ranges.
    """

    list_of: IntArray
    items: IntArray
    n_items: int
    users: IntArray
    n_users: int
    features: FloatArray | None = None
    positions: IntArray | None = None
    clicks: BoolArray | None = None
    labels: IntArray | None = None
    timestamps: IntArray | None = None
    propensities: FloatArray | None = None
    parts: NDArray[np.int8] | None = None
    histories: Histories | None = None
    missed: IntArray | None = None

    def __post_init__(self) -> None:
        n = len(self.items)
        list_of = checked_ids("list_of", self.list_of, max(n, 1), n)
        steps = np.diff(list_of)
        if n and (list_of[0] != 0 or ((steps != 0) & (steps != 1)).any()):
            raise DataError("list_of must rise from 0 in steps of 0 or 1, so that the rows of a list are adjacent")
        object.__setattr__(self, "list_of", list_of)
        object.__setattr__(self, "items", checked_ids("items", self.items, self.n_items, n))
        object.__setattr__(self, "users", checked_ids("users", self.users, self.n_users, self.n_lists))
        for name, dtype, length in (
            *((name, dtype, n) for name, dtype in _OF_ROWS.items()),
            *((name, dtype, self.n_lists) for name, dtype in _OF_LISTS.items()),
        ):
            if (array := getattr(self, name)) is not None:
                object.__setattr__(self, name, checked(name, array, dtype, (length,)))
        if self.features is not None:
            features = checked("features", self.features, np.float32, (n, None))
            if not np.isfinite(features).all():
                raise DataError("features of lists must be finite")
            object.__setattr__(self, "features", features)
        bounds = {"positions": (1, MAX_POSITION), "labels": (0, MAX_LABEL), "parts": (0, 2), "missed": (0, None)}
        for name, (low, high) in bounds.items():
            if (array := getattr(self, name)) is not None and len(array):
                if array.min() < low:
                    raise DataError(f"{name} must be at least {low}; got {array.min()}")
                if high is not None and array.max() > high:
                    raise DataError(f"{name} must be at most {high}; got {array.max()}")
        if self.propensities is not None and not ((self.propensities > 0) & (self.propensities <= 1)).all():
            raise DataError("propensities must lie in (0, 1]")
        if self.clicks is not None and self.positions is None:
            raise DataError("clicks need positions: without the place at which a row was shown, no bias can be told")
        if (histories := self.histories) is not None:
            checked_ids("history items", histories.items, self.n_items)
            if len(histories.offsets) != self.n_lists + 1:
                raise DataError(
                    f"there must be a history for each of {self.n_lists} lists; got {len(histories.offsets) - 1}"
                )

    def __len__(self) -> int:
        return len(self.items)

    @property
    def n_lists(self) -> int:
        """Number of lists."""
        return int(self.list_of[-1]) + 1 if len(self.list_of) else 0

    def offsets(self) -> IntArray:
        """Return where each list starts, and the end, int64 ``[n_lists + 1]``."""
        return np.searchsorted(self.list_of, np.arange(self.n_lists + 1)).astype(np.int64)

    def lengths(self) -> IntArray:
        """Return the number of rows of each list, int64 ``[n_lists]``."""
        return np.diff(self.offsets())

    def item_counts(self) -> IntArray:
        """Return how often each item stands in a list, int64 ``[n_items]``."""
        return np.bincount(self.items, minlength=self.n_items).astype(np.int64)

    def select(self, lists: IntArray) -> Lists:
        """Return some lists, int64 ``[n]``, in this order; one may occur several times."""
        rows, offsets = gathered(self.offsets(), lists)
        of_rows = {name: array[rows] for name in (*_OF_ROWS, "features") if (array := getattr(self, name)) is not None}
        of_lists = {name: array[lists] for name in _OF_LISTS if (array := getattr(self, name)) is not None}
        return Lists(
            list_of=np.repeat(np.arange(len(lists)), np.diff(offsets)),
            items=self.items[rows],
            n_items=self.n_items,
            users=self.users[lists],
            n_users=self.n_users,
            histories=None if self.histories is None else self.histories.select(lists),
            **of_rows,
            **of_lists,
        )

    def require_orders(self) -> None:
        """Refuse lists of which the positions are no whole order.

        Raises:
            DataError: There are no positions, or those of a list are not 1 to its length, each once.
        """
        if self.positions is None:
            raise DataError("an order cannot be learned from lists without positions")
        order = np.lexsort((self.positions, self.list_of))
        places = np.arange(len(self)) - np.repeat(self.offsets()[:-1], self.lengths()) + 1
        if len(wrong := np.flatnonzero(self.positions[order] != places)):
            first = int(self.list_of[wrong[0]])
            shown = np.sort(self.positions[self.list_of == first])
            raise DataError(
                f"an order has every place from 1 to the length of its list once; list {first} (from 0), of "
                f"{len(shown)} rows, has the places {', '.join(map(str, shown[:20]))}{', ...' * (len(shown) > 20)}. "
                "Give whole orders, or learn from labels or clicks"
            )

    def fingerprint(self) -> str:
        """Return a content fingerprint."""
        facts = [getattr(self, name) for name in (*_OF_ROWS, *_OF_LISTS, "features")]
        if (histories := self.histories) is not None:
            facts += [histories.offsets, histories.items]
        return digest(f"{self.n_users}x{self.n_items}", self.list_of, self.items, self.users, *facts)


def gathered(offsets: IntArray, groups: IntArray) -> tuple[IntArray, IntArray]:
    """Return the rows of some groups of adjacent rows, one group after the other, and where each now begins.

    Args:
        offsets: Where each group begins, and the end, int64 ``[n + 1]``.
        groups: int64 ``[m]``.

    Returns:
        Rows, and offsets int64 ``[m + 1]``.
    """
    lengths = np.diff(offsets)[groups]
    begins = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = np.arange(begins[-1]) - np.repeat(begins[:-1], lengths) + np.repeat(offsets[:-1][groups], lengths)
    return rows.astype(np.int64), begins
