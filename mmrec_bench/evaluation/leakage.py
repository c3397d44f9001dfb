"""How much better one set of probabilities is than another, over users and seeds, and what can be said of it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mmrec_bench.metrics.bootstrap import UserDraws, auc_draws
from mmrec_bench.metrics.probabilities import PROBABILITY_METRICS, Judged, auc
from mmrec_bench.seeding import Seeds
from mmrec_bench.types import DoubleArray, FloatArray, IntArray

LEVEL, POWER = 0.95, 0.8
"""Level of intervals, and power at which the minimum detectable effect is stated."""

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
        draws: Mean difference in each draw of users and of seeds, float64 ``[n_draws]``.
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
        """Percentiles of the draws; those with one class alone have no AUC, and are left out."""
        low, high = np.nanquantile(self.draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(low), float(high)

    @property
    def detectable(self) -> float:
        """The minimum detectable effect: what is found at this level with this power, by the spread of the draws."""
        normal = NormalDist()
        return (normal.inv_cdf((1 + LEVEL) / 2) + normal.inv_cdf(POWER)) * float(np.nanstd(self.draws, ddof=1))

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
        if bound.interval[0] <= 0 or bound.mean <= 0:
            return None
        low, high = np.nanquantile(self.draws / bound.draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return self.mean / bound.mean, float(low), float(high)


class Comparison:
    """Compares probabilities with those of a baseline.

    Args:
        users: User of each impression as a place in 0..n_users-1, int64 ``[N]``.
        labels: int8 ``[N]`` of 0 and 1, both there.
        baseline: Probabilities of each seed, float32 ``[S, N]``.
        draws: How often each user is drawn, int32 ``[n_draws, n_users]``.
        seed: Seed of the draws of seeds, with replacement, which go with those of users.
    """

    def __init__(
        self, users: IntArray, labels: NDArray[np.int8], baseline: FloatArray, draws: UserDraws, seed: int = 0
    ) -> None:
        self._users, self._labels, self._draws = users, labels, draws
        self._picked = Seeds(seed).numpy("bootstrap-seeds").integers(len(baseline), size=(len(draws), len(baseline)))
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
        drawn = np.take_along_axis(self._draw(scores) - self._drawn, self._picked.T, axis=0).mean(axis=0)
        return Impact(per_seed, gauc, drawn)

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
