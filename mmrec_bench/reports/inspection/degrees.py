"""How rows are spread over users and items."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import numpy as np

from mmrec_bench.reports.inspection.base import QUANTILES, Rows, Section, percent, quantile_row, quantiles
from mmrec_bench.reports.plots.base import COLOURS, DASHES, Plot, draw, file_stem, records
from mmrec_bench.reports.table import Table, number
from mmrec_bench.types import DoubleArray, IntArray

MOST_POINTS = 200
"""Of a line; degrees between are left out evenly on the logarithmic axis."""


def degrees(name: str, rows: Rows) -> Section:
    """Return how rows are spread over users and items.

    Args:
        name: Name of the data set.
        rows: Its rows.
    """
    of = {"users": rows.user_degrees(), "items": rows.item_degrees()}
    told = {noun: {**quantiles(counts), "gini": gini(counts)} for noun, counts in of.items()}
    table = Table(
        "Rows a user, rows an item",
        f"Over all users and items of the data set, those without {rows.noun} among them. Gini: 0 where all have "
        "equally many rows, near 1 where few have nearly all.",
        ("", *QUANTILES, "mean", "Gini"),
        tuple((*quantile_row(noun, facts), number(facts["gini"], ".3f")) for noun, facts in told.items()),
    )
    facts = [
        f"The top {level:.0%} of {noun} ({top_count(counts, level):,}) have {percent(top_share(counts, level), 1)} of "
        f"all {rows.noun}."
        for noun, counts in of.items()
        for level in (0.01, 0.1)
    ]
    return Section("degrees", "Degrees", tuple(facts), (table,), (_plot(name, rows.noun, of),), dict(told))


def gini(counts: IntArray) -> float:
    """Return the Gini coefficient of counts, between 0 (all alike) and 1 - 1/n (one has all)."""
    ordered, n = np.sort(counts).astype(np.float64), len(counts)
    if not ordered.sum():
        return 0.0
    return float(2 * (np.arange(1, n + 1) * ordered).sum() / (n * ordered.sum()) - (n + 1) / n)


def top_count(counts: IntArray, level: float) -> int:
    """Return how many make up the top share of all, one at least."""
    return max(1, round(level * len(counts)))


def top_share(counts: IntArray, level: float) -> float:
    """Return the share of all rows that the top share of users or items has."""
    first = np.sort(counts)[::-1][: top_count(counts, level)]
    return float(first.sum() / max(1, counts.sum()))


def at_least(counts: IntArray) -> tuple[IntArray, DoubleArray]:
    """Return degrees from 1 on, and the share of all that has so many rows or more; thinned for a picture."""
    kinds, first = np.unique(np.sort(counts), return_index=True)
    shares = 1 - first / len(counts)
    kinds, shares = kinds[kinds > 0], shares[kinds > 0]
    if len(kinds) > MOST_POINTS:
        places = np.searchsorted(kinds, np.geomspace(kinds[0], kinds[-1], MOST_POINTS))
        kept = np.unique(np.append(places, len(kinds) - 1))
        kinds, shares = kinds[kept], shares[kept]
    return kinds.astype(np.int64), shares


def _plot(name: str, noun: str, of: Mapping[str, IntArray]) -> Plot:
    shown = [
        {"what": what, "degree": degree, "share": portion}
        for what, counts in of.items()
        for degree, portion in zip(*(column.tolist() for column in at_least(counts)), strict=True)
    ]
    chart = (
        alt.Chart(records(shown), width=470, height=280)
        .mark_line(interpolate="step-before")
        .encode(
            x=alt.X("degree:Q", title=f"{noun}, at least", scale=alt.Scale(type="log", nice=False)),
            y=alt.Y(
                "share:Q", title="share of users, of items", scale=alt.Scale(type="log"), axis=alt.Axis(format="~g")
            ),
            color=alt.Color("what:N", title=None, scale=alt.Scale(domain=list(of), range=list(COLOURS[:2]))),
            strokeDash=alt.StrokeDash(
                "what:N", title=None, scale=alt.Scale(domain=list(of), range=[list(dash) for dash in DASHES[:2]])
            ),
        )
    )
    note = (
        f"Share of all users (and of all items) that have at least so many {noun}; both axes are logarithmic, so "
        "that a power law is a straight line."
    )
    return draw(f"{file_stem(name)}-degrees", f"{name}: degrees", note, chart)
