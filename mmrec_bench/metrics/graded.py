"""Metrics of lists of graded labels, one value a list and cutoff.

Notation: y_r is the label at rank r, 0 where padded or beyond the end of the list; g(y) its gain, 2^y - 1 or y; h_r is
1 where y_r >= 1 and else 0; H_k = h_1 + ... + h_k; R is the number of relevant items (y >= 1), those included that the
list lacks; y*_1 >= y*_2 >= ... are all labels in falling order, missed ones (label 1) included. All metrics lie in
[0, 1] and higher is better. What toolkits leave unsaid is said by `GradedOptions`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import PositiveInt

from mmrec_bench.errors import ProtocolError
from mmrec_bench.metrics.base import Direction, Metric
from mmrec_bench.metrics.judged import PADDING, EmptyRule, GradedValues, Judged, fitted, gains, judged, ranks, ratio
from mmrec_bench.registry import Registry
from mmrec_bench.settings import BaseConfig
from mmrec_bench.types import DoubleArray, IntArray


class GradedOptions(BaseConfig):
    """Conventions in which libraries differ under one metric name."""

    gain: Literal["exp2", "linear"] = "exp2"
    """Gain of NDCG. ``exp2``: 2^y - 1 (Burges et al. 2005; TF-Ranking, Rax, LightGBM, ``ndcg_burges`` of ranx).
    ``linear``: y (Jarvelin and Kekalainen 2002; trec_eval, ``ndcg`` of ranx, scikit-learn)."""
    max_label: PositiveInt | None = None
    """Label that satisfies a reader of ERR with probability 1 - 2^-label; larger labels are an error. None takes the
    largest label of the lists given, so that values of different calls may not be comparable."""
    ap_denominator: Literal["total", "min", "hits"] = "total"
    """Denominator of average precision at k. ``total``: all relevant items (TREC). ``min``: those that fit, min(R, k).
    ``hits``: those found, which rewards lists that find few (DRSR, LibRerank)."""
    empty: EmptyRule = "skip"
    """Lists without any relevant item. ``skip``: in no mean. 0 or 1: this value for all metrics (0: TF-Ranking, Rax,
    ranx; 1: LightGBM, allRank)."""
    ties: Literal["hash", "average"] = "hash"
    """Items of equal score. ``hash``: in the order given, which a seeded hash has decided. ``average``: the expectation
    over all their orders (McSherry and Najork 2008), for metrics linear in gains; needs scores."""


@dataclass(frozen=True, slots=True, eq=False)
class Graded:
    """What curves are computed from; k_max is the largest cutoff.

    Attributes:
        judged: The lists.
        gains: g(y_r), or its mean over ties, float64 ``[n, k_max]``.
        hits: h_r, or its mean over ties, float64 ``[n, k_max]``.
        options: Conventions.
    """

    judged: Judged
    gains: DoubleArray
    hits: DoubleArray
    options: GradedOptions

    @property
    def ranks(self) -> DoubleArray:
        """1 to k_max."""
        return ranks(self.gains.shape[1])


Curve = Callable[[Graded], DoubleArray]
"""The metric at all cutoffs 1..k_max, float64 ``[n, k_max]``."""


@dataclass(frozen=True, slots=True)
class GradedMetric(Metric):
    """A metric of one list of graded labels.

    Attributes:
        curve: Computes it at all cutoffs at once.
        linear: Whether it is linear in gains, so that ties can be averaged.
        against: What the list holds: relevance labels, or clicks (0 or 1).
        direction: Which values are better.
    """

    curve: Curve
    linear: bool = False
    against: Literal["labels", "clicks"] = "labels"
    direction: Direction = "higher"

    def __call__(
        self,
        ranked: IntArray,
        cutoffs: Sequence[int],
        options: GradedOptions | None = None,
        *,
        missed: IntArray | None = None,
        scores: DoubleArray | None = None,
    ) -> GradedValues:
        """Return the metric of each list at each cutoff.

        Args:
            ranked: Labels in the order ranked, whole numbers ``[n, L]``, -1 = padding at the end. The whole list, not
                its top, as the best order is made of it.
            cutoffs: Values of k from 1 on; a list may be shorter.
            options: Conventions; None takes the defaults.
            missed: Relevant items (label 1) that each list lacks, int64 ``[n]``; None is none.
            scores: In the order ranked, so never rising, ``[n, L]``; for ``ties: average`` alone.

        Raises:
            ProtocolError: Arrays, cutoffs or options that break these rules.
        """
        options = options or GradedOptions()
        lists = judged(ranked, cutoffs, missed)
        self._check(lists, options)
        gained, hits = gains(lists.ranked, options.gain), gains(lists.ranked, "binary")
        if options.ties == "average":
            groups = tie_groups(lists.ranked, scores)
            gained, hits = averaged(gained, groups), averaged(hits, groups)
        depth = lists.depth
        curve = self.curve(Graded(lists, _fit(gained, depth), _fit(hits, depth), options))
        return lists.settle(np.minimum(curve, 1.0), options.empty)  # only rounding can have led above 1

    def _check(self, lists: Judged, options: GradedOptions) -> None:
        if options.ties == "average" and not self.linear:
            linear = ", ".join(name for name in GRADED_METRICS if GRADED_METRICS[name].linear)
            raise ProtocolError(f"ties: average is for metrics linear in gains ({linear}); got {self.name}. Use hash")
        if options.max_label is not None and lists.max_label > options.max_label:
            raise ProtocolError(
                f"labels must be at most max_label ({options.max_label}); got {lists.max_label}. Raise "
                "protocol.options.max_label"
            )
        if self.against == "clicks" and (lists.max_label > 1 or lists.missed.any()):
            raise ProtocolError(
                f"{self.name} takes clicks, 0 or 1, of shown items; got {lists.max_label} as the largest and "
                f"{lists.missed.sum()} missed. Use ndcg for labels"
            )


def tie_groups(ranked: IntArray, scores: DoubleArray | None) -> IntArray:
    """Return a number for each run of equal scores of a list, int64 ``[n * L]``, rising from 0.

    Raises:
        ProtocolError: No scores, another shape, NaN, or a score above the one before.
    """
    if scores is None or scores.shape != ranked.shape:
        got = "none" if scores is None else f"shape {scores.shape}"
        raise ProtocolError(f"ties: average needs scores in the shape of the labels, {ranked.shape}; got {got}")
    real = ranked != PADDING
    if np.isnan(scores[real]).any() or (real[:, 1:] & (scores[:, 1:] > scores[:, :-1])).any():
        raise ProtocolError("scores must be numbers that never rise down a list: pass them in the order ranked")
    starts = np.ones(ranked.shape, np.bool_)
    starts[:, 1:] = (scores[:, 1:] != scores[:, :-1]) | (real[:, 1:] != real[:, :-1])
    return np.asarray(np.cumsum(starts) - 1, np.int64)


def averaged(values: DoubleArray, groups: IntArray) -> DoubleArray:
    """Return values replaced by the mean of their group, in their shape."""
    means = np.bincount(groups, values.reshape(-1)) / np.maximum(np.bincount(groups), 1)
    return np.asarray(means[groups].reshape(values.shape), np.float64)


def _fit(values: DoubleArray, depth: int) -> DoubleArray:
    return np.pad(values[:, :depth], ((0, 0), (0, max(0, depth - values.shape[1]))))


GRADED_METRICS: Registry[GradedMetric] = Registry("graded metric")


def _ndcg(lists: Graded) -> DoubleArray:
    discounts = 1.0 / np.log2(lists.ranks + 1)
    best = gains(lists.judged.ideal(), lists.options.gain)
    return ratio(np.cumsum(lists.gains * discounts, axis=1), np.cumsum(best * discounts, axis=1))


def _map(lists: Graded) -> DoubleArray:
    found = np.cumsum(lists.hits, axis=1)
    n_relevant = lists.judged.n_relevant[:, None]
    denominators = {"total": n_relevant, "min": np.minimum(n_relevant, lists.ranks), "hits": found}
    precisions = np.cumsum(lists.hits * found / lists.ranks, axis=1)
    return ratio(precisions, denominators[lists.options.ap_denominator])


def _mrr(lists: Graded) -> DoubleArray:
    return np.maximum.accumulate(lists.hits / lists.ranks, axis=1)


def _err(lists: Graded) -> DoubleArray:
    largest = lists.options.max_label or lists.judged.max_label
    labels = np.maximum(fitted(lists.judged.ranked, lists.judged.depth), 0)
    satisfied = np.exp2(labels - float(largest)) - np.exp2(-float(largest))
    reading = np.ones_like(satisfied)
    np.cumprod(1 - satisfied[:, :-1], axis=1, out=reading[:, 1:])
    return np.cumsum(reading * satisfied / lists.ranks, axis=1)


def _precision(lists: Graded) -> DoubleArray:
    return np.cumsum(lists.hits, axis=1) / lists.ranks


def _recall(lists: Graded) -> DoubleArray:
    return ratio(np.cumsum(lists.hits, axis=1), lists.judged.n_relevant[:, None])


_NDCG = r"\sum_{r=1}^{k} \frac{g(y_r)}{\log_2(r + 1)} \Big/ \sum_{r=1}^{k} \frac{g(y^*_r)}{\log_2(r + 1)}"

for _metric in (
    GradedMetric("ndcg", 1, "NDCG", _NDCG, "the best order of all items, missed ones included", _ndcg, linear=True),
    GradedMetric(
        "clicked-ndcg", 1, "NDCG of clicks", _NDCG, "the clicked items first", _ndcg, linear=True, against="clicks"
    ),
    GradedMetric(
        "map", 1, "MAP", r"\frac{1}{D} \sum_{r=1}^{k} h_r H_r / r,\ D = R, \min(R, k) \text{ or } H_k",
        "the option ap_denominator", _map,
    ),
    GradedMetric("mrr", 1, "MRR", r"\max_{r \le k} h_r / r", "rank of the first relevant item", _mrr),
    GradedMetric(
        "err", 1, "ERR",
        r"\sum_{r=1}^{k} \frac{s_r}{r} \prod_{j < r} (1 - s_j),\ s_r = \frac{2^{y_r} - 1}{2^{y_{\max}}}",
        "rank at which the reader is satisfied (Chapelle et al. 2009, https://doi.org/10.1145/1645953.1646033)", _err,
    ),
    GradedMetric("precision", 1, "Precision", r"H_k / k", "places, those beyond a short list too", _precision,
                 linear=True),
    GradedMetric("recall", 1, "Recall", r"H_k / R", "all relevant items, missed ones included", _recall, linear=True),
):  # fmt: skip
    GRADED_METRICS.register(_metric.name, _metric)
