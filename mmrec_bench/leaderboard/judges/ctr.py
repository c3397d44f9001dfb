"""The judge of CTR: one probability an impression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from mmrec_bench.data.points import Points
from mmrec_bench.leaderboard.judges.base import Checker, Judge, Looks
from mmrec_bench.leaderboard.lists import Kind, ListTable, RowCount

BINS = 200
"""Near-copies leave almost all impressions in the same of so many bins of equal size."""


class CtrJudge(Judge):
    """Of ctr: see `Judge`."""

    columns: ClassVar[Mapping[str, Kind]] = {
        "part": "text",
        "user_id": "text",
        "item_id": "text",
        "timestamp": "int",
        "label": "int",
        "probability": "float",
    }

    @property
    def n_rows(self) -> RowCount:
        """A row for each impression."""
        return RowCount.exactly(sum(len(points) for points in self._truth.parts.values()))

    def _looks(self, rows: ListTable, part: str, checker: Checker) -> Looks | None:
        """Check the impressions of one part."""
        truth, numbers = self._truth, rows.numbers
        points: Points = truth.parts[part]
        users = checker.known(rows.texts["user_id"], truth.users, "user")
        items = checker.known(rows.texts["item_id"], truth.items, "item")
        values = numbers["probability"]
        with np.errstate(invalid="ignore"):
            outside = ~((values >= 0) & (values <= 1))
        checker.refuse(outside, "scores", f"probabilities of {part} are not in [0, 1]", lambda row: f"row {row}")
        if users is None or items is None:
            return None
        if rows.n != len(points):
            checker.fail("lengths", f"has {rows.n:,} impressions of {part}; the track has {len(points):,}")
            return None
        for name, mine, theirs, check in (
            ("users", users, points.users, "users"),
            ("items", items, points.items, "ids"),
            ("timestamps", numbers["timestamp"], points.timestamps, "ids"),
            ("labels", numbers["label"], points.labels, "labels"),
        ):
            what = f"impressions of {part} have other {name} than the data, in their order"
            checker.refuse(mine != theirs, check, what, lambda row: f"row {row}")
        ordered = np.sort(values)
        cells = np.argsort(np.argsort(values, kind="stable"), kind="stable") * BINS // len(values)
        return Looks(cells.astype(np.int64), float((ordered[1:] == ordered[:-1]).mean()) if len(values) > 1 else 0.0)
