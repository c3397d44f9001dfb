from __future__ import annotations

import numpy as np
import pytest

from mmrec_bench.data.points import Points, clicks_before
from mmrec_bench.errors import DataError


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
    every = [_points(), _points(recipe="two"), _points(labels=np.array([1, 1, 1], np.int8)), _points(n_items=4)]
    assert len({points.fingerprint() for points in every}) == 4


def test_the_order_within_a_second_shows_no_label() -> None:
    users, items = np.array([1, 0, 0]), np.array([0, 2, 1])
    labels = np.array([1, 1, 0], np.int8)
    facts = {"n_users": 2, "n_items": 3, "recipe": ""}
    points = Points.sorted(users, items, labels, np.full(3, 7), **facts)  # type: ignore[arg-type]
    assert points.users.tolist() == [0, 0, 1]
    assert points.items.tolist() == [1, 2, 0]
    assert points.labels.tolist() == [0, 1, 1]


def _slow_history(points: Points, log: Points, row: int, start: int | None) -> list[int]:
    until = points.timestamps[row] if start is None else min(points.timestamps[row], start)
    return [
        int(log.items[j])
        for j in range(len(log))
        if log.users[j] == points.users[row] and log.labels[j] and log.timestamps[j] < until
    ]


@pytest.mark.parametrize("start", [None, 4, 0])
def test_histories_hold_clicks_strictly_before_and_never_of_the_part(start: int | None) -> None:
    rng = np.random.default_rng(0)
    n = 200
    points = Points.sorted(
        rng.integers(6, size=n), rng.integers(9, size=n), rng.integers(2, size=n).astype(np.int8),
        rng.integers(12, size=n), n_users=7, n_items=9, recipe="",
    )  # fmt: skip
    asked = points.select(points.timestamps >= 3)
    histories = clicks_before(asked, points, start)
    for row in range(len(asked)):
        got = histories.items[histories.begins[row] : histories.ends[row]].tolist()
        assert got == _slow_history(asked, points, row, start)


def test_without_a_click_all_histories_are_empty() -> None:
    points = _points(labels=np.zeros(3, np.int8))
    histories = clicks_before(points, points)
    assert (histories.begins == histories.ends).all()
