"""How sure a table is of its order: intervals of each row, and of its difference from the first."""

from __future__ import annotations

from collections.abc import Sequence

from mmrec_bench.reports.collect import Row, TableKey
from mmrec_bench.reports.comparisons.pairs import seeds_of
from mmrec_bench.reports.directions import lower_is_better
from mmrec_bench.reports.standing import few_seeds, simultaneous, verdict_of
from mmrec_bench.reports.table import ABSENT, Cell, Table, interval, number
from mmrec_bench.reports.user_scores import UserScores
from mmrec_bench.statistics.contrast import LEVEL, Contrast, over_users


def intervals_of(key: TableKey, rows: Sequence[Row], reader: UserScores) -> Table:
    """Return the test score of every row with its interval, and its difference from the first row, users paired.

    The first row is the best on validation, so that no test score chooses whom the others are compared with.

    Args:
        key: The table.
        rows: Its rows, best mean validation score first.
        reader: Their scores, by fingerprint.
    """
    scores = reader.of(key.select_by)
    sign = -1 if lower_is_better([key.select_by]) else 1
    first, few = rows[0], few_seeds(rows)
    body = []
    for row in rows:
        own = scores[row.fingerprint]
        low, high = over_users(own.mean(axis=0)) or (None, None)
        score = number(float(own.mean()), ".4f"), interval(low, high, ".4f")
        cells: tuple[str, ...] = (ABSENT, ABSENT, ABSENT)
        if row is not first:
            both = seeds_of(row, own), seeds_of(first, scores[first.fingerprint])
            found = simultaneous(*both, len(rows))
            verdict = verdict_of(_oriented(found, sign), bool({row.label, first.label} & set(few)))
            cells = number(found.difference, "+.4f"), interval(found.low, found.high, "+.4f"), Cell(verdict)
        body.append((row.label, number(len(row.seeds), "d"), *score, *cells))
    level = f"{LEVEL:.0%}".replace("%", " %")
    note = (
        f"Test {key.select_by}. Protocol `{key.protocol_id}`, data `{key.data}`. The {level} interval of a score is "
        "over users as drawn from many, for these very seeds, by Student's t."
    )
    if len(rows) > 1:
        note += (
            f" Differences are from `{first.label}`, first on validation; their intervals pair users, are over seeds, "
            f"too, where both rows have two or more, and hold all together with {level} (Bonferroni)."
        )
    header = ("model", "n", key.select_by, f"{level} interval", "difference", "interval of it", "verdict")
    return Table(f"{key.heading}: intervals", note, header, tuple(body))


def _oriented(found: Contrast, sign: int) -> Contrast:
    """Return a difference of which more is better."""
    if sign > 0 or found.low is None or found.high is None:
        return found
    return Contrast(-found.difference, -found.high, -found.low)
