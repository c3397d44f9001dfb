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
        log: Whether the horizontal axis is logarithmic, where all its values are positive.
    """
    values = [y for curve in curves for _, y in curve.spots] + [y for curve in curves for y in chain(*curve.band)]
    room = 0.05 * (max(values) - min(values)) or 0.01
    bottom, top = min(values) - room, max(values) + room
    height = max(HEIGHT, LINE * len(curves))
    ends = [height * (top - curve.spots[-1][1]) / (top - bottom) for curve in curves]
    names = [top - place / height * (top - bottom) for place in spread(ends, LINE, 0, height)]
    across = [x for curve in curves for x, _ in curve.spots]
    domain = [min(across), max(across)] if max(across) > min(across) else [min(across), min(across) * 1.1 or 1.0]
    log = log and domain[0] > 0
    scale = alt.Scale(type="log" if log else "linear", domain=domain, nice=False)
    x = alt.X("x:Q", scale=scale, axis=alt.Axis(title=x_title) if log else alt.Axis(title=x_title, tickMinStep=1))
    values_scale = alt.Scale(domain=[bottom, top], nice=False)
    y, low, beside = (alt.Y(f"{field}:Q", title=y_title, scale=values_scale) for field in ("y", "low", "to_y"))
    places = list(reversed(range(len(curves))))  # the first lie above
    own = {place: place < len(COLOURS) for place in places}
    colours = {place: COLOURS[place] if own[place] else PALE for place in places}
    lines = [
        {"curve": place, "colour": colours[place], "width": 2 if own[place] else 1, "x": at, "y": value}
        for place in places
        for at, value in curves[place].spots
    ]
    bands = [
        {"curve": place, "colour": colours[place], "x": at, "low": least, "high": greatest}
        for place in places
        if own[place]
        for (at, _), (least, greatest) in zip(curves[place].spots, curves[place].band, strict=False)
    ]
    tails = [
        {"x": curves[place].spots[-1][0], "y": curves[place].spots[-1][1], "name": curves[place].label,
         "colour": colours[place], "ink": INK if own[place] else PALE, "to_y": names[place]}
        for place in places
    ]  # fmt: skip
    marks = [
        {"x": mark[0], "y": mark[1], "colour": colours[place]}
        for place in places
        if (mark := curves[place].mark) is not None
    ]
    colour = alt.Color("colour:N", scale=None)
    dashes = alt.Scale(domain=places, range=[list(DASHES[place]) if own[place] else [1, 0] for place in places])
    line = alt.Chart(records(lines)).mark_line(interpolate="step-after" if steps else "linear")
    tail = alt.Chart(records(tails))
    return alt.layer(
        alt.Chart(records(bands))
        .mark_area(opacity=0.15)
        .encode(x=x, y=low, y2="high:Q", color=colour, detail="curve:N"),
        line.encode(
            x=x,
            y=y,
            color=colour,
            strokeDash=alt.StrokeDash("curve:O", scale=dashes, legend=None),
            strokeWidth=alt.StrokeWidth("width:Q", scale=None),
        ),
        alt.Chart(records(marks)).mark_point(size=45, filled=True, opacity=1).encode(x=x, y=y, color=colour),
        tail.mark_rule(strokeWidth=0.7, opacity=0.6).encode(
            x=x, y=y, x2=alt.value(WIDTH + 14), y2="to_y:Q", color=colour
        ),
        tail.mark_text(align="left", baseline="middle").encode(
            x=alt.value(WIDTH + 17), y=beside, text="name:N", color=alt.Color("ink:N", scale=None)
        ),
        width=WIDTH,
        height=height,
    )
