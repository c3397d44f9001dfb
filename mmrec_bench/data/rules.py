"""Split rules: which rows are learned from, which select, which judge."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt, model_validator

# Importing rules registers them.
import mmrec_bench.data.list_rules
import mmrec_bench.data.point_rules  # noqa: F401
from mmrec_bench.data.chance import pair_hash
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Lists
from mmrec_bench.data.moments import Moment, to_seconds, to_text
from mmrec_bench.data.provenance import TimePromise
from mmrec_bench.data.split_rule import (
    PARTS,
    SPLITS,
    TEST,
    TRAIN,
    VALID,
    ColdUsers,
    Fraction,
    Labelled,
    SplitConfig,
    SplitRule,
    split_rule,
)
from mmrec_bench.errors import ProtocolError
from mmrec_bench.settings import explained_error
from mmrec_bench.types import IntArray

__all__ = [
    "PARTS",
    "SPLITS",
    "TEST",
    "TRAIN",
    "VALID",
    "ColdItems",
    "ColdUsers",
    "Fraction",
    "GlobalTime",
    "Labelled",
    "LeaveLastOut",
    "Random811",
    "SplitConfig",
    "SplitRule",
    "XLabel",
]


def _possible(interactions: Interactions) -> str:
    """Return the common rules that can part interactions."""
    can = {
        "x-label": interactions.labels is not None,
        "random-811": True,
        "leave-last-out": interactions.clock() is not None,
        "global-time": interactions.timestamps is not None,
    }
    return _any_of(can)


def _possible_of_lists(lists: Lists) -> str:
    """Return the rules that can part lists."""
    delivered, timed = lists.parts is not None, lists.timestamps is not None
    return _any_of({"x-label": delivered, "by-user": True, "carved-valid": delivered, "global-time": timed})


def _any_of(can: Mapping[str, bool]) -> str:
    *names, last = [name for name, possible in can.items() if possible]
    return f"{', '.join(names)} or {last}" if names else last


@split_rule("x-label")
class XLabel(SplitConfig):
    """The split that was delivered with the data."""

    name: Literal["x-label"] = "x-label"

    @property
    def delivered(self) -> bool:
        """They are."""
        return True

    def promise(self, delivered: TimePromise) -> TimePromise:
        """Return what the card says of the delivered split."""
        return delivered

    def assign(self, interactions: Interactions) -> Labelled:
        """Return the delivered labels."""
        if interactions.labels is None:
            raise ProtocolError(
                "split 'x-label' needs labels delivered with the data (column x_label), and there are none. "
                f"Choose {_possible(interactions)} under protocol.split"
            )
        return Labelled(interactions.labels)

    def assign_lists(self, lists: Lists) -> Labelled:
        """Return the delivered parts."""
        if lists.parts is None:
            raise ProtocolError(
                "split 'x-label' needs lists that were delivered in parts, and these were not. Choose "
                f"{_possible_of_lists(lists)} under protocol.split"
            )
        return Labelled(lists.parts)


@split_rule("random-811")
class Random811(SplitConfig):
    """About 8 : 1 : 1 of each user's rows at random, with MMRec's numbers.

    Of n rows, n // 5 are held out, half of them (rounded down) for validation. With fewer than 10 rows one row is
    tested and one validated. Users with fewer than 3 rows are for training alone.
    """

    name: Literal["random-811"] = "random-811"
    seed: NonNegativeInt = 0
    """Of the split; runs of all seeds share it."""

    def assign(self, interactions: Interactions) -> Labelled:
        """Return a random label for each row."""
        chance = pair_hash(interactions.users, interactions.items, self.seed, "split")
        order = np.lexsort((interactions.items, chance, interactions.users))
        counts = interactions.user_counts()
        held_out = np.where(counts < 10, 2, counts // 5)
        n_test = held_out - held_out // 2
        return _from_the_end(interactions, order, n_test, held_out)


@split_rule("leave-last-out")
class LeaveLastOut(SplitConfig):
    """The last row of each user in time is tested, the one before validated.

    Equal times are ordered by a seeded hash. Users with fewer than 3 rows are for training alone. Training rows may be
    later than held-out rows of other users: see ``global-time``.
    """

    name: Literal["leave-last-out"] = "leave-last-out"
    seed: NonNegativeInt = 0
    """Of the hash that orders equal times."""

    def promise(self, delivered: TimePromise) -> TimePromise:
        """Return that time is kept within each user."""
        return "user"

    def assign(self, interactions: Interactions) -> Labelled:
        """Return labels by place in time."""
        clock = interactions.clock()
        if clock is None:
            raise ProtocolError(
                "split 'leave-last-out' needs timestamps or an order, and the data has neither. "
                f"Choose {_possible(interactions)} under protocol.split"
            )
        chance = pair_hash(interactions.users, interactions.items, self.seed, "split")
        order = np.lexsort((interactions.items, chance, clock, interactions.users))
        counts = interactions.user_counts()
        ones = np.ones_like(counts)
        labelled = _from_the_end(interactions, order, ones, 2 * ones)
        return Labelled(labelled.labels, (*labelled.notes, *_ties(interactions, clock, order, labelled.labels)))


@split_rule("global-time")
class GlobalTime(SplitConfig):
    """Two moments part the past from the future, for all users alike.

    Rows (or lists) before ``valid_from`` are for training, rows from ``test_from`` on are tested. Without these, the
    moments are chosen such that the last rows in time make up the two fractions; rows of one second are never parted,
    those of the cut itself belong to the later part.
    """

    name: Literal["global-time"] = "global-time"
    valid_fraction: Fraction | None = None
    """Share of all rows that are validated; 0.1 by default."""
    test_fraction: Fraction | None = None
    """Share of all rows that are tested; 0.1 by default."""
    valid_from: Moment | None = None
    """First moment of validation: ISO 8601 (``2014-01-01``, UTC where no zone is given), or seconds since 1970."""
    test_from: Moment | None = None
    """First moment of the test."""

    def promise(self, delivered: TimePromise) -> TimePromise:
        """Return that time is kept across all users."""
        return "global"

    @model_validator(mode="before")
    @classmethod
    def _default_fractions(cls, data: Any) -> Any:
        """Write the default out only where no moment is given, so that a resolved config loads again."""
        if isinstance(data, Mapping) and data.get("valid_from") is None and data.get("test_from") is None:
            given = {key: value for key, value in data.items() if value is not None}
            return {"valid_fraction": 0.1, "test_fraction": 0.1, **given}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        moments, fractions = (self.valid_from, self.test_from), (self.valid_fraction, self.test_fraction)
        if moments == (None, None):
            if (held_out := sum(fraction or 0 for fraction in fractions)) >= 1:
                raise explained_error(f"valid_fraction and test_fraction must leave rows for training; got {held_out}")
        elif fractions != (None, None):
            raise explained_error("takes either moments or fractions; remove one of the two")
        elif self.valid_from is None or self.test_from is None:
            raise explained_error("needs both valid_from and test_from, or neither")
        elif to_seconds(self.valid_from) >= to_seconds(self.test_from):
            raise explained_error(f"valid_from must be before test_from; got {self.valid_from} and {self.test_from}")
        return self

    def assign(self, interactions: Interactions) -> Labelled:
        """Return labels by time."""
        return self._by_time(interactions.timestamps, _possible(interactions))

    def assign_lists(self, lists: Lists) -> Labelled:
        """Return labels by time; fractions are of lists."""
        return self._by_time(lists.timestamps, _possible_of_lists(lists))

    def _by_time(self, times: IntArray | None, others: str) -> Labelled:
        if times is None:
            raise ProtocolError(
                f"split 'global-time' needs timestamps, and the data has none. Choose {others} under protocol.split"
            )
        valid_from, test_from = self._cuts(times)
        labels = (times >= valid_from).astype(np.int8) + (times >= test_from).astype(np.int8)
        return Labelled(labels, (f"validation starts at {to_text(valid_from)}, the test at {to_text(test_from)}",))

    def _cuts(self, times: IntArray) -> tuple[int, int]:
        if self.valid_from is not None and self.test_from is not None:
            return to_seconds(self.valid_from), to_seconds(self.test_from)
        if self.valid_fraction is None or self.test_fraction is None or not len(times):
            return 0, 0
        latest_first = np.sort(times)[::-1]
        n_test = max(round(len(times) * self.test_fraction), 1)
        n_held_out = max(round(len(times) * (self.valid_fraction + self.test_fraction)), 1)
        return int(latest_first[n_held_out - 1]), int(latest_first[n_test - 1])


@split_rule("cold-items")
class ColdItems(SplitConfig):
    """All rows of some items are withheld, so that nothing but their content tells of them.

    Items are drawn by a seeded hash: the rows of the first share are validated, those of the second tested, and the
    rows of all other items are parted 8 : 1 : 1 within each user, as by ``random-811``. Every held-out part thus has
    warm and strictly cold items, which the slices ``items:warm`` and ``items:cold`` tell apart.
    """

    name: Literal["cold-items"] = "cold-items"
    seed: NonNegativeInt = 0
    """Of the items that are drawn, and of the split of the others."""
    valid_items: Fraction = 0.1
    """Share of the items whose rows are all validated."""
    test_items: Fraction = 0.1
    """Share of the items whose rows are all tested."""

    @model_validator(mode="after")
    def _some_are_warm(self) -> Self:
        if self.valid_items + self.test_items >= 1:
            raise explained_error(
                f"valid_items and test_items must leave items for training; got {self.valid_items} + {self.test_items}"
            )
        return self

    def assign(self, interactions: Interactions) -> Labelled:
        """Return the labels of withheld items and, for the others, random ones."""
        every = np.arange(interactions.n_items)
        place = np.argsort(np.argsort(pair_hash(np.zeros_like(every), every, self.seed, "cold-items")))
        n_valid, n_test = (round(share * len(every)) for share in (self.valid_items, self.test_items))
        part = np.full(len(every), TRAIN, np.int8)
        part[place < n_valid + n_test] = TEST
        part[place < n_valid] = VALID
        labels = part[interactions.items]
        warm = labels == TRAIN
        others = Random811(seed=self.seed).assign(dataclasses.replace(interactions.select(warm), labels=None))
        labels[warm] = others.labels
        return Labelled(labels, (f"{n_valid} items are cold in validation, {n_test} others in the test", *others.notes))


def _from_the_end(interactions: Interactions, order: IntArray, n_test: IntArray, n_held_out: IntArray) -> Labelled:
    """Label the last rows of each user, in an order that keeps users together, but leave short users to training.

    Args:
        interactions: The rows.
        order: Row numbers, sorted by user first, int64 ``[E]``.
        n_test: Rows at the very end that are tested, int64 ``[n_users]``.
        n_held_out: Rows at the end that are tested or validated, int64 ``[n_users]``.
    """
    counts = interactions.user_counts()
    users = interactions.users[order]
    from_end = np.cumsum(counts)[users] - np.arange(len(users))  # 1 = the last
    long_enough = counts[users] >= 3
    labels = np.zeros(len(users), np.int8)
    labels[order] = long_enough * ((from_end <= n_held_out[users]).astype(np.int8) + (from_end <= n_test[users]))
    short = int(((counts > 0) & (counts < 3)).sum())
    notes = (f"{short} users have fewer than 3 rows and are for training alone",) if short else ()
    return Labelled(labels, notes)


def _ties(interactions: Interactions, clock: IntArray, order: IntArray, labels: NDArray[np.int8]) -> tuple[str, ...]:
    """Say how often times are equal within a user, and how often that decides what is held out."""
    users, times, parts = interactions.users[order], clock[order], labels[order]
    equal = (users[1:] == users[:-1]) & (times[1:] == times[:-1])
    if not equal.any():
        return ()
    tied = np.zeros(len(users), np.bool_)
    tied[1:] |= equal
    tied[:-1] |= equal
    decided = len(np.unique(users[1:][equal & (parts[1:] != parts[:-1])]))
    return (
        f"{tied.mean():.2%} of the rows share their time with another row of the user; for {decided} of "
        f"{len(np.unique(users))} users a seeded hash decides what is held out",
    )
