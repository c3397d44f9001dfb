"""Do features know held-out rows better than training rows?

Take two held-out items of a user, and two of his training items. A table that knows nothing of the split cannot tell
which two belong to which part: either pair is as likely to be the closer one, whatever the taste of users and the
popularity of items. A table in which held-out rows took part, and training rows did not or did less, such as vectors
propagated along held-out edges, brings the held-out pair together. A table made of training rows does the opposite,
which is fine.

That is all that vectors can show. A table made of *all* rows alike treats both pairs the same, as content does, and
passes; the card must tell (`provenance.fields`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mmrec_bench.audit.base import Finding, check
from mmrec_bench.audit.subject import Subject
from mmrec_bench.audit.vectors import cosines
from mmrec_bench.data.chance import pair_hash
from mmrec_bench.data.features import FeatureTable
from mmrec_bench.types import BoolArray, IntArray

N_USERS = 4000
"""Users that are asked at most, drawn by a hash."""
FEWEST = 100
"""Users below which nothing can be said."""
DEVIATIONS = 5.0
"""Standard deviations above one half from which on a preference is no chance."""
WARNS = 0.55
"""Share of users whose held-out pair is the closer one from which on the check warns."""
FAILS, FAILS_IN_TIME = 0.65, 0.8
"""Share from which on it fails: where chance parts the rows, and where held-out rows may follow one another in time, so
that they are more alike than others."""


class Pairs(NamedTuple):
    """Two items of each user of one side.

    Attributes:
        users: Rows of users, ascending, int64 ``[n]``.
        items: int64 ``[n, 2]``.
    """

    users: IntArray
    items: IntArray

    def of(self, chosen: BoolArray) -> Pairs:
        """Return the pairs of some users."""
        return Pairs(self.users[chosen], self.items[chosen])


@check(
    "features-know-held-out",
    "Do features bring held-out rows together rather than training rows?",
    kinds=("interactions",),
)
def features_know(subject: Subject) -> Finding:
    """Ask of each user which two of his items are closer: two that are held out, or two of train."""
    tables = subject.dataset.features
    if not tables:
        return Finding("not applicable", "there are no feature tables")
    counts: dict[str, float] = {}
    told: list[str] = []
    worst, most = 0.0, 0
    for name, table in sorted(tables.items()):
        n, wins = _closer(subject, table)
        share = wins / n if n else 0.5
        counts |= {f"{name}/users": n, f"{name}/share": share}
        most = max(most, n)
        if n >= FEWEST and share > WARNS and (share - 0.5) * 2 * np.sqrt(n) > DEVIATIONS:
            told.append(f"{name} brings the held-out pair of {share:.1%} of {n:,} users closer together")
            worst = max(worst, share)
    if most < FEWEST:
        message = f"fewer than {FEWEST} users have two items with features both in train and held out"
        return Finding("not applicable", message, counts)
    if told:
        message = (
            f"{'; '.join(told)}: held-out rows took part in its making, or held-out rows follow one another in time"
        )
        by_chance = subject.rule.promise(subject.provenance.split) == "none" and not subject.rule.delivered
        return Finding("fail" if worst > (FAILS if by_chance else FAILS_IN_TIME) else "warn", message, counts)
    return Finding(
        "pass", "no table brings two held-out items of a user closer together than two training items", counts
    )


def _closer(subject: Subject, table: FeatureTable) -> tuple[int, float]:
    """Return how many users were asked, and for how many the held-out pair is the closer one; equals count half."""
    train = subject.train
    # Where the split goes by time, held-out rows follow one another; so do the last two of train.
    by_time = subject.rule.promise(subject.provenance.split) != "none" and train.clock() is not None
    latest = train.clock() if by_time else None
    held_out = _two(table, *subject.held_out_pairs(), None)
    known = _two(table, train.users, train.items, latest)
    users = np.intersect1d(held_out.users, known.users)
    users = np.sort(users[np.argsort(pair_hash(users, np.zeros_like(users), 0, "audit"), kind="stable")[:N_USERS]])
    held_out, known = (pairs.of(np.isin(pairs.users, users)) for pairs in (held_out, known))
    gap = cosines(table, *held_out.items.T) - cosines(table, *known.items.T)
    return len(users), float((gap > 0).sum() + 0.5 * (gap == 0).sum())


def _two(table: FeatureTable, users: IntArray, items: IntArray, clock: IntArray | None) -> Pairs:
    """Return two items with a vector of each user who has two: the latest by the clock, or any by a hash."""
    there = table.present[items]
    chance = pair_hash(users, items, 0, "audit")[there]
    users, items = users[there], items[there]
    order = np.lexsort((chance, users) if clock is None else (chance, -clock[there], users))
    owners, first, counts = np.unique(users[order], return_index=True, return_counts=True)
    owners, first = owners[counts >= 2], first[counts >= 2]
    return Pairs(
        owners,
        np.stack((items[order][first], items[order][first + 1]), axis=1) if len(owners) else np.zeros((0, 2), np.int64),
    )
