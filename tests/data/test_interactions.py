"""Interactions refuse what is not a set of pairs, and never change afterwards."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.errors import DataError

USERS, ITEMS = np.array([0, 0, 2, 1]), np.array([1, 0, 2, 1])


def test_facts() -> None:
    facts = Interactions(USERS, ITEMS, 3, 4, values=np.array([1, 2, 3, 4.5]), timestamps=np.array([5, 6, 7, 8]))
    assert len(facts) == 4
    assert facts.keys().tolist() == [1, 0, 10, 5]
    assert facts.user_counts().tolist() == [2, 1, 1]
    assert facts.item_counts().tolist() == [1, 2, 1, 0]
    assert facts.matrix().toarray().tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    assert facts.values is not None
    assert facts.values.dtype == np.float32


def test_arrays_are_read_only() -> None:
    facts = Interactions(USERS, ITEMS, 3, 4)
    with pytest.raises(ValueError, match="read-only"):
        facts.users[0] = 1


def test_select_keeps_every_column_and_the_size_of_the_data() -> None:
    facts = Interactions(
        USERS, ITEMS, 3, 4, np.arange(4.0), np.arange(4), 10 * np.arange(4), np.array([0, 1, 2, 0], np.int8)
    )
    part = facts.select(np.array([3, 1]))
    assert (part.n_users, part.n_items) == (3, 4)
    assert part.users.tolist() == [1, 0]
    for column, expected in (("values", [3, 1]), ("order", [3, 1]), ("timestamps", [30, 10]), ("labels", [0, 1])):
        assert getattr(part, column).tolist() == expected
    assert part.fingerprint() == facts.select(np.array([False, True, False, True])).fingerprint()


def test_clock_prefers_timestamps() -> None:
    order, times = np.arange(4), np.array([9, 8, 7, 6])
    assert Interactions(USERS, ITEMS, 3, 4).clock() is None
    assert Interactions(USERS, ITEMS, 3, 4, order=order).clock().tolist() == order.tolist()  # type: ignore[union-attr]
    assert Interactions(USERS, ITEMS, 3, 4, order=order, timestamps=times).clock().tolist() == times.tolist()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"users": np.array([0, 0, 3, 1])}, r"users must lie in 0\.\.2; got 3"),
        ({"items": np.array([-1, 0, 2, 1])}, r"items must lie in 0\.\.3; got -1"),
        ({"users": np.array([0.0, 0, 2, 1])}, "users must be int64; got float64"),
        ({"users": np.array(["0", "0", "2", "1"])}, "users must be int64"),
        ({"users": np.array([0, 0, 2, 1], object)}, "users must be int64; got object"),
        ({"items": np.array([1, 0, 2])}, "items must have the shape 4; got 3"),
        ({"items": np.array([[1, 0, 2, 1]])}, "shape"),
        ({"users": np.array([0, 0, 2, 0])}, "pairs must be unique; 1 occur again"),
        ({"values": np.array([1, np.nan, 1, 1])}, "values must be finite; 1 are not"),
        ({"labels": np.array([0, 1, 2, 3], np.int8)}, "labels must be 0"),
        ({"labels": np.array([0, 1, 2], np.int8)}, "labels must have the shape 4"),
        ({"n_users": 0}, "at least one user and one item; got 0 and 4"),
        ({"n_items": 0}, "at least one user and one item; got 3 and 0"),
    ],
)
def test_broken_input_is_refused(changes: dict[str, object], message: str) -> None:
    given = {"users": USERS, "items": ITEMS, "n_users": 3, "n_items": 4, **changes}
    with pytest.raises(DataError, match=message):
        Interactions(**given)  # type: ignore[arg-type]


@given(st.permutations(range(4)))
def test_the_fingerprint_does_not_depend_on_the_order_of_rows(rows: list[int]) -> None:
    facts = Interactions(USERS, ITEMS, 3, 4, timestamps=np.array([5, 6, 7, 8]))
    assert facts.select(np.array(rows)).fingerprint() == facts.fingerprint()


def test_the_fingerprint_depends_on_every_fact() -> None:
    base = {"users": USERS, "items": ITEMS, "n_users": 3, "n_items": 4}
    zeros = np.zeros(4)
    variants = [
        base,
        {**base, "n_users": 4},
        {**base, "n_items": 5},
        {**base, "items": np.array([1, 0, 3, 1])},
        {**base, "values": zeros},
        {**base, "values": zeros + 1},
        {**base, "order": zeros.astype(int)},
        {**base, "timestamps": zeros.astype(int)},
        {**base, "labels": zeros.astype(np.int8)},
    ]
    assert len({Interactions(**variant).fingerprint() for variant in variants}) == len(variants)  # type: ignore[arg-type]
