"""Where names stand: none on another where there is room, and as near to what they name as can be."""

from __future__ import annotations

import numpy as np
import pytest

from mmrec_bench.reports.plots.labels import CHARACTER, Label, place, spread


def boxes(labels: list[Label], names: list[str], size: float) -> list[tuple[float, float, float, float]]:
    found = []
    for label, name in zip(labels, names, strict=True):
        width = CHARACTER * size * len(name)
        left = {"left": label.x, "center": label.x - width / 2, "right": label.x - width}[label.align]
        found.append((left, label.y - size / 2, left + width, label.y + size / 2))
    return found


def meet(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return min(one[2], other[2]) > max(one[0], other[0]) and min(one[3], other[3]) > max(one[1], other[1])


def test_names_of_crowded_points_do_not_overlap_each_other_nor_leave_the_picture() -> None:
    points = [(x, y) for x in (300.0, 315.0, 380.0) for y in (100.0, 108.0)] + [(598.0, 2.0), (2.0, 338.0)]
    names = [f"model-{number}" for number in range(len(points))]
    found = boxes(place(points, names, 600, 340, 11), names, 11)
    assert not [(a, b) for a in range(len(found)) for b in range(a) if meet(found[a], found[b])]
    assert all(left >= 0 and top >= 0 and right <= 600 and bottom <= 340 for left, top, right, bottom in found)


def test_a_name_goes_round_a_line_if_another_near_place_is_free() -> None:
    beside = place([(100.0, 100.0)], ["mf"], 600, 340, 11)
    around = place([(100.0, 100.0)], ["mf"], 600, 340, 11, lines=[(100.0, 98.0, 600.0, 102.0)])
    assert beside == [Label(109.0, 100.0, "left", False)]
    assert around == [Label(91.0, 100.0, "right", False)]


@pytest.mark.parametrize("seed", range(5))
def test_names_in_a_crowd_cover_no_name_and_no_point(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = [(float(x), float(y)) for x, y in rng.uniform((200, 100), (420, 260), (20, 2))]
    names = [f"model-{number}" + " (of a long name)" * (number % 7 == 0) for number in range(20)]
    found = boxes(place(points, names, 620, 340, 11), names, 11)
    marks = [(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    assert not [(a, b) for a in range(20) for b in range(a) if meet(found[a], found[b])]
    assert not [(a, b) for a in range(20) for b in range(20) if a != b and meet(found[a], marks[b])]


@pytest.mark.parametrize("seed", range(5))
def test_spread_places_keep_order_and_gap_and_are_the_nearest_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wanted = rng.uniform(100, 300, 6)
    found = np.array(spread(wanted.tolist(), 15, -1000, 1000))
    order = np.argsort(wanted)
    assert (np.diff(found[order]) >= 15 - 1e-9).all()
    cost = ((found - wanted) ** 2).sum()
    for _ in range(2000):  # no allowed places near them are nearer
        other = found + rng.normal(0, 2, 6)
        if (np.diff(other[order]) >= 15).all():
            assert ((other - wanted) ** 2).sum() >= cost - 1e-9


def test_spread_stays_in_the_picture() -> None:
    assert spread([0.0, 0.0, 0.0], 10, 0, 100) == [0.0, 10.0, 20.0]
    assert spread([100.0, 99.0], 10, 0, 100) == [100.0, 90.0]
