"""Per-user metrics of ranked lists against a set of relevant items.

Notation: T is the set of relevant items of a user (never empty: rule `EMPTY_TRUTH`), h_r is 1 where the item at rank r
is in T and else 0, padding counts as 0, and H_k = h_1 + ... + h_k. All metrics lie in [0, 1] and higher is better.

The same name has other denominators in other toolkits, so each has its own name here. ``recall``, ``ndcg``, ``map`` are
those of MMRec and RecBole (ndcg also of LensKit and PyG); ``recall-min`` is LensKit's recall, and ``ndcg-k`` the ndcg
that RecTools computes by default.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from mmrec_bench.errors import ProtocolError
from mmrec_bench.metrics.base import Direction, Metric
from mmrec_bench.registry import Registry
from mmrec_bench.types import BoolArray, DoubleArray, IntArray

EMPTY_TRUTH: Final = "users without a relevant item are not evaluated, so they stand in no mean"
"""The rule for users with empty truth."""

Curve = Callable[[BoolArray, IntArray], DoubleArray]
"""From hits ``[n, k_max]`` and sizes of truth ``[n]`` to the metric at all cutoffs 1..k_max, float64 ``[n, k_max]``."""


@dataclass(frozen=True, slots=True)
class RankingMetric(Metric):
    """A metric of one user's ranked list.

    Attributes:
        curve: Computes it at all cutoffs at once.
        direction: Which values are better.
    """

    curve: Curve
    direction: Direction = "higher"

    def __call__(self, hits: BoolArray, n_relevant: IntArray, cutoffs: Sequence[int]) -> DoubleArray:
        """Return the metric of each user at each cutoff, unrounded.

        Args:
            hits: Whether the item at each rank is relevant, bool ``[n, k_max]``.
            n_relevant: Number of relevant items of each user, int64 ``[n]``.
            cutoffs: Values of k, each in 1..k_max.

        Returns:
            float64 ``[n, len(cutoffs)]``.

        Raises:
            ProtocolError: A user without a relevant item, more hits than relevant items, or a cutoff beyond the list.
        """
        if hits.ndim != 2 or n_relevant.shape != hits.shape[:1]:
            raise ProtocolError(f"{self.name} needs hits [n, k] and n sizes; got {hits.shape} and {n_relevant.shape}")
        if empty := int((n_relevant < 1).sum()):
            raise ProtocolError(f"{self.name} got {empty} users without a relevant item; {EMPTY_TRUTH}")
        if (hits.sum(axis=1) > n_relevant).any():
            raise ProtocolError(f"{self.name} got more hits than relevant items; is an item ranked twice?")
        places = np.asarray(cutoffs, np.int64) - 1
        if len(places) and (places.min() < 0 or places.max() >= hits.shape[1]):
            raise ProtocolError(
                f"{self.name}@k needs 1 <= k <= {hits.shape[1]}, the length of the lists; got {list(cutoffs)}"
            )
        return np.ascontiguousarray(self.curve(hits, n_relevant)[:, places])


METRICS: Registry[RankingMetric] = Registry("metric")


def _counts(hits: BoolArray) -> DoubleArray:
    return np.cumsum(hits, axis=1, dtype=np.float64)


def _ranks(hits: BoolArray) -> DoubleArray:
    return np.arange(1, hits.shape[1] + 1, dtype=np.float64)


def _reachable(hits: BoolArray, n_relevant: IntArray) -> DoubleArray:
    reachable: DoubleArray = np.minimum(n_relevant[:, None], _ranks(hits))
    return reachable


def _recall(hits: BoolArray, n_relevant: IntArray) -> DoubleArray:
    return _counts(hits) / n_relevant[:, None]


def _recall_min(hits: BoolArray, n_relevant: IntArray) -> DoubleArray:
    return _counts(hits) / _reachable(hits, n_relevant)


def _precision(hits: BoolArray, n_relevant: IntArray) -> DoubleArray:
    return _counts(hits) / _ranks(hits)


def _discounts(hits: BoolArray) -> DoubleArray:
    discounts: DoubleArray = 1.0 / np.log2(_ranks(hits) + 1.0)
    return discounts


def _ndcg(hits: BoolArray, n_relevant: IntArray) -> DoubleArray:
    discounts = _discounts(hits)
    places = np.minimum(n_relevant[:, None], np.arange(1, hits.shape[1] + 1)) - 1
    best: DoubleArray = np.cumsum(discounts)[places]
    return np.cumsum(hits * discounts, axis=1) / best


def _ndcg_k(hits: BoolArray, n_relevant: IntArray) -> DoubleArray:
    discounts = _discounts(hits)
    return np.cumsum(hits * discounts, axis=1) / np.cumsum(discounts)


def _precision_at_hits(hits: BoolArray) -> DoubleArray:
    return np.cumsum(hits * (_counts(hits) / _ranks(hits)), axis=1)


def _map(hits: BoolArray, n_relevant: IntArray) -> DoubleArray:
    return _precision_at_hits(hits) / _reachable(hits, n_relevant)


def _map_truth(hits: BoolArray, n_relevant: IntArray) -> DoubleArray:
    return _precision_at_hits(hits) / n_relevant[:, None]


def _mrr(hits: BoolArray, n_relevant: IntArray) -> DoubleArray:
    return np.maximum.accumulate(hits / _ranks(hits), axis=1)


def _hit_rate(hits: BoolArray, n_relevant: IntArray) -> DoubleArray:
    return np.logical_or.accumulate(hits, axis=1).astype(np.float64)


for _metric in (
    RankingMetric("recall", 1, "Recall", r"H_k / |T|", "all relevant items", _recall),
    RankingMetric("recall-min", 1, "Recall (reachable)", r"H_k / \min(|T|, k)", "relevant items that fit", _recall_min),
    RankingMetric("precision", 1, "Precision", r"H_k / k", "places of the list", _precision),
    RankingMetric(
        "ndcg", 1, "NDCG",
        r"\sum_{r=1}^{k} \frac{h_r}{\log_2(r + 1)} \Big/ \sum_{r=1}^{\min(|T|, k)} \frac{1}{\log_2(r + 1)}",
        "the best list of min(|T|, k) relevant items", _ndcg,
    ),
    RankingMetric(
        "ndcg-k", 1, "NDCG (full list)",
        r"\sum_{r=1}^{k} \frac{h_r}{\log_2(r + 1)} \Big/ \sum_{r=1}^{k} \frac{1}{\log_2(r + 1)}",
        "a list of k relevant items, whether or not there are k", _ndcg_k,
    ),
    RankingMetric(
        "map", 1, "MAP", r"\frac{1}{\min(|T|, k)} \sum_{r=1}^{k} h_r H_r / r", "relevant items that fit", _map
    ),
    RankingMetric("map-truth", 1, "MAP (all relevant)", r"\frac{1}{|T|} \sum_{r=1}^{k} h_r H_r / r",
                  "all relevant items", _map_truth),
    RankingMetric("mrr", 1, "MRR", r"\max_{r \le k} h_r / r", "rank of the first hit", _mrr),
    RankingMetric("hit-rate", 1, "Hit rate", r"[H_k > 0]", "none: 1 where any place hits", _hit_rate),
):  # fmt: skip
    METRICS.register(_metric.name, _metric)
