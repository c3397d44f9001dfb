"""How sure a table is of its order: intervals of each row, and of its difference from the best."""

from __future__ import annotations

from collections.abc import Sequence

from mmrec_bench.reports.collect import Row, TableKey
from mmrec_bench.reports.tables import ABSENT, Table
from mmrec_bench.reports.user_scores import user_scores
from mmrec_bench.statistics.contrast import LEVEL, contrast, over_users


def intervals_of(key: TableKey, rows: Sequence[Row]) -> Table:
    """Return the test score of every row with its interval, and its difference from the first row, users paired.

    The first row is the best on validation, so that no test score chooses whom the others are compared with.
    """
    scores = user_scores({row.fingerprint: row for row in rows}, key.select_by)
    best = scores[rows[0].fingerprint]
    body = []
    for row in rows:
        own = scores[row.fingerprint]
        cells = [row.label, str(len(row.seeds)), f"{own.mean():.4f}", _interval(over_users(own.mean(axis=0)), "")]
        if row is rows[0]:
            cells += [ABSENT, ABSENT]
        else:
            found = contrast(own, best)
            ends = None if found.low is None or found.high is None else (found.low, found.high)
            if ends is None:
                ends = over_users(own.mean(axis=0) - best.mean(axis=0))
            cells += [f"{found.difference:+.4f}", _interval(ends, "+")]
        body.append(tuple(cells))
    level = f"{LEVEL:.0%}".replace("%", " %")
    note = (
        f"Test {key.select_by}. Protocol `{key.protocol_id}`, data `{key.data}`. Intervals ({level}) by Student's t, "
        f"over users as drawn from many; those of differences from `{rows[0].label}` pair users, and are over seeds, "
        "too, where both have two or more. Not adjusted for the number of rows."
    )
    header = ("model", "n", key.select_by, f"{level} interval", "difference", f"{level} interval of it")
    return Table(f"{key.heading}: intervals", note, header, tuple(body))


def _interval(ends: tuple[float, float] | None, sign: str) -> str:
    return ABSENT if ends is None else f"[{ends[0]:{sign}.4f}, {ends[1]:{sign}.4f}]"
