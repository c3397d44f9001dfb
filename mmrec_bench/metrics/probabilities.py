"""Metrics of the probabilities of a binary label.

Notation: impression j has label y_j in {0, 1}, predicted probability p_j and a user; P impressions have label 1 and Q
have label 0, and n_u belong to user u.

Every metric is also given as one value a user whose mean over users is the metric: what the user adds to it, linearised
(for AUC, Obuchowski, Biometrics 1997, https://doi.org/10.2307/2533958). The spread of these values is that of the
metric under the drawing of users, whose impressions are not independent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmrec_bench.metrics.base import Direction, Metric
from mmrec_bench.registry import Registry
from mmrec_bench.types import DoubleArray, IntArray

LEAST = 1e-7
"""Probabilities are clipped to [LEAST, 1 - LEAST] before a logarithm is taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Predictions beside the truth.

    Attributes:
        users: User of each impression as a place in 0..n_users-1, int64 ``[N]``; every user has one.
        labels: int8 ``[N]`` of 0 and 1.
        probabilities: float64 ``[N]``.
    """

    users: IntArray
    labels: NDArray[np.int8]
    probabilities: DoubleArray

    @property
    def n_users(self) -> int:
        """Number of users."""
        return int(self.users.max()) + 1 if len(self.users) else 0

    def sums(self, values: NDArray[np.generic] | None = None) -> DoubleArray:
        """Return the sum of a value (or the number) of the impressions of each user, float64 ``[n_users]``."""
        return np.bincount(self.users, values, self.n_users).astype(np.float64)


PerUser = Callable[[Judged], DoubleArray | None]
"""From predictions to a value a user whose mean is the metric, float64 ``[n_users]``; None where it is undefined."""


@dataclass(frozen=True, slots=True)
class ProbabilityMetric(Metric):
    """A metric of predicted probabilities.

    Attributes:
        direction: Which values are better.
        measure: Computes it, as values of users.
    """

    direction: Direction
    measure: PerUser

    def __call__(self, judged: Judged) -> DoubleArray | None:
        """Return a value a user whose mean is the metric, float64 ``[n_users]``; None where it is undefined."""
        return self.measure(judged) if len(judged.users) else None


PROBABILITY_METRICS: Registry[ProbabilityMetric] = Registry("metric of probabilities")


def midranks(groups: IntArray, scores: DoubleArray) -> DoubleArray:
    """Return the rank of each score among those of its group, 1 = lowest, ties at their middle, float64 ``[N]``."""
    order = np.lexsort((scores, groups))
    group, score = groups[order], scores[order]
    new_group = np.r_[True, group[1:] != group[:-1]]
    new_run = new_group | np.r_[True, score[1:] != score[:-1]]
    places = np.arange(len(order))
    starts = places[new_run]
    middle = (starts + np.r_[starts[1:], len(order)] - 1) / 2
    within = middle[np.cumsum(new_run) - 1] - places[new_group][np.cumsum(new_group) - 1]
    ranks = np.empty(len(order))
    ranks[order] = within + 1
    return ranks


def group_aucs(groups: IntArray, scores: DoubleArray, labels: NDArray[np.int8], n_groups: int) -> DoubleArray:
    """Return the share of pairs of a 1 and a 0 of a group that are in order, ties half, float64 ``[n_groups]``.

    NaN where a group has one class alone.
    """
    positive = labels > 0
    ones = np.bincount(groups[positive], minlength=n_groups).astype(np.float64)
    zeros = np.bincount(groups[~positive], minlength=n_groups).astype(np.float64)
    ranks = np.bincount(groups[positive], midranks(groups, scores)[positive], n_groups)
    pairs = ones * zeros
    return np.where(pairs > 0, (ranks - ones * (ones + 1) / 2) / np.maximum(pairs, 1), np.nan)


def auc(labels: NDArray[np.int8], scores: DoubleArray) -> float:
    """Return the area under the ROC curve, NaN where one class is alone."""
    return float(group_aucs(np.zeros(len(labels), np.int64), scores, labels, 1)[0])


def _auc(judged: Judged) -> DoubleArray | None:
    positive = judged.labels > 0
    n_ones, n_zeros = int(positive.sum()), int((~positive).sum())
    if not n_ones or not n_zeros:
        return None
    nobody = np.zeros(len(positive), np.int64)
    among_all = midranks(nobody, judged.probabilities)
    among_class = midranks(positive.astype(np.int64), judged.probabilities)
    below = among_all - among_class  # of the other class: lower scores, ties half
    placement = np.where(positive, below / n_zeros, (n_ones - below) / n_ones)
    area = float(placement[positive].mean())
    share = (placement - area) / np.where(positive, n_ones, n_zeros)
    return area + judged.n_users * judged.sums(share)


def _gauc(judged: Judged) -> DoubleArray | None:
    areas = group_aucs(judged.users, judged.probabilities, judged.labels, judged.n_users)
    weights = np.where(np.isnan(areas), 0.0, judged.sums())
    if not weights.any():
        return None
    mean = float((weights * np.nan_to_num(areas)).sum() / weights.sum())
    shares: DoubleArray = weights * (np.nan_to_num(areas) - mean) / weights.sum()
    return mean + judged.n_users * shares


def _log_loss(judged: Judged) -> DoubleArray:
    p = np.clip(judged.probabilities, LEAST, 1 - LEAST)
    losses = judged.sums(-np.where(judged.labels > 0, np.log(p), np.log1p(-p)))
    return _ratio(losses, judged.sums())


def _calibration(judged: Judged) -> DoubleArray | None:
    clicks, predicted = judged.sums(judged.labels), judged.sums(judged.probabilities)
    if not clicks.any():
        return None
    return _ratio(predicted, clicks)


def _ratio(sums: DoubleArray, sizes: DoubleArray) -> DoubleArray:
    """Return the linearised values of users of a ratio of sums over users."""
    ratio = float(sums.sum() / sizes.sum())
    values: DoubleArray = ratio + (sums - ratio * sizes) * len(sums) / float(sizes.sum())
    return values


for _metric in (
    ProbabilityMetric(
        "auc", 1, "AUC", r"\frac{1}{PQ} \sum_{y_i = 1} \sum_{y_j = 0} [p_i > p_j] + \tfrac12 [p_i = p_j]",
        "pairs of a clicked and an unclicked impression", "higher", _auc,
    ),
    ProbabilityMetric(
        "gauc", 1, "GAUC", r"\sum_u n_u \mathrm{AUC}_u \Big/ \sum_u n_u",
        "impressions of users with impressions of both classes; others do not count", "higher", _gauc,
    ),
    ProbabilityMetric(
        "log-loss", 1, "log loss", r"-\frac{1}{P + Q} \sum_j y_j \log p_j + (1 - y_j) \log (1 - p_j)",
        "impressions", "lower", _log_loss,
    ),
    ProbabilityMetric(
        "calibration", 1, "calibration", r"\sum_j p_j \Big/ \sum_j y_j", "clicks", "one", _calibration
    ),
):  # fmt: skip
    PROBABILITY_METRICS.register(_metric.name, _metric)
