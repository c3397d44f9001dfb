"""Accuracy against what it costs: seconds of training, or number of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmrec_bench.reports.collect import Row, TableKey, machines_of, n_of
from mmrec_bench.reports.plots.base import Plot, draw, stem_of, subtitle_of
from mmrec_bench.reports.plots.scatter import Point, scatter_chart
from mmrec_bench.statistics.contrast import LEVEL, over_users
from mmrec_bench.types import DoubleArray

COSTS = {
    "seconds": ("Seconds of training", ("seconds", "train")),
    "parameters": ("Parameters", ("n_parameters", "total")),
}
"""What a row costs: its name in print, and where a manifest holds it."""

FORMATS = {"seconds": "~g", "parameters": "~s"}


def pareto_front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Return which points no other dominates, by falling score and rising cost.

    Args:
        points: Cost, of which less is better, and score, of which more is.
    """
    return [
        not any(
            other[0] <= cost and other[1] >= score and other != (cost, score)
            for other in points
        )
        for cost, score in points
    ]  # fmt: skip


def points_of(rows: Sequence[Row], cost: str, scores: Mapping[str, DoubleArray]) -> list[Point]:
    """Return the rows whose cost is known as points.

    Args:
        rows: Rows of one table.
        cost: A name of `COSTS`.
        scores: By fingerprint of a row, test scores ``[n_seeds, n_users]``.
    """
    costs = {row.fingerprint: row.fact(*COSTS[cost][1]) for row in rows}
    known = [(row, found.mean) for row in rows if (found := costs[row.fingerprint]) is not None]
    values = [float(scores[row.fingerprint].mean()) for row, _ in known]
    front = pareto_front([(mean, value) for (_, mean), value in zip(known, values, strict=True)])
    points = []
    for (row, mean), value, held in zip(known, values, front, strict=True):
        low, high = over_users(scores[row.fingerprint].mean(axis=0)) or (value, value)
        points.append(Point(row.label, mean, value, low, high, held))
    return points


def pareto_plot(key: TableKey, rows: Sequence[Row], cost: str, scores: Mapping[str, DoubleArray]) -> Plot | None:
    """Return test accuracy against a cost, with the Pareto front; None for fewer than two points.

    A cost of zero, such as the parameters of a model without any, has no logarithm: it stands at the left edge.
    """
    points = points_of(rows, cost, scores)
    if len(points) < 2 or not any(point.cost > 0 for point in points):
        return None
    what = COSTS[cost][0]
    on = f", on {'; '.join(machines_of(rows))}" if cost == "seconds" else ""
    note = (
        f"Mean test {key.select_by} of {len(points)} rows over users and seeds ({n_of(rows)}), lines are "
        f"{LEVEL:.0%} intervals over users; {what.lower()}{on}, mean over seeds, logarithmic. Filled: on the Pareto "
        "front, the line of what no other row gives for less; it is of means, and rows whose intervals meet may swap."
    )
    if any(point.cost == 0 for point in points):
        note += " A cost of zero stands at the left."
    chart = scatter_chart(key.select_by, what, FORMATS[cost], points)
    title = f"{key.heading}: accuracy and {what.lower()}"
    return draw(f"{stem_of(key)}-pareto-{cost}", title, note, chart, subtitle_of(key))
