"""Metrics of sessions over several rounds: did the user find an item, and how soon?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mmrec_bench.types import DoubleArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Courses:
    """How sessions went.

    Attributes:
        found: Rounds that were over when a wanted item was clicked, int64 ``[S]``; -1 where none was.
        ranks: Place of the first wanted item among the candidates that were not shown, when 0, 1, ..., R rounds were
            over, int64 ``[S, R + 1]``; 1 from the moment it was found; 0 where no wanted item is left.
        left: Rounds that were over when the user left without an item, int64 ``[S]``; -1 for those who stayed.
        n_candidates: int64 ``[S]``.
    """

    found: IntArray
    ranks: IntArray
    left: IntArray
    n_candidates: IntArray


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What counts.

    Attributes:
        last_guess: Whether the best item after K rounds is shown once more, and counts as K rounds.
        penalty: Rounds that a failure counts beyond K.
    """

    last_guess: bool = True
    penalty: float = 3.0


@dataclass(frozen=True, slots=True)
class SessionMetric:
    """A number of each session when at most K rounds are played.

    Attributes:
        name: Name in YAML; ``name@K`` in tables.
        formula: What it is, in words.
        higher_is_better: Direction.
        version: Raised whenever the same sessions would give other numbers.
        compute: From courses, K and options to float64 ``[S]``.
    """

    name: str
    formula: str
    higher_is_better: bool
    version: int
    compute: Callable[[Courses, int, SessionOptions], DoubleArray]


def _succeeds(courses: Courses, k: int, options: SessionOptions) -> tuple[DoubleArray, DoubleArray]:
    """Return who finds an item within K rounds, and who with the last guess after them."""
    within = (courses.found >= 0) & (courses.found < k)
    stayed = (courses.left < 0) | (courses.left > k)
    last = ~within & stayed & (courses.ranks[:, k] == 1) & options.last_guess
    return within.astype(np.float64), last.astype(np.float64)


def _success(courses: Courses, k: int, options: SessionOptions) -> DoubleArray:
    within, last = _succeeds(courses, k, options)
    return within + last


def _turns(courses: Courses, k: int, options: SessionOptions) -> DoubleArray:
    within, last = _succeeds(courses, k, options)
    failed = 1 - within - last
    return within * courses.found + last * k + failed * (k + options.penalty)


def _rank(courses: Courses, k: int, options: SessionOptions) -> DoubleArray:
    ranks = courses.ranks[:, k]
    return np.where(ranks > 0, ranks, courses.n_candidates).astype(np.float64)


def _reciprocal_rank(courses: Courses, k: int, options: SessionOptions) -> DoubleArray:
    ranks = courses.ranks[:, k]
    return np.where(ranks > 0, 1 / np.maximum(ranks, 1), 0.0)


SESSION_METRICS: Mapping[str, SessionMetric] = {
    metric.name: metric
    for metric in (
        SessionMetric(
            "success",
            "1 if a wanted item is clicked within K rounds, or is the last guess after them",
            True,
            1,
            _success,
        ),
        SessionMetric(
            "turns",
            "rounds before the one in which a wanted item is clicked; K for the last guess, K + penalty for a failure",
            False,
            1,
            _turns,
        ),
        SessionMetric(
            "first-rank",
            "place of the first wanted item after K rounds; the number of candidates where none is left",
            False,
            1,
            _rank,
        ),
        SessionMetric(
            "mrr",
            "reciprocal place of the first wanted item after K rounds, 0 where none is left",
            True,
            1,
            _reciprocal_rank,
        ),
    )
}
"""Metrics of sessions by name.

Source of success and turns: the released protocol of CORE (Jin et al., NeurIPS 2023).
"""
