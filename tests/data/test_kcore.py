"""The k-core, against a slow reference, in any number of shards."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from mmrec_bench.data.kcore import KCore, Rows, Step, k_core
from mmrec_bench.errors import DataError


def rows(seed: int, n: int = 400) -> Rows:
    rng = np.random.default_rng(seed)
    users = rng.zipf(1.6, n) % 60
    items = rng.zipf(1.5, n) % 50
    return users.astype(np.str_), np.char.add("i", items.astype(np.str_))


def slow(shard: Rows, user_rows: int, item_rows: int) -> set[int]:
    """Take users and items away one at a time until nothing changes."""
    left = set(range(len(shard[0])))
    while True:
        users = Counter(shard[0][row] for row in left)
        items = Counter(shard[1][row] for row in left)
        bad = {row for row in left if users[shard[0][row]] < user_rows or items[shard[1][row]] < item_rows}
        if not bad:
            return left
        left.discard(min(bad))


def parted(shard: Rows, n: int, seed: int) -> list[Rows]:
    cuts = np.sort(np.random.default_rng(seed).integers(0, len(shard[0]) + 1, n - 1))
    return list(zip(np.split(shard[0], cuts), np.split(shard[1], cuts), strict=True))


def equal(left: KCore, right: KCore) -> bool:
    names = ("kept", "users", "items", "user_ids", "item_ids")
    return left.steps == right.steps and all(np.array_equal(getattr(left, n), getattr(right, n)) for n in names)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("user_rows", "item_rows"), [(1, 1), (3, 2), (5, 5), (1, 8)])
def test_it_is_what_a_slow_search_finds_in_any_number_of_shards(seed: int, user_rows: int, item_rows: int) -> None:
    given = rows(seed)
    core = k_core([given], user_rows, item_rows)
    assert set(np.flatnonzero(core.kept).tolist()) == slow(given, user_rows, item_rows)
    assert core.user_ids[core.users].tolist() == given[0][core.kept].tolist()
    assert core.item_ids[core.items].tolist() == given[1][core.kept].tolist()
    assert np.bincount(core.users).min() >= user_rows
    assert np.bincount(core.items).min() >= item_rows
    for n in (2, 7):
        assert equal(core, k_core(parted(given, n, seed), user_rows, item_rows)), "empty shards too"


def test_steps_and_order_of_ids_are_told() -> None:
    """User 10 falls because of item b, and then user 9 because of item a."""
    users = np.array(["9", "9", "10", "10", "x", "x", "x"])
    items = np.array(["a", "c", "a", "b", "c", "d", "d"])
    core = k_core([(users, items)], 1, 2)
    assert core.steps == (Step(7, 3, 4), Step(6, 3, 3), Step(6, 3, 3))
    assert core.user_ids.tolist() == ["9", "10", "x"], "whole numbers by size, then text"
    core = k_core([(users, items)], 2, 2)
    assert [step.rows for step in core.steps] == [7, 6, 5, 4, 3, 2, 2]
    assert core.steps[-1] == Step(2, 1, 1)
    assert core.user_ids.tolist() == ["x"]


def test_bad_input_is_told() -> None:
    one = (np.array(["u"]), np.array(["i"]))
    with pytest.raises(DataError, match="at least 1 row"):
        k_core([one], 0, 1)
    with pytest.raises(DataError, match="nothing is left"):
        k_core([one], 2, 1)
    with pytest.raises(DataError, match="no rows"):
        k_core([], 1, 1)
    with pytest.raises(DataError, match="got 1 users and 2 items"):
        k_core([(one[0], np.array(["i", "j"]))], 1, 1)
