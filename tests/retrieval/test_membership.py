from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from mmrec_bench.errors import DataError
from mmrec_bench.retrieval.base import Exclusions
from mmrec_bench.retrieval.membership import Membership


@pytest.mark.parametrize("n_items", [3, 700, 1024, 5000])
@pytest.mark.parametrize("density", [0.0, 0.01, 0.9])
def test_agrees_with_a_dense_matrix(n_items: int, density: float) -> None:
    rng = np.random.default_rng(n_items)
    dense = rng.random((30, n_items)) < density
    member = Membership(Exclusions.of(sp.csr_matrix(dense)), n_items)
    users = rng.integers(0, 30, 50)
    items = rng.integers(-1, n_items, (50, 17))
    expected = dense[users[:, None], items] & (items >= 0)
    assert np.array_equal(member.contains(users, items), expected)
    assert np.array_equal(member.counts(users), dense[users].sum(axis=1))


def test_padding_belongs_to_nobody_even_beside_the_last_item_of_the_user_before() -> None:
    member = Membership(Exclusions(np.array([0, 1, 1]), np.array([1023])), 1024)
    assert member.contains(np.array([0, 1]), np.array([[1023], [-1]])).tolist() == [[True], [False]]


def test_pairs_name_the_place_of_the_user_not_its_row() -> None:
    member = Membership(Exclusions(np.array([0, 2, 2, 3]), np.array([4, 5, 0])), 6)
    places, items = member.pairs(np.array([2, 0, 1, 2]))
    assert list(zip(places.tolist(), items.tolist(), strict=True)) == [(0, 0), (1, 4), (1, 5), (3, 0)]


@pytest.mark.parametrize(
    ("offsets", "items", "message"),
    [
        ([0, 2], [1, 0], "ascend"),
        ([0, 2], [1, 1], "none twice"),
        ([0, 1], [9], "0..4"),
        ([0, 1], [-1], "0..4"),
        ([0, 2, 1], [1], "not fall"),
        ([0, 3], [1], "rise from 0"),
        ([], [], "rise from 0"),
    ],
)
def test_broken_pairs_are_refused(offsets: list[int], items: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Membership(Exclusions(np.array(offsets, np.int64), np.array(items, np.int64)), 5)
