"""Feature tables: what is missing, what stands in for it, and which items nearly are one item."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmrec_bench.audit.twins import COSINE, CROWD
from mmrec_bench.audit.vectors import cosines, pairs_above
from mmrec_bench.data.chance import pair_hash
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.reports.inspection.base import Rows, Section, named, percent, share, warned
from mmrec_bench.reports.table import Table, number
from mmrec_bench.types import FloatArray, IntArray, StringArray

BUDGET = 5 * 10**11
"""Products of numbers that the search for near-duplicates may take; beyond it a sample of items is looked at."""
N_EXAMPLES = 10
STAND_IN = 0.001
"""Share of all items from which on a vector that they share is called a stand-in; ten items at least."""


@dataclass(frozen=True, slots=True, eq=False)
class Alike:
    """Items whose vectors are the same, or nearly.

    Attributes:
        group: For each item with a vector the first item with the very same one, int64 ``[n_items]``; -1 without.
        left: Items that are near another one, int64 ``[p]``.
        right: The other one, int64 ``[p]``.
        cosine: Of the pair, float32 ``[p]``.
        searched: How many different vectors were looked at.
        distinct: How many different vectors there are.
    """

    group: IntArray
    left: IntArray
    right: IntArray
    cosine: FloatArray
    searched: int
    distinct: int

    def sizes(self) -> IntArray:
        """Return the sizes of all groups of more than one item, the largest first."""
        counts = np.bincount(self.group[self.group >= 0])
        return np.sort(counts[counts > 1])[::-1].astype(np.int64)


def alike(table: FeatureTable, budget: int = BUDGET) -> Alike:
    """Find items of one vector, and pairs of different vectors with a cosine above that of the leak audit."""
    group = _same(table)
    pool = np.flatnonzero(group == np.arange(table.n_items))
    queries = pool
    if table.dim < 2:  # a number has no direction
        return Alike(group, pool[:0], pool[:0], np.empty(0, np.float32), 0, len(pool))
    affordable = max(1, budget // max(1, len(pool) * table.dim))
    if affordable < len(pool):
        order = np.argsort(pair_hash(np.zeros_like(pool), pool, 0, "inspection"), kind="stable")
        queries = np.sort(pool[order[:affordable]])
    left, right = pairs_above(COSINE, table, queries, pool, CROWD)
    mirrored = np.isin(right, queries) & (right < left)  # the same pair, seen from its other end
    left, right = left[~mirrored], right[~mirrored]
    return Alike(group, left, right, cosines(table, left, right), len(queries), len(pool))


def vectors(
    features: Mapping[str, FeatureTable], rows: Rows, item_ids: StringArray, titles: StringArray | None
) -> Section:
    """Return what is missing of each modality, and near-duplicates of items."""
    if not features:
        return Section("vectors", "Modalities", ("There are no feature tables.",))
    facts: list[str] = []
    body, pairs, data = [], [], {}
    degrees = rows.item_degrees()
    for modality, table in sorted(features.items()):
        found = alike(table)
        sizes, n_missing = found.sizes(), table.n_missing
        touched = int(degrees[~table.present].sum())
        near = len(np.unique(np.concatenate([found.left, found.right])))
        body.append((
            modality, number(table.dim, ",d"), number(table.n_items - n_missing, ",d"), number(n_missing, ",d"),
            share(n_missing, table.n_items), share(touched, len(rows.items)), number(int(sizes.sum()), ",d"),
            number(int(sizes[0]) if len(sizes) else 0, ",d"), number(near, ",d"), number(found.searched, ",d"),
        ))  # fmt: skip
        facts += _facts(modality, table, found, touched, len(rows.items), item_ids, titles)
        order = np.argsort(-found.cosine, kind="stable")[:N_EXAMPLES]
        pairs += [
            (
                named(str(item_ids[found.left[place]]), _title(titles, found.left[place])),
                named(str(item_ids[found.right[place]]), _title(titles, found.right[place])),
                modality,
                number(float(found.cosine[place]), ".5f"),
            )
            for place in order.tolist()
        ]
        data[modality] = {
            "dim": table.dim, "missing": n_missing, "rows_of_missing": touched, "distinct": found.distinct,
            "sharing": int(sizes.sum()), "largest_group": int(sizes[0]) if len(sizes) else 0,
            "near_duplicates": near, "searched": found.searched, "source": table.source,
            "constant_columns": _constant_columns(table),
        }  # fmt: skip
    tables = [
        Table(
            "Feature tables",
            "Rows without: share of all rows whose item lacks the modality. Sharing: items whose vector is, number for "
            "number, that of another item; the largest group of them. Near: items with another, different vector of "
            f"cosine above {COSINE}, of so many that were searched.",
            ("modality", "columns", "with", "without", "share", "rows without", "sharing", "largest", "near",
             "searched"),
            tuple(body),
        )
    ]  # fmt: skip
    if pairs:
        note = f"The {N_EXAMPLES} closest pairs of each modality, without those whose vectors are the same."
        tables.append(Table("Near-duplicates", note, ("item", "is like", "modality", "cosine"), tuple(pairs)))
    return Section("vectors", "Modalities", tuple(facts), tuple(tables), data=data)


def _facts(
    modality: str, table: FeatureTable, found: Alike, touched: int, n_rows: int, item_ids: StringArray,
    titles: StringArray | None,
) -> list[str]:  # fmt: skip
    facts = [f"{modality}: {table.source}."]
    if table.n_missing:
        fact = (
            f"{modality}: {table.n_missing:,} of {table.n_items:,} items ({percent(table.n_missing, table.n_items)}) "
            f"have no vector; {percent(touched, n_rows)} of all rows are of them."
        )
        facts.append(warned(fact, table.n_missing, table.n_items))
    sizes = found.sizes()
    if sharing := int(sizes.sum()):
        fact = (
            f"{modality}: {sharing:,} items ({percent(sharing, table.n_items)}) have the very vector of another item."
        )
        facts.append(warned(fact, sharing, table.n_items))
    if len(sizes) and sizes[0] >= max(CROWD, STAND_IN * table.n_items):
        first = int(np.argmax(np.bincount(found.group[found.group >= 0])))
        facts.append(
            f"Careful: {modality}: {sizes[0]:,} items share one vector, such as "
            f"{named(str(item_ids[first]), _title(titles, first))}: a stand-in for missing ones?"
        )
    if constant := _constant_columns(table):
        facts.append(f"{modality}: {constant:,} of {table.dim:,} columns hold one number for all items.")
    return facts


def _same(table: FeatureTable) -> IntArray:
    """Return for each item the first one with the same vector, by a digest of each row; -1 for items without."""
    first: dict[bytes, int] = {}
    group = np.full(table.n_items, -1, np.int64)
    for item in np.flatnonzero(table.present).tolist():
        key = hashlib.blake2b(np.ascontiguousarray(table.values[item]).data, digest_size=16).digest()
        group[item] = first.setdefault(key, item)
    return group


def _constant_columns(table: FeatureTable) -> int:
    """Return how many columns hold the same number for all items that have a vector."""
    items = np.flatnonzero(table.present)
    if len(items) < 2:
        return 0
    constant = np.ones(table.dim, np.bool_)
    step = max(1, (1 << 22) // table.dim)
    for start in range(0, len(items), step):
        constant &= (table.values[items[start : start + step]] == table.values[items[0]]).all(axis=0)
    return int(constant.sum())


def _title(titles: StringArray | None, item: int) -> str:
    return "" if titles is None else str(titles[item])
