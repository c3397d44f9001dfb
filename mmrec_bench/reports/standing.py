"""Who stands best in a metric, as far as intervals can tell: of which the marks and the words of reports are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmrec_bench.reports.collect import Row
from mmrec_bench.reports.comparisons.pairs import fixed, seeds_of
from mmrec_bench.reports.directions import has_direction, lower_is_better
from mmrec_bench.reports.table import Mark
from mmrec_bench.reports.user_scores import UserScores
from mmrec_bench.statistics.comparison import ALPHA, CLAIM_SEEDS, Verdict
from mmrec_bench.statistics.contrast import Contrast, contrast, over_users
from mmrec_bench.types import DoubleArray


@dataclass(frozen=True, slots=True)
class Standing:
    """The order of rows in one test metric, and how much of it is more than luck.

    The first of `order` has the best score. Every other row is compared with it: users are paired, seeds are drawn
    again (`statistics.contrast`), and with R rows each interval has the level ``1 - 5 % / (R - 1)`` (Bonferroni).
    Rows whose interval holds zero stand among the best with it. Although the first is chosen by its test score, the
    row that is best in truth is left out only where one of R - 1 differences from it seems to be above zero, which
    these intervals do in at most 5 % of repetitions together, as far as each keeps its level (of single seeds, it knows
    of users alone). The second best are found in the same way among the rows that are left.

    Attributes:
        metric: The test metric.
        order: Labels of all rows, the best score first.
        best: Labels of the rows among the best, in that order; all labels where nothing is told apart.
        second: Labels of the second best.
        few_seeds: Labels of rows with fewer seeds than claims need, and their number of seeds.
    """

    metric: str
    order: tuple[str, ...]
    best: tuple[str, ...]
    second: tuple[str, ...]
    few_seeds: Mapping[str, int]

    def mark(self, label: str) -> Mark | None:
        """Return the mark of a row; where all rows are among the best, none has one."""
        if len(self.best) == len(self.order):
            return None
        if label in self.best:
            return "best"
        return "second" if label in self.second else None


def standings_of(rows: Sequence[Row], metrics: Sequence[str], reader: UserScores) -> dict[str, Standing]:
    """Return the standing in each metric that has scores of single users in all rows, and a better side.

    Args:
        rows: Rows of one table.
        metrics: Test metrics.
        reader: Their scores, by fingerprint.

    Raises:
        ArtefactError: Two runs were tested on different users or lists.
    """
    if len(rows) < 2:
        return {}
    few = few_seeds(rows)
    found = {}
    for metric in metrics:
        if not has_direction(metric) or not reader.holds(metric):
            continue
        sign = -1 if lower_is_better([metric]) else 1
        own = reader.of(metric)
        found[metric] = standing_of(
            metric, {row.label: sign * seeds_of(row, own[row.fingerprint]) for row in rows}, few
        )
    return found


def standing_of(metric: str, scores: Mapping[str, DoubleArray], few: Mapping[str, int]) -> Standing:
    """Return the standing of at least two rows.

    Args:
        metric: The test metric.
        scores: By label, more is better, float64 ``[n_seeds, n_users]``, users in one order.
        few: Labels and seeds of rows with too few of them.
    """
    means = {label: group.mean() for label, group in scores.items()}
    order = sorted(scores, key=lambda label: -means[label])  # stable: of equals the first on validation is first
    best = _not_told_apart(order, scores, len(order))
    second = _not_told_apart([label for label in order if label not in best], scores, len(order))
    return Standing(metric, tuple(order), best, second, few)


def few_seeds(rows: Sequence[Row]) -> dict[str, int]:
    """Return label and number of seeds of the rows of which nothing is claimed."""
    return {row.label: len(row.runs) for row in rows if not fixed(row) and len(row.runs) < CLAIM_SEEDS}


def simultaneous(first: DoubleArray, second: DoubleArray, n_rows: int) -> Contrast:
    """Return first minus second with one of ``n_rows - 1`` intervals that hold together with 95 %.

    It is over users alone where a group has one seed.

    Args:
        first: float64 ``[n_seeds, n_users]``.
        second: float64 ``[m_seeds, n_users]``.
        n_rows: Rows of the table.
    """
    alpha = ALPHA / max(n_rows - 1, 1)
    found = contrast(first, second, alpha)
    if found.low is None:
        ends = over_users(first.mean(axis=0) - second.mean(axis=0), alpha)
        return found if ends is None else Contrast(found.difference, *ends)
    return found


def verdict_of(found: Contrast, few: bool) -> Verdict:
    """Return what the interval of a difference says; of few seeds it says nothing."""
    if few or found.low is None or found.high is None:
        return "needs more seeds"
    return "better" if found.low > 0 else "worse" if found.high < 0 else "unclear"


def _not_told_apart(order: Sequence[str], scores: Mapping[str, DoubleArray], n_rows: int) -> tuple[str, ...]:
    """Return the first label, and those whose difference from it is no more than luck."""
    if not order:
        return ()
    first, *others = order
    differences = {label: simultaneous(scores[first], scores[label], n_rows) for label in others}
    return first, *(label for label, found in differences.items() if found.low is None or found.low <= 0)
