"""Checks of items that are one and the same under two ids, one in train and the other held out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from mmrec_bench.audit.base import N_EXAMPLES, Finding, check
from mmrec_bench.audit.subject import Subject, among, keys_of
from mmrec_bench.audit.vectors import cosines, pairs_above
from mmrec_bench.data.chance import pair_hash
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.types import BoolArray, IntArray

COSINE = 0.999
"""Items with a cosine above it count as near-duplicates."""
UNLIKE = 0.8
"""Items of one title are different items where no feature table gives them a cosine above it."""
CROWD = 10
"""An item with so many near-duplicates in train is none of them: its vector is a stand-in, or tells little."""
FAILS = 0.01
"""Share of held-out rows whose user had a near-duplicate in train from which on the check fails."""


@dataclass(frozen=True, slots=True, eq=False)
class Twins:
    """Held-out items and the train items they are like.

    Attributes:
        held_out: int64 ``[n]``.
        train: Another item than that beside it, int64 ``[n]``.
        n_crowded: Held-out items that are like so many others that they are left out.
        searched: Held-out items that were looked at.
    """

    held_out: IntArray
    train: IntArray
    n_crowded: int
    searched: int


@check("near-duplicates", "Do held-out items have near-duplicates in train, by features?")
def near_duplicates(subject: Subject) -> Finding:
    """Look for train items of cosine above `COSINE` to each held-out item, exactly, in every feature table."""
    tables = {name: table for name, table in subject.dataset.features.items() if table.dim > 1}
    if not tables:
        return Finding("not applicable", "there are no feature tables of more than one column, which have a direction")
    found = {name: _by_features(subject, table) for name, table in sorted(tables.items())}
    counts: dict[str, float] = {}
    for name, twins in found.items():
        counts |= {f"{name}/{key}": value for key, value in _counts(subject, twins).items()}
    alike = {name: twins for name, twins in found.items() if len(twins.held_out)}
    crowded = [f"{name} {twins.n_crowded:,}" for name, twins in found.items() if twins.n_crowded]
    stand_ins = (
        f"{', '.join(crowded)} held-out items share their vector with {CROWD} train items or more: stand-ins for "
        "missing ones, or features that hardly tell items apart"
    )
    if not alike:
        if crowded:
            return Finding("warn", stand_ins, counts)
        return Finding("pass", f"no held-out item has a train item of cosine above {COSINE}", counts)
    worst = max(alike, key=lambda name: counts[f"{name}/share"])
    share = counts[f"{worst}/share"]
    told = "; ".join(
        f"{name} {int(counts[f'{name}/items']):,} of {alike[name].searched:,}{_cold(counts[f'{name}/cold_items'])}"
        for name in alike
    )
    message = (
        f"held-out items with a near-duplicate in train (cosine above {COSINE}): {told}. The same user had it in train "
        f"for {share:.2%} of the held-out rows ({worst})" + (f"; {stand_ins}" if crowded else "")
    )
    twins = alike[worst]
    return Finding("fail" if share > FAILS else "warn", message, counts, _examples(subject, twins))


@check("identical-titles", "Do held-out items have the title of another item in train?")
def identical_titles(subject: Subject) -> Finding:
    """Compare titles without case and space.

    Titles of very many items are names of kinds, not of items; and features tell apart what only happens to be called
    the same.
    """
    if subject.dataset.items.titles is None:
        return Finding("not applicable", "items have no titles")
    twins = _by_title(subject)
    apart = _told_apart(subject, twins)
    twins = dataclasses.replace(twins, held_out=twins.held_out[~apart], train=twins.train[~apart])
    counts = {**_counts(subject, twins), "told_apart": int(apart.sum())}
    if not len(twins.held_out):
        return Finding("pass", "no held-out item has the title of another item in train", counts)
    items = f"{int(counts['items']):,} held-out items{_cold(counts['cold_items'])}"
    message = (
        f"{items} have the title of another item in train; "
        f"the same user had that in "
        f"train for {counts['share']:.2%} of the held-out rows"
    )
    return Finding("fail" if counts["share"] > FAILS else "warn", message, counts, _examples(subject, twins))


def _by_features(subject: Subject, table: FeatureTable) -> Twins:
    """Search all train items for each held-out one; with a budget, for as many held-out ones as it allows."""
    pool = np.flatnonzero(subject.items_of(subject.train) & table.present)
    queries = np.flatnonzero(subject.items_of(*subject.held_out) & table.present)
    if subject.budget is not None:
        affordable = max(subject.budget // max(1, len(pool) * table.dim), 1)
        order = np.argsort(pair_hash(np.zeros_like(queries), queries, 0, "audit"), kind="stable")
        queries = np.sort(queries[order[:affordable]])
    return _uncrowded(*pairs_above(COSINE, table, queries, pool, CROWD), len(queries))


def _by_title(subject: Subject) -> Twins:
    titles = subject.dataset.items.titles
    assert titles is not None
    kinds, group = np.unique([" ".join(str(title).casefold().split()) for title in titles], return_inverse=True)
    group = group.reshape(-1)
    named = kinds[group] != ""
    pool = np.flatnonzero(subject.items_of(subject.train) & named)
    queries = np.flatnonzero(subject.items_of(*subject.held_out) & named)
    pool = pool[np.argsort(group[pool], kind="stable")]
    if not len(pool):
        return _uncrowded(queries[:0], pool, len(queries))
    places = np.searchsorted(group[pool], group[queries])[:, None] + np.arange(CROWD + 1)
    inside = places < len(pool)
    places = np.minimum(places, len(pool) - 1)
    others = pool[places]
    alike = inside & (group[others] == group[queries][:, None]) & (others != queries[:, None])
    row, place = alike.nonzero()
    return _uncrowded(queries[row], others[row, place], len(queries))


def _uncrowded(queries: IntArray, others: IntArray, searched: int) -> Twins:
    """Return the pairs without queries that are like too many."""
    asked, of, counts = np.unique(queries, return_inverse=True, return_counts=True)
    kept = counts[of.reshape(-1)] < CROWD
    return Twins(queries[kept], others[kept], len(asked[counts >= CROWD]), searched)


def _told_apart(subject: Subject, twins: Twins) -> BoolArray:
    """Return which pairs are different by their features: both have vectors, and none of these are alike."""
    known, alike = (np.zeros(len(twins.held_out), np.bool_) for _ in range(2))
    for table in subject.dataset.features.values():
        both = np.flatnonzero(table.present[twins.held_out] & table.present[twins.train])
        known[both] = True
        alike[both] |= cosines(table, twins.held_out[both], twins.train[both]) > UNLIKE
    return known & ~alike


def _counts(subject: Subject, twins: Twins) -> dict[str, float]:
    """Return how many items have twins, how many of these are cold, and how many rows a twin gives away."""
    in_train = subject.items_of(subject.train)
    items = np.unique(twins.held_out)
    rows = _given_away(subject, twins)
    n_rows = sum(len(part) for part in subject.held_out)
    return {
        "items": len(items),
        "cold_items": int((~in_train[items]).sum()),
        "rows": int(rows),
        "share": rows / n_rows,
        "crowded": twins.n_crowded,
        "searched": twins.searched,
    }


def _given_away(subject: Subject, twins: Twins) -> int:
    """Return the number of held-out rows whose user (or query) has a twin of the item in train."""
    if not len(twins.held_out):
        return 0
    users, items = subject.held_out_pairs()
    order = np.argsort(twins.held_out, kind="stable")
    held_out, train = twins.held_out[order], twins.train[order]
    starts, ends = (np.searchsorted(held_out, items, side) for side in ("left", "right"))
    known, n_items = np.unique(keys_of(subject.train)), np.int64(subject.train.n_items)
    given = np.zeros(len(items), np.bool_)
    for step in range(int((ends - starts).max())):
        rows = np.flatnonzero(starts + step < ends)
        given[rows] |= among(users[rows] * n_items + train[starts[rows] + step], known)
    return int(given.sum())


def _cold(n: float) -> str:
    """Return how many are not in train themselves, so that they are not as cold as they seem."""
    return f" ({int(n):,} of them cold)" if n else ""


def _examples(subject: Subject, twins: Twins) -> tuple[str, ...]:
    pairs = zip(twins.held_out[:N_EXAMPLES], twins.train[:N_EXAMPLES], strict=True)
    return tuple(f"held-out {subject.item(left)} is like train {subject.item(right)}" for left, right in pairs)
