"""Critical-difference diagrams: mean ranks, and bars over those that are not told apart."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor

import altair as alt

from mmrec_bench.reports.plots.base import COLOURS, INK, PALE, AnyChart, Plot, draw, records
from mmrec_bench.statistics.ranks import CriticalDifference

WIDTH, LINE, REACH = 420, 19, 24


def ranks_plot(
    name: str, heading: str, labels: Sequence[str], found: CriticalDifference, what: str, subtitle: str = ""
) -> Plot:
    """Return the diagram of Demsar (https://www.jmlr.org/papers/v7/demsar06a.html).

    Args:
        name: File stem.
        heading: What the title begins with.
        labels: Names, in the order of the ranks.
        found: Ranks and cliques.
        what: What was ranked on what, such as ``test recall@20 of 2,000 users``.
        subtitle: Small text under the title.
    """
    p_value = "below 0.0001" if found.p_value < 1e-4 else f"{found.p_value:.4f}"
    note = (
        f"Mean rank, 1 is best, of {len(labels)} rows over {what}, averaged over seeds, for these very seeds. A bar "
        f"joins rows that are not told apart: their ranks differ by less than the critical difference "
        f"{found.critical:.3f} (Nemenyi, 5 %). Friedman's p that all rank alike: {p_value}."
    )
    return draw(name, f"{heading}: mean ranks", note, _chart(labels, found), subtitle)


def _chart(labels: Sequence[str], found: CriticalDifference) -> AnyChart:
    """Return the picture: an axis of ranks, bars below it, and below these a name a line, the better half left."""
    order = sorted(range(len(labels)), key=lambda place: (found.ranks[place], place))
    first, last = floor(min(found.ranks)), max(ceil(max(found.ranks)), floor(min(found.ranks)) + 1)
    left_half = (len(order) + 1) // 2
    bars_end = 12 + 9 * len(found.cliques)
    lines, texts = [], []
    for place, row in enumerate(order):
        left = place < left_half
        depth = bars_end + LINE * ((place if left else len(order) - 1 - place) + 0.6)
        rank = found.ranks[row]
        lines.append({"rank": rank, "from": 0.0, "to": depth})
        texts.append({"rank": rank, "y": depth, "name": f"{labels[row]}  {rank:.2f}", "left": left})
    bars = [
        {"low": min(found.ranks[row] for row in clique), "high": max(found.ranks[row] for row in clique),
         "y": 10.0 + 9 * number}
        for number, clique in enumerate(found.cliques)
    ]  # fmt: skip
    height = bars_end + LINE * (left_half + 0.3)
    x = alt.X(
        "rank:Q",
        scale=alt.Scale(domain=[first, last], nice=False),
        axis=alt.Axis(
            orient="top", title=None, grid=False, tickMinStep=1, values=list(range(first, last + 1)), format="d"
        ),
    )
    y = alt.Y("to:Q", scale=alt.Scale(domain=[0, height], reverse=True), axis=None)
    at = alt.Y("y:Q", scale=alt.Scale(domain=[0, height], reverse=True), axis=None)
    named = alt.Chart(records(texts))
    sides: list[alt.Chart] = []
    for left, edge, align in ((True, -REACH, "right"), (False, WIDTH + REACH, "left")):
        side = named.transform_filter("datum.left" if left else "!datum.left")
        sides.append(side.mark_rule(color=PALE).encode(x=x, x2=alt.value(edge), y=at))
        beyond = alt.value(edge + (-4 if left else 4))
        sides.append(side.mark_text(align=align, baseline="middle").encode(x=beyond, y=at, text="name:N"))
    thick = alt.Chart(records(bars)).mark_rule(strokeWidth=5, color=COLOURS[0])
    return alt.layer(
        alt.Chart(records(lines)).mark_rule(color=PALE).encode(x=x, y=y, y2="from:Q"),
        *sides,
        thick.encode(x="low:Q", x2="high:Q", y=at),
        _scale_bar(first, found.critical, x),
        width=WIDTH,
        height=height,
    )


def _scale_bar(first: float, critical: float, x: alt.X) -> alt.LayerChart:
    """Return a bar as long as the critical difference, above the axis."""
    bar = alt.Chart(records([{"rank": first, "end": first + critical, "text": f"CD = {critical:.2f}"}]))
    return alt.layer(
        bar.mark_rule(color=INK, strokeWidth=2).encode(x=x, x2="end:Q", y=alt.value(-34)),
        bar.mark_text(align="left", baseline="bottom", dy=-4).encode(x=x, y=alt.value(-34), text="text:N"),
    )
