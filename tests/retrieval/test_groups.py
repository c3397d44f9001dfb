from __future__ import annotations

import numpy as np
import pytest
import torch

from mmrec_bench.retrieval import groups as module
from mmrec_bench.retrieval.groups import ItemGroups, equal_rows


def _partition(numbers: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(numbers == number).tolist()) for number in np.unique(numbers)}


@pytest.mark.parametrize("hash_rows", [7, 1 << 16])
def test_rows_are_grouped_as_numpy_does(hash_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HASH_VALUES", 3 * hash_rows)
    table = np.random.default_rng(0).integers(-1, 2, (200, 3)).astype(np.float32)
    expected = np.unique(table, axis=0, return_inverse=True)[1].reshape(-1)
    assert _partition(equal_rows(torch.from_numpy(table))) == _partition(expected)


def test_distinct_rows_keep_their_numbers() -> None:
    table = torch.arange(10.0)[:, None]
    assert equal_rows(table).tolist() == list(range(10))
    assert ItemGroups.of(table, np.arange(10)[::-1]).all_single


def test_negative_zero_equals_zero() -> None:
    assert equal_rows(torch.tensor([[0.0, 1.0], [-0.0, 1.0], [0.0, 2.0]])).tolist().count(0) in (1, 2)
    assert len(ItemGroups.of(torch.tensor([[0.0, 1.0], [-0.0, 1.0], [0.0, 2.0]]), np.arange(3))) == 2


def test_rows_with_the_same_hash_are_told_apart() -> None:
    table = torch.tensor([[1.0], [2.0], [1.0], [3.0]])
    groups = module._verified(table, np.zeros(4, np.int64))
    assert _partition(groups) == {frozenset({0, 2}), frozenset({1}), frozenset({3})}


def test_members_stand_in_the_order_of_their_tie_ranks() -> None:
    table = torch.tensor([[1.0], [2.0], [1.0], [1.0]])
    groups = ItemGroups.of(table, np.array([3, 0, 1, 2]))
    members = [groups.members[s : s + n].tolist() for s, n in zip(groups.starts, groups.sizes, strict=True)]
    assert sorted(members) == [[1], [2, 3, 0]]
    assert table[torch.from_numpy(groups.representatives)].unique().tolist() == [1.0, 2.0]


def test_expansion_goes_as_far_as_the_reach_and_says_where_it_stopped() -> None:
    table = torch.tensor([[3.0]] * 4 + [[2.0]] * 3 + [[1.0]] * 2)
    groups = ItemGroups.of(table, np.arange(9))
    by_score = [int(groups.of_item[item]) for item in (0, 4, 7)]
    fetched = np.array([by_score]), np.array([[3.0, 2.0, 1.0]], np.float32)

    everything = groups.expand(*fetched, reach=9)
    assert everything.items.tolist() == [[0, 1, 2, 3, 4, 5, 6, 7, 8]]
    assert everything.scores.tolist() == [[3, 3, 3, 3, 2, 2, 2, 1, 1]]
    assert everything.bound.tolist() == [-np.inf]

    short = groups.expand(*fetched, reach=3)
    assert short.items.tolist() == [[0, 1, 2]]
    assert short.bound.tolist() == [2.0]

    two_fetched = groups.expand(fetched[0][:, :2], fetched[1][:, :2], reach=9)
    assert two_fetched.items.tolist() == [[0, 1, 2, 3, 4, 5, 6]]
    assert two_fetched.bound.tolist() == [2.0]
