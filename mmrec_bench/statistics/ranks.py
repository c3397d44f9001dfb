"""Many systems on many blocks: Friedman's test, and what a critical-difference diagram shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from mmrec_bench.errors import DataError
from mmrec_bench.statistics.scores import ROUNDING
from mmrec_bench.types import DoubleArray


@dataclass(frozen=True, slots=True)
class CriticalDifference:
    """Ranks of systems, and which of them a Nemenyi test cannot tell apart.

    Attributes:
        p_value: Of Friedman's test that all systems rank alike.
        ranks: Mean rank of each system, 1 is best, in the order given.
        critical: Mean ranks that differ by less are not told apart.
        cliques: Largest sets of systems, as places in the order given, best first, that are not told apart: the bars
            of the diagram. Systems in none stand alone.
    """

    p_value: float
    ranks: tuple[float, ...]
    critical: float
    cliques: tuple[tuple[int, ...], ...]


def critical_difference(scores: DoubleArray, alpha: float = 0.05) -> CriticalDifference:
    """Return ranks and critical difference (Demsar, https://www.jmlr.org/papers/v7/demsar06a.html).

    Friedman's statistic is corrected for ties. The critical difference is not, and is too wide where blocks have many.

    Args:
        scores: More is better, float64 ``[n_blocks, n_systems]``. Blocks are independent draws: data sets, or the users
            of one data set, each averaged over seeds, for these very seeds. Several metrics or folds are no blocks.
        alpha: Chance of telling any two systems apart that are the same.

    Raises:
        DataError: Fewer than two blocks or three systems, or scores that are not finite.
    """
    if scores.ndim != 2 or scores.shape[0] < 2 or scores.shape[1] < 3:
        raise DataError(f"ranks need two blocks and three systems or more, [n_blocks, n_systems]; got {scores.shape}")
    if not np.isfinite(scores).all():
        raise DataError("ranks need a finite score of each system on each block; leave incomplete blocks out")
    n_blocks, n_systems = scores.shape
    # What differs by rounding alone, such as means of equal scores over other numbers of seeds, shares a rank.
    scores = (scores / np.maximum(np.abs(scores).max(axis=1, keepdims=True), ROUNDING)).round(10)
    ranks = stats.rankdata(-scores, axis=1).mean(axis=0)
    told_apart = bool(np.ptp(scores, axis=1).any())
    p_value = float(stats.friedmanchisquare(*scores.T).pvalue) if told_apart else 1.0
    quantile = stats.studentized_range.isf(alpha, n_systems, np.inf) / np.sqrt(2)
    critical = float(quantile * np.sqrt(n_systems * (n_systems + 1) / (6 * n_blocks)))
    return CriticalDifference(p_value, tuple(map(float, ranks)), critical, _cliques(ranks, critical))


def _cliques(ranks: DoubleArray, critical: float) -> tuple[tuple[int, ...], ...]:
    order: Sequence[int] = np.argsort(ranks, kind="stable").tolist()
    cliques, reached = [], 0
    for start, first in enumerate(order):
        end = sum(bool(ranks[other] - ranks[first] < critical) for other in order[start:]) + start
        if end > reached and end - start > 1:  # a part of a longer bar is no bar
            cliques.append(tuple(order[start:end]))
        reached = max(reached, end)
    return tuple(cliques)
