"""Test scores on slices: users by activity, items by popularity, and whatever else a protocol looks at."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from mmrec_bench.reports.collect import Estimate, Row, TableKey, n_of
from mmrec_bench.reports.plots.base import COLOURS, INK, SIZE, Plot, draw, records, stem_of, subtitle_of

WIDTH, LINE, COLUMNS = 150, 15, 4


def slice_scores(key: TableKey, rows: Sequence[Row]) -> dict[str, dict[str, Estimate]]:
    """Return by slice and label the test metric of selection; slices that are empty are left out."""
    names = dict.fromkeys(name for row in rows for name in row.runs[0].metrics["test_slices"])
    found = {
        name: {row.label: value for row in rows if (value := row.slice(name, key.select_by)) is not None}
        for name in names
    }
    return {name: values for name, values in found.items() if values}


def slices_plot(key: TableKey, rows: Sequence[Row]) -> Plot | None:
    """Return a panel a slice; None where there is nothing but the whole test part."""
    found = slice_scores(key, rows)
    if not found:
        return None
    sizes = {name: rows[0].slice(name, "n_users") for name in found}
    panels = {name: f"{name} ({int(size.mean):,} users)" if (size := sizes[name]) else name for name in found}
    shown = [
        {"panel": panels[name], "label": label, "mean": one.mean,
         "low": one.mean - (one.sd or 0.0), "high": one.mean + (one.sd or 0.0), "best": label == rows[0].label}
        for name, values in found.items()
        for label, one in values.items()
    ]  # fmt: skip
    y = alt.Y("label:N", sort=[row.label for row in rows], title=None, axis=alt.Axis(grid=True))
    scale = alt.Scale(zero=False, nice=False, padding=8)
    base = alt.Chart(width=WIDTH, height=LINE * len(rows))
    title = f"test {key.select_by}"
    lines = base.mark_rule(color=INK).encode(x=alt.X("low:Q", title=title, scale=scale), x2="high:Q", y=y)
    points = base.mark_point(size=50, opacity=1, stroke=COLOURS[0], strokeWidth=1.5).encode(
        x=alt.X("mean:Q", title=title, scale=scale, axis=alt.Axis(tickCount=4)),
        y=y,
        fill=alt.condition("datum.best", alt.value(COLOURS[0]), alt.value("white")),
    )
    header = alt.Header(title=None, labelFontSize=SIZE - 1, labelAnchor="start")
    chart = (
        alt.layer(lines, points, data=records(shown))
        .facet(facet=alt.Facet("panel:N", sort=list(panels.values()), header=header), columns=COLUMNS)
        .resolve_scale(x="independent")
    )
    note = (
        f"Test {key.select_by} on slices of the test part, mean over seeds ({n_of(rows)}), lines are ± the "
        "standard deviation over seeds; each panel has a scale of its own, which need not begin at zero. Filled: the "
        "best on validation."
    )
    return draw(f"{stem_of(key)}-slices", f"{key.heading}: slices", note, chart, subtitle_of(key))
