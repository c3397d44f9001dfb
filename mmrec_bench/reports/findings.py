"""What tables show, in words that agree with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

from mmrec_bench.reports.standing import Standing
from mmrec_bench.statistics.comparison import CLAIM_SEEDS

MOST_NAMES = 6
"""Labels that a sentence lists; of more it gives the number."""

RULE = (
    "The row of the best test score is compared with every other row. Users are paired, and seeds are drawn again "
    "where both rows have two or more; with R rows each interval has the level 1 - 5 % / (R - 1), so that all hold "
    "together with 95 %.",
    "Rows whose difference from it may be zero share its mark; where that is all rows, nothing is marked. They are not "
    "shown to be equal.",
    "The second best are found in the same way among the rows that are left.",
    f"With fewer than {CLAIM_SEEDS} seeds a side marks are hints and no claims. With one seed intervals are over users "
    "alone: another seed may give another order. A retrieval model that is fitted in closed form is moved by no seed, "
    "and its single run stands for all.",
    "Only test metrics with scores of single users are marked: no slices, no numbers of whole catalogues, no costs, "
    "and no validation scores, by which settings were chosen.",
)
"""How marks come about; stands on every report."""


def findings_of(labels: Sequence[str], standing: Standing | None) -> list[str]:
    """Return who is best, who cannot be told apart, and what needs more seeds, one sentence each.

    Args:
        labels: Labels of the rows, the first on validation first.
        standing: The standing in the metric that chose the weights; None for a single row.
    """
    if standing is None:
        return [f"{_names(labels[:1])} stands alone: there is nothing to compare it with."]
    return [*_seeds(standing), *_best(standing), *_second(standing), *_on_validation(labels[0], standing)]


def _best(standing: Standing) -> list[str]:
    top, metric, rest = standing.order[0], standing.metric, len(standing.order) - len(standing.best)
    if not rest:
        return [
            f"No row is told apart from the best test {metric}, that of {_names([top])} (rows: {len(standing.order)})."
        ]
    if len(standing.best) == 1:
        return [f"{_names([top])} has the best test {metric}, and is told apart from every other row ({rest})."]
    told = "the other row is" if rest == 1 else f"the other {rest} rows are"
    return [
        f"Best in test {metric}: {_names(standing.best)}. They are not told apart from {_names([top])}, whose score is "
        f"the best; {told} worse than it."
    ]


def _second(standing: Standing) -> list[str]:
    if len(standing.best) == len(standing.order):
        return []
    if len(standing.second) == 1:
        return [f"Second: {_names(standing.second)}."]
    first = standing.second[0]
    return [f"Second: {_names(standing.second)}, which are not told apart from {_names([first])}, the best of them."]


def _on_validation(label: str, standing: Standing) -> list[str]:
    if label == standing.order[0] or len(standing.best) == len(standing.order):
        return []
    if label in standing.best:
        return [f"{_names([label])}, first on validation, is among the best."]
    return [f"{_names([label])}, first on validation, is worse than {_names(standing.order[:1])} on test."]


def _seeds(standing: Standing) -> list[str]:
    few, top = standing.few_seeds, standing.order[0]
    if not few:
        return []
    if top in few:
        told = [f"Hints, and no claims: `{top}` has {_count(few[top])}, and claims need {CLAIM_SEEDS} a side."]
    else:
        rows = f"{len(few)} rows with fewer seeds"
        if len(few) <= MOST_NAMES:
            rows = _listed([f"`{label}` ({_count(n)})" for label, n in few.items()])
        told = [f"Nothing is claimed of {rows}: claims need {CLAIM_SEEDS} a side."]
    if set(few.values()) == {1} and len(few) == len(standing.order):
        return [*told, "All rows have one seed: intervals are over users alone, and another seed may change the order."]
    if 1 in few.values():
        return [*told, "Intervals of differences from a row with one seed are over users alone."]
    return told


def _count(n: int) -> str:
    return f"{n} seed{'' if n == 1 else 's'}"


def _names(labels: Sequence[str]) -> str:
    parts = [f"`{label}`" for label in labels[:MOST_NAMES]]
    more = len(labels) - len(parts)
    return _listed([*parts, f"{more} more"] if more else parts)


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
