"""The k-core of interactions, and row numbers for its users and items; rows may lie in shards on several machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from mmrec_bench.data.formats.external import natural_order, rows_of
from mmrec_bench.data.tasks import Here, Tasks, of_each
from mmrec_bench.errors import DataError
from mmrec_bench.types import BoolArray, IntArray, StringArray

Rows: TypeAlias = tuple[StringArray, StringArray]
"""External ids of the users and items of some rows, text ``[n]`` each."""

Codes: TypeAlias = tuple[IntArray, IntArray]
"""Row numbers of the users and items of some rows, int64 ``[n]`` each."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is left after some steps.

    Attributes:
        rows: Number of rows.
        users: Number of users with a row.
        items: Number of items with a row.
    """

    rows: int
    users: int
    items: int


@dataclass(frozen=True, slots=True, eq=False)
class KCore:
    """The largest part of the rows in which every user and every item has enough of them.

    Attributes:
        kept: Whether each row is in it, bool ``[n]``; shards one after the other.
        users: Row number of the user of each kept row, int64 ``[m]``.
        items: Row number of its item, int64 ``[m]``.
        user_ids: External ids of users by row number, in natural order: whole numbers by size, then others as text.
        item_ids: Those of items.
        steps: Sizes before the first step and after each; the last two are equal.
    """

    kept: BoolArray
    users: IntArray
    items: IntArray
    user_ids: StringArray
    item_ids: StringArray
    steps: tuple[Step, ...]


def k_core(shards: Sequence[Rows], user_rows: int, item_rows: int, tasks: Tasks | None = None) -> KCore:
    """Drop users and items with too few rows, again and again, until none is left that has too few.

    The result does not depend on how the rows are parted into shards, nor on where these are. Rows are counted as they
    are given; merge repeated pairs before.

    Args:
        shards: The rows, such as one shard a file.
        user_rows: Rows a user needs; 1 keeps all.
        item_rows: Rows an item needs; 1 keeps all.
        tasks: Where the shards are worked on; this process by default.

    Raises:
        DataError: A bound below 1, columns of different lengths, or nothing that is left.
    """
    tasks = tasks or Here()
    if user_rows < 1 or item_rows < 1:
        raise DataError(f"a k-core needs at least 1 row a user and an item; got {user_rows} and {item_rows}")
    for users, items in shards:
        if len(users) != len(items):
            raise DataError(f"each row needs a user and an item; got {len(users)} users and {len(items)} items")
    if not any(len(users) for users, _ in shards):
        raise DataError("a k-core of no rows: give at least one")
    held = [tasks.put(shard) for shard in shards]
    found = tasks.get(of_each(tasks, ids_of, held))
    user_ids, item_ids = (_in_order([ids[column] for ids in found]) for column in (0, 1))
    coded = of_each(tasks, codes_of, held, user_ids, item_ids)
    keep_users, keep_items, steps = fixpoint(tasks, coded, len(user_ids), len(item_ids), user_rows, item_rows)
    codes: list[Codes] = tasks.get(coded)
    of_users, of_items = (np.concatenate([shard[column] for shard in codes]) for column in (0, 1))
    kept = rows_kept((of_users, of_items), keep_users, keep_items)
    new_users, new_items = np.cumsum(keep_users) - 1, np.cumsum(keep_items) - 1
    return KCore(
        kept, new_users[of_users[kept]], new_items[of_items[kept]], user_ids[keep_users], item_ids[keep_items], steps
    )


def fixpoint(
    tasks: Tasks, codes: Sequence[Any], n_users: int, n_items: int, user_rows: int, item_rows: int
) -> tuple[BoolArray, BoolArray, tuple[Step, ...]]:
    """Return which users and items are kept, and the steps of `KCore`.

    Shards never change: a row is left while its user and item are.

    Args:
        tasks: Where the shards are worked on.
        codes: Held shards of row numbers of users and items, `Codes`.
        n_users: Number of users; their row numbers are below.
        n_items: Number of items.
        user_rows: Rows a user needs.
        item_rows: Rows an item needs.

    Raises:
        DataError: Nothing is left.
    """
    keep_users, keep_items = np.ones(n_users, np.bool_), np.ones(n_items, np.bool_)
    steps: list[Step] = []
    while True:
        of_user, of_item = np.zeros(n_users, np.int64), np.zeros(n_items, np.int64)
        for counted in of_each(tasks, counts_of, codes, keep_users, keep_items):
            ((users, by_user, items, by_item),) = tasks.get([counted])
            of_user[users] += by_user  # each user stands once among those of a shard
            of_item[items] += by_item
        steps.append(Step(int(of_user.sum()), int((of_user > 0).sum()), int((of_item > 0).sum())))
        if not steps[-1].rows:
            raise nothing_left(steps, user_rows, item_rows)
        if len(steps) > 1 and steps[-1] == steps[-2]:
            return keep_users, keep_items, tuple(steps)
        keep_users, keep_items = of_user >= user_rows, of_item >= item_rows


def nothing_left(steps: Sequence[Step], user_rows: int, item_rows: int) -> DataError:
    """Return the error of a k-core that is empty."""
    told = ", ".join(f"{step.rows:,}" for step in steps)
    return DataError(
        f"nothing is left of the rows with {user_rows} a user and {item_rows} an item (rows by step: {told}). "
        "Ask for fewer"
    )


def ids_of(shard: Rows) -> Rows:
    """Return the distinct external ids of the users and items of a shard."""
    return np.unique(shard[0]), np.unique(shard[1])


def codes_of(shard: Rows, user_ids: StringArray, item_ids: StringArray) -> Codes:
    """Return the row numbers of the users and items of a shard among all ids."""
    return rows_of(pa.array(shard[0].tolist(), pa.string()), user_ids), rows_of(
        pa.array(shard[1].tolist(), pa.string()), item_ids
    )


def counts_of(
    shard: Codes, keep_users: BoolArray, keep_items: BoolArray
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Return users of a shard and their rows in it, and items and theirs, of the rows whose user and item are kept."""
    users, items = shard
    left = rows_kept(shard, keep_users, keep_items)
    return *_counted(users[left]), *_counted(items[left])


def rows_kept(codes: Codes, keep_users: BoolArray, keep_items: BoolArray) -> BoolArray:
    """Return whether the user and the item of each row are both kept."""
    users, items = codes
    return keep_users[users] & keep_items[items]


def _counted(codes: IntArray) -> tuple[IntArray, IntArray]:
    """Return the distinct codes and how often each comes: few of all in a shard, so that no count of 0 travels."""
    first = codes.min() if len(codes) else 0
    counts = np.bincount(codes - first)
    found = np.flatnonzero(counts)
    return found + first, counts[found]


def _in_order(found: Sequence[StringArray]) -> StringArray:
    return natural_order(pa.array(np.unique(np.concatenate(found)).tolist(), pa.string()))
