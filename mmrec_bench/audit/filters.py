"""Was the data filtered by counts that held-out rows took part in?"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mmrec_bench.audit.base import Finding, check
from mmrec_bench.audit.subject import Subject
from mmrec_bench.data.provenance import Filter
from mmrec_bench.types import IntArray


class Side(NamedTuple):
    """Rows of users, or of items.

    Attributes:
        name: ``user`` or ``item``.
        least: Rows each has at least, by the card or by the signs of the data; None where there is no filter.
        total: Rows in all of the data, of those that have any, int64 ``[n]``.
        in_train: Rows in train, of the same, int64 ``[n]``.
    """

    name: str
    least: int | None
    total: IntArray
    in_train: IntArray

    @property
    def below(self) -> int:
        """How many have fewer rows in train than the filter asks for."""
        return 0 if self.least is None else int((self.in_train < self.least).sum())


@check(
    "filter-on-all", "Were users or items filtered by counts that held-out rows took part in?", kinds=("interactions",)
)
def filter_on_all(subject: Subject) -> Finding:
    """Compare the filter that the card declares, or that degrees show, with the degrees in train.

    Degrees show a filter where none is below k >= 2, and k itself is the most frequent one: what was cut off piles up
    at the cut.
    """
    declared = subject.provenance.filter
    if declared == "none":
        return Finding("pass", "the card declares that nothing was filtered")
    sides = [
        _side("user", _declared(declared, "user_rows"), declared, *_degrees(subject, "user_counts")),
        _side("item", _declared(declared, "item_rows"), declared, *_degrees(subject, "item_counts")),
    ]
    counts: dict[str, float] = {}
    for side in sides:
        counts |= {f"{side.name}_rows": side.least or 0, f"{side.name}s_below": side.below}
        counts[f"{side.name}s"] = len(side.total)
    how = "the degrees show" if declared is None else "the card declares"
    if declared is not None and (short := [side for side in sides if side.least and side.total.min() < side.least]):
        told = ", ".join(f"{side.least} rows a {side.name}, and some have {side.total.min()}" for side in short)
        message = f"the card declares a filter that the data does not keep: {told}. Rows were left out after it"
        return Finding("warn", message, counts)
    found = [side for side in sides if side.below]
    if declared is not None and declared.counted_on == "train" and subject.rule.delivered:
        if not found:
            return Finding("pass", "the filter was counted on train alone, as the card declares", counts)
        return Finding("fail", f"the card declares a filter on train alone; it is not: {_told(found)}", counts)
    if found:
        message = f"{how} a filter that was counted on all rows, so that being in the data tells of held-out rows"
        message += f": {_told(found)}"
        return Finding("warn", message, counts)
    if any(side.least for side in sides):
        return Finding("pass", f"{how} a filter, and train alone keeps it", counts)
    return Finding("pass", "the degrees show no filter", counts)


def _degrees(subject: Subject, of: str) -> tuple[IntArray, IntArray]:
    total, in_train = (getattr(part, of)() for part in (subject.dataset.payload, subject.train))
    return total[total > 0], in_train[total > 0]


def _declared(declared: Any, key: str) -> int | None:
    return getattr(declared, key) if isinstance(declared, Filter) else None


def _side(name: str, least: int | None, declared: Any, total: IntArray, in_train: IntArray) -> Side:
    if declared is None and len(total):
        occurring = np.bincount(total)
        smallest = int(total.min())
        least = smallest if smallest >= 2 and occurring[smallest] == occurring.max() else None
    return Side(name, least, total, in_train)


def _told(sides: list[Side]) -> str:
    return "; ".join(
        f"every {side.name} has at least {side.least} rows, but {side.below:,} of {len(side.total):,} {side.name}s "
        f"({side.below / len(side.total):.1%}) have fewer in train"
        for side in sides
    )
