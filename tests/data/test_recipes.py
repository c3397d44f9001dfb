from __future__ import annotations

import numpy as np
import pytest

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Lists
from mmrec_bench.data.recipes import RECIPES, Rated, Sampled, Shown
from mmrec_bench.errors import DataError

T = 500


def _interactions(seed: int = 0, n: int = 400, **changes: object) -> Interactions:
    rng = np.random.default_rng(seed)
    keys = rng.permutation(20 * 50)[:n]
    given: dict[str, object] = {
        "values": rng.integers(1, 6, n).astype(np.float32), "timestamps": rng.integers(1000, size=n),
    }  # fmt: skip
    return Interactions(keys // 50, keys % 50, 20, 50, **{**given, **changes})  # type: ignore[arg-type]


def _rows(users: np.ndarray, items: np.ndarray, labels: np.ndarray, times: np.ndarray) -> set[tuple[int, ...]]:
    return set(zip(users.tolist(), items.tolist(), labels.tolist(), times.tolist(), strict=True))


def test_rated_impressions_are_the_interactions() -> None:
    data = _interactions()
    points = Rated(threshold=4.0).points(data)
    assert data.values is not None
    assert data.timestamps is not None
    liked = (data.values >= 4).astype(np.int8)
    expected = _rows(data.users, data.items, liked, data.timestamps)
    assert _rows(points.users, points.items, points.labels, points.timestamps) == expected
    assert "4.0" in points.recipe


def test_shown_impressions_are_the_rows_of_lists() -> None:
    lists = Lists(
        np.array([0, 0, 1]), np.array([2, 0, 1]), 3, np.array([1, 0]), 2, positions=np.array([1, 2, 1]),
        clicks=np.array([False, True, True]), timestamps=np.array([9, 5]),
    )  # fmt: skip
    points = Shown().points(lists)
    assert points.users.tolist() == [0, 1, 1]
    assert points.items.tolist() == [1, 0, 2]
    assert points.labels.tolist() == [1, 1, 0]


@pytest.mark.parametrize("by", ["uniform", "popularity"])
def test_sampled_negatives_are_seen_before_and_not_had(by: str) -> None:
    data = _interactions(timestamps=np.random.default_rng(1).permutation(1000)[:400])
    points = Sampled(n=3, by=by).points(data)  # type: ignore[arg-type]
    assert data.timestamps is not None
    had = {(u, i): t for u, i, t in zip(data.users, data.items, data.timestamps, strict=True)}
    first = {i: data.timestamps[data.items == i].min() for i in np.unique(data.items)}
    assert points.labels.sum() == len(data)
    negative = points.labels == 0
    for user, item, time in zip(
        points.users[negative], points.items[negative], points.timestamps[negative], strict=True
    ):
        assert first[item] < time
        assert had.get((user, item), time + 1) > time
    triples = np.stack([points.users, points.items, points.timestamps])[:, negative]
    assert len(np.unique(triples, axis=1).T) == negative.sum()
    assert negative.sum() > 2.9 * len(data) - 200  # all but those at the very start


def test_what_is_popular_is_drawn_more_often() -> None:
    n = 3000
    users, items = np.arange(n), np.where(np.arange(n) % 10 == 0, 1 + np.arange(n) % 7, 0)
    data = Interactions(users, items, n, 8, timestamps=np.arange(n))
    share = {}
    for by in ("uniform", "popularity"):
        # The user of each row has nothing else: only the item of the row itself is not drawn.
        points = Sampled(n=1, by=by).points(data)  # type: ignore[arg-type]
        drawn = points.items[(points.labels == 0) & np.isin(points.users, np.flatnonzero(items != 0))]
        share[by] = (drawn == 0).mean()
    assert share["uniform"] < 0.3
    assert share["popularity"] > 0.8


@pytest.mark.parametrize("by", ["uniform", "popularity"])
def test_the_future_changes_no_earlier_impression(by: str) -> None:
    data = _interactions()
    assert data.timestamps is not None
    late = data.timestamps >= T
    past = data.select(~late)
    times = np.where(late, T + (data.timestamps * 3) % 400, data.timestamps)
    kept = ~late | (np.arange(len(data)) % 2 == 0)
    changed = Interactions(data.users, data.items, 20, 50, timestamps=times).select(kept)
    recipe = Sampled(n=4, by=by)  # type: ignore[arg-type]
    early = []
    for each in (data, changed, past):
        points = recipe.points(each)
        points = points.select(points.timestamps < T)
        early.append((points.users, points.items, points.labels, points.timestamps))
    for one, two, three in zip(*early, strict=True):
        assert (one == two).all()
        assert (one == three).all()


def test_chance_hangs_on_the_seed_and_not_on_the_order_of_rows() -> None:
    data = _interactions()
    back = data.select(np.arange(len(data))[::-1])
    assert Sampled().points(data).fingerprint() == Sampled().points(back).fingerprint()
    assert Sampled().points(data).fingerprint() != Sampled(seed=1).points(data).fingerprint()


@pytest.mark.parametrize("name", list(RECIPES))
def test_data_without_time_is_refused(name: str) -> None:
    lists = Lists(np.array([0]), np.array([0]), 1, np.array([0]), 1)
    for times in (None, np.full(400, 3)):
        payload = _interactions(timestamps=times) if RECIPES[name].reads == "interactions" else lists
        with pytest.raises(DataError, match="timestamps"):
            RECIPES[name]().points(payload)  # type: ignore[call-arg]


def test_what_tells_positives_from_negatives_is_asked_for() -> None:
    with pytest.raises(DataError, match="needs values"):
        Rated().points(_interactions(values=None))
    with pytest.raises(DataError, match=r"below the threshold 9 .*from 1 to 5"):
        Rated(threshold=9.0).points(_interactions())
    lists = Lists(np.array([0, 1]), np.array([0, 0]), 1, np.array([0, 0]), 1, timestamps=np.array([1, 2]))
    with pytest.raises(DataError, match="needs clicks"):
        Shown().points(lists)
