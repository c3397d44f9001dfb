"""Points with names, against a logarithmic cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10

import altair as alt

from mmrec_bench.reports.plots.base import COLOURS, PALE, SIZE, records
from mmrec_bench.reports.plots.labels import place

WIDTH, HEIGHT = 620, 340
TICK = 36
"""Least distance between two ticks, in pixels: what five letters and a blank need."""


@dataclass(frozen=True, slots=True)
class Point:
    """A row, as a point.

    Attributes:
        label: Name of the row.
        cost: Mean over its seeds.
        score: Mean test score over users and seeds.
        low: Lower end of the interval of `score` over users; the score itself where there is none.
        high: Upper end of it.
        on_front: Whether no other row costs less and scores higher, nor is better in one and equal in the other.
    """

    label: str
    cost: float
    score: float
    low: float
    high: float
    on_front: bool


def log_ticks(first: float, last: float, gap: float) -> list[float]:
    """Return round numbers between two logarithms: powers of ten, and between them where these are fewer than three.

    Args:
        first: The least logarithm.
        last: The greatest.
        gap: Between two logarithms, at least; the rounder number stays.
    """
    ticks: list[float] = []
    for steps in ((10,), (10, 20, 50), range(10, 100, 10), range(10, 100, 2), range(100, 1000, 2)):
        unit = 10.0 ** floor(log10(steps[0]))
        powers = range(floor(first), ceil(last) + 1)
        for tick in (step / unit * 10.0**power for power in powers for step in steps):
            if first <= log10(tick) <= last and all(abs(log10(tick / other)) >= gap for other in ticks):
                ticks.append(tick)
        if len(ticks) > 2:
            break
    return sorted(ticks)


@dataclass(frozen=True, slots=True)
class Frame:
    """The scales of a picture, from numbers to pixels and back: names are placed in pixels.

    Attributes:
        left: Logarithm of the cost at the left edge.
        zero: Logarithm of the cost in whose place zero stands.
        right: Logarithm of the cost at the right edge.
        bottom: Score at the lower edge.
        top: Score at the upper edge.
        zeros: Whether a cost is zero.
    """

    left: float
    zero: float
    right: float
    bottom: float
    top: float
    zeros: bool

    @classmethod
    def of(cls, points: Sequence[Point]) -> Frame:
        """Return the scales in which all points and their intervals have room."""
        positive = [log10(point.cost) for point in points if point.cost > 0]
        width = max(positive) - min(positive)
        margin = max(0.06 * width, 0.15)
        zeros = len(positive) < len(points)
        zero = min(positive) - max(0.12 * width, 0.3)
        left = (zero if zeros else min(positive)) - margin
        ends = [end for point in points for end in (point.low, point.high)]
        room = 0.06 * (max(ends) - min(ends)) or 0.01
        return cls(left, zero, max(positive) + margin, min(ends) - room, max(ends) + room, zeros)

    def cost(self, point: Point) -> float:
        """Return the cost in whose place a point stands."""
        return point.cost if point.cost > 0 else 10**self.zero

    def pixels(self, cost: float, score: float) -> tuple[float, float]:
        """Return the place of a cost and a score."""
        across = (log10(cost) - self.left) / (self.right - self.left)
        return WIDTH * across, HEIGHT * (self.top - score) / (self.top - self.bottom)

    def numbers(self, x: float, y: float) -> tuple[float, float]:
        """Return cost and score at a place."""
        cost = 10 ** (self.left + x / WIDTH * (self.right - self.left))
        return cost, self.top - y / HEIGHT * (self.top - self.bottom)

    def x(self, what: str, form: str) -> alt.X:
        """Return the axis of costs."""
        gap = TICK / WIDTH * (self.right - self.left)
        ticks = log_ticks(self.zero + gap if self.zeros else self.left, self.right, gap)
        usual, zero = f"format(datum.value, '{form}')", 10**self.zero
        label = f"datum.value < {1.001 * zero!r} ? '0' : {usual}" if self.zeros else usual
        values = [zero, *ticks] if self.zeros else ticks
        scale = alt.Scale(type="log", domain=[10**self.left, 10**self.right], nice=False)
        return alt.X("cost:Q", scale=scale, axis=alt.Axis(title=what, values=values, labelExpr=label))

    def y(self, metric: str, field: str = "score") -> alt.Y:
        """Return the axis of scores."""
        scale = alt.Scale(domain=[self.bottom, self.top], nice=False)
        return alt.Y(f"{field}:Q", title=f"test {metric}", scale=scale)


def scatter_chart(metric: str, what: str, form: str, points: Sequence[Point]) -> alt.LayerChart:
    """Return points with their names and intervals, and the line of the front.

    Args:
        metric: Name of the score.
        what: Name of the cost.
        form: How costs are printed, in the language of d3-format.
        points: Two or more, one with a cost above zero.
    """
    frame = Frame.of(points)
    order = sorted(points, key=lambda point: (not point.on_front, -point.score))  # who is named first stands best
    shown = [
        {"cost": frame.cost(point), "score": point.score, "low": point.low, "high": point.high,
         "front": point.on_front, "name": point.label}
        for point in order
    ]  # fmt: skip
    steps = _steps(frame, points)
    x, y = frame.x(what, form), frame.y(metric)
    line = alt.Chart(records(steps)).mark_line(interpolate="step-after", color=COLOURS[0])
    point = alt.Chart(records(shown)).mark_point(size=64, opacity=1, stroke=COLOURS[0], strokeWidth=1.5)
    named = alt.Chart(records(_names(frame, order, steps))).encode(x=x, y=y)
    leader = named.transform_filter("datum.far").mark_rule(color=PALE, strokeDash=[2, 2])
    text = {"align": alt.expr("datum.align"), "baseline": "middle"}
    return alt.layer(
        alt.Chart(records(shown)).mark_rule(color=PALE).encode(x=x, y=frame.y(metric, "low"), y2="high:Q"),
        line.encode(x=x, y=y),
        leader.encode(x2="to_cost:Q", y2="to_score:Q"),
        point.encode(x=x, y=y, fill=alt.condition("datum.front", alt.value(COLOURS[0]), alt.value("white"))),
        named.mark_text(**text, stroke="white", strokeWidth=3).encode(text="name:N"),
        named.mark_text(**text).encode(text="name:N"),
        width=WIDTH,
        height=HEIGHT,
    )


def _steps(frame: Frame, points: Sequence[Point]) -> list[dict[str, float]]:
    """Return the corners of the front, up to the right edge."""
    front = sorted({(frame.cost(point), point.score) for point in points if point.on_front})
    return [{"cost": cost, "score": score} for cost, score in (*front, (10**frame.right, front[-1][1]))]


def _names(frame: Frame, order: Sequence[Point], steps: Sequence[dict[str, float]]) -> list[dict[str, object]]:
    """Return the names of points with their places, as numbers."""
    corners = [frame.pixels(step["cost"], step["score"]) for step in steps]
    lines = []
    for (x, y), (to_x, to_y) in pairwise(corners):
        lines += [(x, y - 1.5, to_x, y + 1.5), (to_x - 1.5, to_y, to_x + 1.5, y)]
    for point in order:
        (x, top), (_, bottom) = (frame.pixels(frame.cost(point), end) for end in (point.high, point.low))
        lines.append((x - 1, top, x + 1, bottom))
    spots = [frame.pixels(frame.cost(point), point.score) for point in order]
    labels = place(spots, [point.label for point in order], WIDTH, HEIGHT, SIZE - 1, lines)
    names: list[dict[str, object]] = []
    for point, label in zip(order, labels, strict=True):
        cost, score = frame.numbers(label.x, label.y)
        names.append(
            {"cost": cost, "score": score, "name": point.label, "align": label.align, "far": label.far,
             "to_cost": frame.cost(point), "to_score": point.score}
        )  # fmt: skip
    return names
