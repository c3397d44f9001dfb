from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmrec_bench.evaluation.slices import item_slices, user_slices


def _rows(slices: dict[str, np.ndarray]) -> dict[str, list[int]]:
    return {name: np.flatnonzero(members).tolist() for name, members in slices.items()}


def test_users_are_parted_at_terciles_of_activity() -> None:
    slices = _rows(user_slices(np.array([9, 0, 1, 5, 3, 7, 2])))
    assert slices == {"users:low": [2, 6], "users:mid": [3, 4], "users:high": [0, 5], "users:cold": [1]}


def test_equally_active_users_are_never_parted() -> None:
    slices = _rows(user_slices(np.array([4, 4, 4, 4, 9])))
    assert slices == {"users:low": [0, 1, 2, 3], "users:mid": [], "users:high": [4], "users:cold": []}


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_user_slices_part_all_users(counts: list[int]) -> None:
    slices = user_slices(np.array(counts))
    assert (np.sum(list(slices.values()), axis=0) == 1).all()
    assert slices["users:low"].any() == any(counts)


def test_items_are_parted_by_thirds_of_the_interactions() -> None:
    counts = np.array([1, 6, 1, 3, 0, 3, 2, 1, 1])
    slices = _rows(item_slices(counts, np.arange(9), {"image": np.array([True] * 8 + [False])}))
    assert slices == {
        "items:head": [1],
        "items:mid": [3, 5],
        "items:tail": [0, 2, 6, 7, 8],
        "items:warm": [0, 1, 2, 3, 5, 6, 7, 8],
        "items:cold": [4],
        "items:no-image": [8],
    }


def test_equally_popular_items_are_parted_by_tie_rank_not_by_row() -> None:
    slices = _rows(item_slices(np.ones(3, np.int64), np.array([2, 0, 1]), {}))
    assert (slices["items:head"], slices["items:mid"], slices["items:tail"]) == ([1], [2], [0])


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.randoms())
def test_item_slices_part_all_items_and_carry_thirds(values: list[int], random) -> None:
    counts = np.array(values)
    ties = np.array(random.sample(range(len(values)), len(values)))
    slices = item_slices(counts, ties, {})
    assert (slices.pop("items:warm") == (counts > 0)).all()
    assert (np.sum(list(slices.values()), axis=0) == 1).all()
    head, tail = counts[slices["items:head"]], counts[slices["items:tail"]]
    if counts.any():
        assert head.sum() * 3 >= counts.sum()
        assert tail.sum() * 3 <= counts.sum()
        assert head.min() >= max(tail, default=0)
