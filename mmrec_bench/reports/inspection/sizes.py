"""How much there is, beside what is published, and how rows are spread over users and items."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import numpy as np

from mmrec_bench.data.dataset import DataReport
from mmrec_bench.data.formats.base import DatasetCard
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Lists
from mmrec_bench.reports.inspection.base import QUANTILES, Rows, Section, percent, quantile_row, quantiles, share
from mmrec_bench.reports.plots.base import COLOURS, DASHES, Plot, draw, file_stem, records
from mmrec_bench.reports.table import ABSENT, Table, number
from mmrec_bench.types import DoubleArray, IntArray

MOST_POINTS = 200
"""Of a line; degrees between are left out evenly on the logarithmic axis."""
PARTS = ("train", "valid", "test")
NAMES = {
    "n_users": "users",
    "n_items": "items",
    "n_interactions": "interactions",
    "n_lists": "lists",
    "n_rows": "rows of lists",
}


def sizes(card: DatasetCard, payload: Interactions | Lists, report: DataReport) -> Section:
    """Return the counts beside the published ones, and the parts of the delivered split beside known editions."""
    rows, published = Rows.of(payload), {} if card.counts is None else card.counts.model_dump(exclude_none=True)
    found = {"n_users": rows.n_users, "n_items": rows.n_items}
    if isinstance(payload, Lists):
        found |= {"n_lists": payload.n_lists, "n_rows": len(payload)}
    else:
        found |= {"n_interactions": len(payload)}
    facts = [
        f"Careful: {NAMES[name]}: {found[name]:,} found, {published[name]:,} published."
        for name in found
        if name in published and published[name] != found[name]
    ]
    density = len(rows.users) / (rows.n_users * rows.n_items)
    facts.append(f"Density: {density:.4%} of all pairs of a user and an item.")
    if report.n_duplicates:
        facts.append(
            f"{report.n_duplicates:,} rows repeated a pair and were merged into its first one, "
            f"{report.n_duplicates_across_parts:,} of them across parts of the delivered split."
        )
    for noun, degrees in (("users", rows.user_degrees()), ("items", rows.item_degrees())):
        if without := int((degrees == 0).sum()):
            facts.append(f"{without:,} {noun} ({percent(without, len(degrees))}) have no row at all.")
    counts = Table(
        "Counts",
        "Published: the counts of the card; - where it states none.",
        ("", "found", "published", "difference"),
        tuple(
            (
                NAMES[name],
                number(value, ",d"),
                number(published.get(name), ",d"),
                number(value - published[name], "+,d" if value != published[name] else "d")
                if name in published
                else ABSENT,
            )
            for name, value in found.items()
        ),
    )
    parts = _parts(payload)
    tables = (counts,) if parts is None else (counts, _parts_table(card, parts))
    data = {"found": found, "published": published, "density": density, "n_duplicates": report.n_duplicates}
    return Section("sizes", "Size", tuple(facts), tables, data=data | ({} if parts is None else {"parts": parts}))


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


def values(payload: Interactions | Lists) -> Section | None:
    """Return how ratings, clicks and labels are spread; None where there are none."""
    columns = (
        {"rating": payload.values}
        if isinstance(payload, Interactions)
        else {"click": payload.clicks, "label": payload.labels, "position": payload.positions}
    )
    tables, data = [], {}
    for column, array in columns.items():
        if array is None or not len(array):
            continue
        kinds, counts = np.unique(array, return_counts=True)
        top = np.sort(np.argsort(-counts, kind="stable")[:20])
        tables.append(
            Table(
                f"Values of {column}",
                f"{len(kinds):,} different values" + (", the 20 most frequent shown." if len(kinds) > 20 else "."),
                (column, "rows", "share"),
                tuple(
                    (number(float(kinds[place]), "g"), number(counts[place], ",d"), share(counts[place], len(array)))
                    for place in top.tolist()
                ),
            )
        )
        data[column] = {str(float(kinds[place])): int(counts[place]) for place in top.tolist()}
    return Section("values", "Values", tables=tuple(tables), data=data) if tables else None


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


def _parts(payload: Interactions | Lists) -> dict[str, int] | None:
    labels = payload.labels if isinstance(payload, Interactions) else payload.parts
    if labels is None:
        return None
    return dict(zip(PARTS, np.bincount(labels, minlength=3).tolist(), strict=True))


def _parts_table(card: DatasetCard, parts: Mapping[str, int]) -> Table:
    editions = {name: edition.model_dump() for name, edition in card.editions.items()}
    return Table(
        "Delivered split",
        "Rows (or lists) of each part"
        + (", beside the known editions." if editions else "; the card knows no edition."),
        ("part", "found", "share", *editions),
        tuple(
            (
                part,
                number(count, ",d"),
                share(count, sum(parts.values())),
                *(number(edition[part], ",d") for edition in editions.values()),
            )
            for part, count in parts.items()
        ),
    )
