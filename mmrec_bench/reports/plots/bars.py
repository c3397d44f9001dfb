"""Numbers with intervals, a bar each."""

from __future__ import annotations

import json
from collections.abc import Sequence

import altair as alt

from mmrec_bench.reports.plots.base import COLOURS, INK, PALE, Plot, draw, records

WIDTH, LINE = 470, 22


def bars_plot(name: str, title: str, note: str, what: str, rows: Sequence[tuple[str, float, float, float]]) -> Plot:
    """Return a chart of one horizontal bar a row, from zero to its value, with its interval.

    Args:
        name: File stem.
        title: Heading.
        note: What is drawn.
        what: Name of the axis.
        rows: Name, value, low and high end of the interval; from the top down.
    """
    shown = records(
        [
            {"row": place, "value": value, "low": low, "high": high, "text": f"{value:+.4f}"}
            for place, (_, value, low, high) in enumerate(rows)
        ]
    )
    base = alt.Chart(shown)
    names = json.dumps([label for label, *_ in rows])
    axis = alt.Axis(grid=False, ticks=False, domain=False, labelExpr=f"{names}[datum.value]")
    y = alt.Y("row:O", title=None, axis=axis)
    chart = alt.layer(
        base.mark_bar(size=12, color=COLOURS[6]).encode(x=alt.X("value:Q", title=what), y=y),
        base.mark_rule(color=INK).encode(x="low:Q", x2="high:Q", y=y),
        base.mark_text(align="left").encode(x=alt.value(WIDTH + 8), y=y, text="text:N"),
        alt.Chart().mark_rule(color=PALE).encode(x=alt.datum(0)),
        width=WIDTH,
        height=LINE * len(rows),
    )
    return draw(name, title, note, chart)
