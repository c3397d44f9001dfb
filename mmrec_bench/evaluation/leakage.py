"""How much better one set of probabilities is than another, over users and seeds, and what can be said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mmrec_bench.metrics.bootstrap import UserDraws, auc_draws
from mmrec_bench.metrics.probabilities import PROBABILITY_METRICS, Judged, auc
from mmrec_bench.statistics.contrast import LEVEL
from mmrec_bench.statistics.power import reach
from mmrec_bench.types import DoubleArray, FloatArray, IntArray

POWER = 0.8
"""Power at which the minimum detectable effect is stated."""

Verdict: TypeAlias = Literal["gain", "small gain", "small loss", "loss", "none", "underpowered"]
"""``gain`` and ``loss``: the interval is on one side of 0, and the mean beyond the margin; ``small``: not beyond it;
``none``: the interval holds 0, and an effect of the margin would have been found; ``underpowered``: it holds 0, and
such an effect would have been missed."""


@dataclass(frozen=True, slots=True, eq=False)
class Impact:
    """The difference of two AUCs on the same impressions.

    Attributes:
        per_seed: Difference of each seed.
        gauc: Difference of GAUC, mean over seeds; None where it is undefined.
        draws: Difference of each seed in each draw of users, float64 ``[S, n_draws]``; NaN where it is undefined.
    """

    per_seed: tuple[float, ...]
    gauc: float | None
    draws: DoubleArray

    @property
    def mean(self) -> float:
        """The difference, mean over seeds."""
        return float(np.mean(self.per_seed))

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of the mean, over users and seeds; of a single seed over users alone."""
        return _interval(self.mean, self.draws.mean(axis=0), _variance_of_seeds(self.per_seed, self.draws), self._n)

    @property
    def detectable(self) -> float:
        """The minimum detectable effect: what is found at this level with this power, by the spread of both."""
        users, seeds = np.nanvar(self.draws.mean(axis=0), ddof=1), _variance_of_seeds(self.per_seed, self.draws)
        of_users, of_seeds = (reach(freedom, 1 - LEVEL, POWER) for freedom in (np.inf, _freedom(self._n)))
        return float(np.sqrt(users * of_users**2 + seeds * of_seeds**2))

    def verdict(self, margin: float) -> Verdict:
        """Return what the interval says, with the smallest difference that counts."""
        low, high = self.interval
        if low > 0:
            return "gain" if self.mean > margin else "small gain"
        if high < 0:
            return "loss" if self.mean < -margin else "small loss"
        return "none" if self.detectable <= margin else "underpowered"

    def ratio(self, bound: Impact) -> tuple[float, float, float] | None:
        """Return this difference as a share of another, with its interval; None where that of the other holds 0."""
        if bound.interval[0] <= 0:
            return None
        share = self.mean / bound.mean
        # What a seed adds to a ratio of means, linearised.
        per_seed = (np.array(self.per_seed) - share * np.array(bound.per_seed)) / bound.mean
        of_seeds = _variance_of_seeds(per_seed, (self.draws - share * bound.draws) / bound.mean)
        drawn = self.draws.mean(axis=0) / bound.draws.mean(axis=0)
        return share, *_interval(share, drawn, of_seeds, self._n)

    @property
    def _n(self) -> int:
        return len(self.per_seed)


def _interval(center: float, drawn: DoubleArray, of_seeds: float, n_seeds: int) -> tuple[float, float]:
    """Return an interval: percentiles of draws of users, widened by what seeds bring.

    As in `statistics.contrast`, each part has its own quantile: of draws for users, and of Student's t with S - 1
    degrees of freedom for seeds, whose few draws would be too narrow. Draws with one class alone have no AUC, and are
    left out.

    Args:
        center: What was found.
        drawn: The same in each draw of users, float64 ``[n_draws]``.
        of_seeds: Variance that seeds bring to it.
        n_seeds: Their number S.
    """
    low, high = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    seeds = stats.t.isf((1 - LEVEL) / 2, _freedom(n_seeds)) * np.sqrt(of_seeds)
    below, above = np.hypot(max(center - low, 0.0), seeds), np.hypot(max(high - center, 0.0), seeds)
    return float(center - below), float(center + above)


def _variance_of_seeds(per_seed: Sequence[float] | DoubleArray, draws: DoubleArray) -> float:
    """Return the variance that seeds bring to their mean, beyond what they do to single users; zero of one seed.

    The latter moves the draws of users already, and is taken out once: it is what the draws of seeds differ by.

    Args:
        per_seed: Value of each seed, ``[S]``.
        draws: The same in each draw of users, float64 ``[S, n_draws]``.
    """
    n_seeds = len(per_seed)
    if n_seeds < 2:
        return 0.0
    single = np.nanvar(draws - draws.mean(axis=0), axis=1, ddof=1).sum() / (n_seeds - 1)
    return max(float(np.var(per_seed, ddof=1) - single) / n_seeds, 0.0)


def _freedom(n_seeds: int) -> int:
    """Return the degrees of freedom of a variance of seeds; that of a single one is zero, whatever they are."""
    return max(n_seeds - 1, 1)


class Comparison:
    """Compares probabilities with those of a baseline.

    Args:
        users: User of each impression as a place in 0..n_users-1, int64 ``[N]``.
        labels: int8 ``[N]`` of 0 and 1, both there.
        baseline: Probabilities of each seed, float32 ``[S, N]``.
        draws: How often each user is drawn, int32 ``[n_draws, n_users]``.
    """

    def __init__(self, users: IntArray, labels: NDArray[np.int8], baseline: FloatArray, draws: UserDraws) -> None:
        self._users, self._labels, self._draws = users, labels, draws
        self.aucs = tuple(auc(labels, scores.astype(np.float64)) for scores in baseline)
        """AUC of the baseline by seed."""
        self._gaucs = self._gauc(baseline)
        self._drawn = self._draw(baseline)

    def of(self, scores: FloatArray) -> Impact:
        """Return what other probabilities, float32 ``[S, N]``, gain over the baseline, seed by seed."""
        own = (auc(self._labels, each.astype(np.float64)) for each in scores)
        per_seed = tuple(one - other for one, other in zip(own, self.aucs, strict=True))
        gaucs = self._gauc(scores)
        gauc = None if gaucs is None or self._gaucs is None else float(np.mean(gaucs) - np.mean(self._gaucs))
        return Impact(per_seed, gauc, self._draw(scores) - self._drawn)

    def _draw(self, scores: FloatArray) -> DoubleArray:
        """Return the AUC of each seed in each draw of users, float64 ``[S, n_draws]``."""
        return np.stack(
            [auc_draws(self._users, self._labels, row.astype(np.float64), self._draws) for row in scores]
        )  # fmt: skip

    def _gauc(self, scores: FloatArray) -> list[float] | None:
        found = []
        for row in scores:
            values = PROBABILITY_METRICS["gauc"](Judged(self._users, self._labels, row.astype(np.float64)))
            if values is None:
                return None
            found.append(float(values.mean()))
        return found
