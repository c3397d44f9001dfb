"""Accuracy against cost: the front, and that what is drawn is what the runs hold."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mmrec_bench.reports.plots.pareto import pareto_front, pareto_plot, points_of
from mmrec_bench.reports.plots.scatter import log_ticks
from mmrec_bench.reports.user_scores import user_scores

from .made_up import KEY, row, rows


def test_the_front_of_known_points() -> None:
    points = [(1.0, 0.1), (2.0, 0.3), (2.0, 0.2), (3.0, 0.3), (4.0, 0.25), (5.0, 0.5), (0.5, 0.05)]
    assert pareto_front(points) == [True, True, False, False, False, True, True]


def test_points_that_are_the_same_are_on_the_front_together() -> None:
    assert pareto_front([(1.0, 0.2), (1.0, 0.2), (2.0, 0.1)]) == [True, True, False]


def test_the_front_agrees_with_a_sweep() -> None:
    rng = np.random.default_rng(0)
    points = [(float(cost), float(score)) for cost, score in rng.integers(0, 12, (60, 2))]
    best: dict[float, float] = {}
    for cost, score in points:
        best[cost] = max(best.get(cost, -1.0), score)
    kept, highest = set(), -1.0
    for cost in sorted(best):
        if best[cost] > highest:
            highest = best[cost]
            kept.add((cost, highest))
    assert pareto_front(points) == [point in kept for point in points]


def test_points_are_means_over_users_and_seeds_of_what_the_runs_hold() -> None:
    made = rows()
    scores = user_scores({row.fingerprint: row for row in made}, KEY.select_by)
    for point, one in zip(points_of(made, "seconds", scores), made, strict=True):
        assert point.label == one.label
        assert point.cost == pytest.approx(np.mean([run.manifest["seconds"]["train"] for run in one.runs]))
        assert point.score == pytest.approx(np.mean([run.metrics["test"]["recall@20"] for run in one.runs]))
        assert point.low < point.score < point.high


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (-3.2, 1.4, [0.001, 0.01, 0.1, 1, 10]),
        (0, 1.5, [1, 2, 5, 10, 20]),
        (2.9, 3.15, [800, 900, 1000]),
        (3.01, 3.14, [1200]),
        (4.97, 5.32, [100_000, 200_000]),
    ],
)
def test_axes_have_round_numbers_and_few_or_many_of_them(first: float, last: float, expected: list[float]) -> None:
    gap = (last - first) / 20
    found = log_ticks(first, last, gap)
    assert len(found) > 2
    assert set(expected) <= {round(tick, 9) for tick in found}
    assert all(first <= np.log10(tick) <= last for tick in found)
    assert (np.diff(np.log10(found)) >= gap - 1e-9).all(), "labels do not meet"


def test_a_model_without_parameters_is_drawn_and_one_row_alone_is_not() -> None:
    made = [row("mf", 0.3, parameters=100), row("popularity", 0.1, parameters=0), row("ease", 0.2, parameters=2_000)]
    scores = user_scores({one.fingerprint: one for one in made}, KEY.select_by)
    plot = pareto_plot(KEY, made, "parameters", scores)
    assert plot is not None
    assert all(f">{text}<" in plot.svg for text in ("popularity", "mf", "ease", "0"))
    assert pareto_plot(KEY, made[:1], "parameters", scores) is None
    assert pareto_plot(KEY, [row("popularity", 0.1, parameters=0)] * 2, "parameters", scores) is None


def test_points_stand_where_their_numbers_are() -> None:
    made = rows()
    scores = user_scores({one.fingerprint: one for one in made}, KEY.select_by)
    plot = pareto_plot(KEY, made, "parameters", scores)
    assert plot is not None
    (symbols,) = re.findall(r'<g class="mark-symbol role-mark[^>]*>(.*?)</g>', plot.svg)
    drawn = np.array(re.findall(r"translate\(([-\d.]+),([-\d.]+)\)", symbols), np.float64)
    points = points_of(made, "parameters", scores)
    points.sort(key=lambda point: (not point.on_front, -point.score))  # the order in which they are drawn
    told = np.array([(np.log10(point.cost), point.score) for point in points])
    for axis, direction in ((0, 1), (1, -1)):  # y grows downwards
        slope, start = np.polyfit(told[:, axis], drawn[:, axis], 1)
        assert np.sign(slope) == direction
        assert drawn[:, axis] == pytest.approx(start + slope * told[:, axis], abs=0.01)
