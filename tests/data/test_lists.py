"""Lists and points refuse what breaks their order or ranges."""

from __future__ import annotations

import numpy as np
import pytest

from mmrec_bench.data.lists import Lists, Points
from mmrec_bench.errors import DataError

LIST_OF, ITEMS = np.array([0, 0, 1, 2, 2, 2]), np.array([3, 1, 0, 2, 3, 3])


def test_lists_in_long_form() -> None:
    lists = Lists(LIST_OF, ITEMS, 4, labels=np.arange(6), users=np.array([7, 7, 8]))
    assert (len(lists), lists.n_lists) == (6, 3)
    assert lists.offsets().tolist() == [0, 2, 3, 6]
    empty = Lists(np.zeros(0, np.int64), np.zeros(0, np.int64), 4)
    assert (len(empty), empty.n_lists, empty.offsets().tolist()) == (0, 0, [0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"list_of": np.array([0, 1, 0, 1, 1, 1])}, "steps of 0 or 1"),
        ({"list_of": np.array([0, 0, 2, 2, 2, 2])}, "steps of 0 or 1"),
        ({"list_of": np.array([1, 1, 1, 1, 1, 1])}, "steps of 0 or 1"),
        ({"items": ITEMS + 1}, r"items must lie in 0\.\.3; got 4"),
        ({"positions": np.arange(6)}, "positions must be at least 1; got 0"),
        ({"labels": np.arange(6) - 1}, "labels must be at least 0; got -1"),
        ({"users": np.array([1, 2])}, "users must have the shape 3; got 2"),
        ({"clicks": np.arange(6)}, "clicks must be bool"),
        ({"features": np.full((6, 2), np.nan, np.float32)}, "features of lists must be finite"),
        ({"features": np.zeros((5, 2), np.float32)}, "shape 6 x any"),
        ({"propensities": np.zeros(6, np.float32)}, r"\(0, 1\]"),
    ],
)
def test_broken_lists_are_refused(changes: dict[str, object], message: str) -> None:
    given = {"list_of": LIST_OF, "items": ITEMS, "n_items": 4, **changes}
    with pytest.raises(DataError, match=message):
        Lists(**given)  # type: ignore[arg-type]


def _points(**changes: object) -> Points:
    given: dict[str, object] = {
        "users": np.array([0, 1, 1]),
        "items": np.array([2, 2, 0]),
        "labels": np.array([1, 0, 1], np.int8),
        "timestamps": np.array([5, 5, 9]),
        "n_users": 2,
        "n_items": 3,
        "recipe": "one negative a click",
    }
    return Points(**{**given, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"timestamps": np.array([5, 4, 9])}, "time order"),
        ({"labels": np.array([0, 1, 2], np.int8)}, "must be 0 or 1"),
        ({"users": np.array([0, 1, 2])}, r"users must lie in 0\.\.1"),
        ({"items": np.array([0, 1])}, "shape 3; got 2"),
    ],
)
def test_broken_points_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        _points(**changes)


def test_fingerprints_depend_on_every_fact() -> None:
    points = [_points(), _points(recipe="two"), _points(labels=np.array([1, 1, 1], np.int8)), _points(n_items=4)]
    lists = [
        Lists(LIST_OF, ITEMS, 4),
        Lists(LIST_OF, ITEMS, 5),
        Lists(LIST_OF, ITEMS, 4, positions=np.ones(6, np.int64)),
        Lists(LIST_OF, ITEMS, 4, labels=np.ones(6, np.int64)),
        Lists(LIST_OF, ITEMS, 4, clicks=np.ones(6, np.bool_)),
    ]
    assert len({facts.fingerprint() for facts in (*points, *lists)}) == 9
