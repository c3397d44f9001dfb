"""Curves of several rows, each named at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

import altair as alt

from mmrec_bench.reports.plots.base import COLOURS, DASHES, INK, PALE, records
from mmrec_bench.reports.plots.labels import spread

WIDTH, HEIGHT, LINE = 560, 320, 15

Spot: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """One line.

    Attributes:
        label: Name.
        spots: Its points, x and y, by rising x.
        band: Lower and upper end around each point; empty without.
        mark: A point of it that is marked, or None.
    """

    label: str
    spots: tuple[Spot, ...]
    band: tuple[tuple[float, float], ...] = ()
    mark: Spot | None = None


def curves_chart(curves: Sequence[Curve], x_title: str, y_title: str, *, steps: bool, log: bool) -> alt.LayerChart:
    """Return a chart of curves; the first have a colour and dashes of their own, the others are grey.

    Args:
        curves: At least one, the most important first.
        x_title: Name of the horizontal axis.
        y_title: Name of the vertical axis.
        steps: Whether a value holds until the next, and is not on its way to it.
        log: Whether the horizontal axis is logarithmic.
    """
    values = [y for curve in curves for _, y in curve.spots] + [y for curve in curves for y in chain(*curve.band)]
    room = 0.05 * (max(values) - min(values)) or 0.01
    bottom, top = min(values) - room, max(values) + room
    height = max(HEIGHT, LINE * len(curves))
    ends = [height * (top - curve.spots[-1][1]) / (top - bottom) for curve in curves]
    names = spread(ends, LINE, 0, height)
    across = [x for curve in curves for x, _ in curve.spots]
    domain = [min(across), max(across)] if max(across) > min(across) else [min(across), min(across) * 1.1 or 1.0]
    scale = alt.Scale(type="log" if log else "linear", domain=domain, nice=False)
    x = alt.X("x:Q", scale=scale, axis=alt.Axis(title=x_title) if log else alt.Axis(title=x_title, tickMinStep=1))
    y = alt.Y("y:Q", title=y_title, scale=alt.Scale(domain=[bottom, top], nice=False))
    low = alt.Y("low:Q", title=y_title, scale=alt.Scale(domain=[bottom, top], nice=False))
    layers: list[alt.Chart] = []
    for place, curve in reversed(list(enumerate(curves))):  # the first lie above
        own = place < len(COLOURS)
        colour, dash = (COLOURS[place], list(DASHES[place])) if own else (PALE, [1, 0])
        points = [{"x": at, "y": value} for at, value in curve.spots]
        if curve.band and own:
            around = [
                {"x": at, "low": ends[0], "high": ends[1]}
                for (at, _), ends in zip(curve.spots, curve.band, strict=True)
            ]  # fmt: skip
            area = alt.Chart(records(around)).mark_area(color=colour, opacity=0.15)
            layers.append(area.encode(x=x, y=low, y2="high:Q"))
        line = alt.Chart(records(points)).mark_line(
            color=colour, strokeDash=dash, strokeWidth=2 if own else 1, interpolate="step-after" if steps else "linear"
        )  # fmt: skip
        layers.append(line.encode(x=x, y=y))
        end = alt.Chart(records([points[-1]]))
        to = {"x2": alt.value(WIDTH + 14), "y2": alt.value(names[place])}
        layers.append(end.mark_rule(color=colour, strokeWidth=0.6).encode(x=x, y=y, **to))
        name = end.mark_text(align="left", baseline="middle", color=INK if own else PALE, text=curve.label)
        layers.append(name.encode(x=alt.value(WIDTH + 17), y=alt.value(names[place])))
        if curve.mark is not None:
            marked = alt.Chart(records([{"x": curve.mark[0], "y": curve.mark[1]}]))
            layers.append(marked.mark_point(size=45, filled=True, opacity=1, color=colour).encode(x=x, y=y))
    return alt.layer(*layers, width=WIDTH, height=height)
