"""How much there is, beside what is published."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmrec_bench.data.dataset import DataReport
from mmrec_bench.data.formats.base import DatasetCard
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.data.lists import Lists
from mmrec_bench.data.split_rule import PARTS
from mmrec_bench.reports.inspection.base import Rows, Section, percent, share
from mmrec_bench.reports.table import ABSENT, Table, number

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
