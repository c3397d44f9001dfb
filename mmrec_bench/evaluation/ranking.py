"""The evaluator of the ranking task: given lists, put in order, against graded labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch

from mmrec_bench.data.lists import Lists
from mmrec_bench.errors import DataError, ModelError, ProtocolError
from mmrec_bench.evaluation.ranking_protocol import RankingProtocol
from mmrec_bench.metrics.graded import GRADED_METRICS, GradedOptions
from mmrec_bench.metrics.identity import MetricId
from mmrec_bench.metrics.judged import GradedValues
from mmrec_bench.metrics.simulated import SimulatedMetric
from mmrec_bench.models.ranking.base import Ranker
from mmrec_bench.models.ranking.padding import PaddedLists
from mmrec_bench.types import BoolArray, DoubleArray, FloatArray, IntArray

BLOCK_LISTS = 4096
"""Lists arranged at once, fewer where they are long."""
BLOCK_ROWS = 1 << 17


@dataclass(frozen=True, slots=True, eq=False)
class RankingEvaluation:
    """Everything measured of one ranker on one held-out part.

    Attributes:
        order: Row of each list at each place, int64 ``[n_lists, L]``, -1 = padding.
        scores: Score of the row at each place, float32 ``[n_lists, L]``, -inf = padding.
        counted: Lists that stand in the mean of some metric, bool ``[n_lists]``.
        per_list: By metric such as ``ndcg@10``, float64 ``[n_lists]``, unrounded; NaN where a list does not count for
            it: each metric has its own rule for lists without anything relevant, or without a click.
        means: By metric, the mean over the lists that count for it, unrounded.
    """

    order: IntArray
    scores: FloatArray
    counted: BoolArray
    per_list: Mapping[str, DoubleArray]
    means: Mapping[str, float]


class RankingEvaluator:
    """Evaluates rankers on one held-out part.

    Args:
        lists: Lists with labels.
        ties: Canonical rank of each item among equal scores, int64 ``[n_items]``.
        metrics: Registered names of graded metrics.
        cutoffs: Values of k, rising.
        options: Gain, denominators, ties, empty lists.
        device: Where models live.
        simulated: Further metrics by name, which click models compute.

    Raises:
        ProtocolError: The lists hold no labels, no list has a relevant row, a metric needs clicks and there are none,
            or labels exceed the scale of a metric.
    """

    def __init__(
        self,
        lists: Lists,
        ties: IntArray,
        metrics: Sequence[str],
        cutoffs: Sequence[int],
        options: GradedOptions,
        device: torch.device,
        simulated: Mapping[str, SimulatedMetric] = MappingProxyType({}),
    ) -> None:
        if lists.labels is None:
            raise ProtocolError(
                "rankings are judged against labels, and the held-out lists hold none. Choose a data set with labels, "
                "or a model of clicks (task ctr) with dataset.impressions: shown"
            )
        self._lists, self._ties, self._device, self._labels = lists, ties, device, lists.labels
        self._simulated = simulated
        self._metrics, self._cutoffs, self._options = tuple(metrics), tuple(cutoffs), options
        self._offsets = lists.offsets()
        self._missed = np.zeros(lists.n_lists, np.int64) if lists.missed is None else lists.missed
        relevant = np.bincount(lists.list_of, lists.labels > 0, lists.n_lists) + self._missed
        if not relevant.any():
            raise ProtocolError(
                "no held-out list has a relevant row (label of at least 1), so there is nothing to judge. Choose "
                "another protocol.split, or data with such rows"
            )
        for name in metrics:
            if GRADED_METRICS[name].against == "clicks" and (lists.clicks is None or not lists.clicks.any()):
                raise ProtocolError(
                    f"metric '{name}' needs clicks, and the held-out lists hold none. Remove it from protocol.metrics"
                )
        self._try(int(lists.labels.max()))

    @classmethod
    def of(cls, protocol: RankingProtocol, lists: Lists, ties: IntArray, device: torch.device) -> RankingEvaluator:
        """Return the evaluator of a protocol; errors are those of the class."""
        simulated = {name: found.metric(name) for name, found in protocol.simulated.items()}
        return cls(lists, ties, protocol.metrics, protocol.cutoffs, protocol.options, device, simulated)

    def _try(self, largest: int) -> None:
        """Measure a list of the largest label alone, so that a scale it exceeds is told before anything is trained."""
        for name in self._metrics:
            metric = GRADED_METRICS[name]
            label = largest if metric.against == "labels" else 1
            metric(np.array([[label]]), self._cutoffs, self._options, scores=np.zeros((1, 1)))
        for name, simulated in self._simulated.items():
            try:
                simulated(np.array([[largest]]), self._cutoffs)
            except DataError as error:
                raise ProtocolError(f"protocol.simulated.{name}: {error}") from None

    def evaluate(self, ranker: Ranker) -> RankingEvaluation:
        """Put every list in order and measure it.

        Raises:
            ModelError: An order that repeats or leaves out rows, or scores that are no numbers.
        """
        return self.judged(*arranged(ranker, self._lists, self._ties, self._device))

    def judged(self, order: IntArray, scores: FloatArray) -> RankingEvaluation:
        """Measure orders of all lists, whoever has made them; arguments are what `arranged` returns."""
        counted = np.zeros(len(order), np.bool_)
        per_list, means = dict[str, DoubleArray](), dict[str, float]()
        for name, found in self._measured(order, scores).items():
            counted |= found.counted
            values = np.where(found.counted[:, None], found.values, np.nan)
            for place, (k, mean) in enumerate(zip(self._cutoffs, found.mean(), strict=True)):
                per_list[str(MetricId(name, k))], means[str(MetricId(name, k))] = values[:, place], float(mean)
        return RankingEvaluation(order, scores, counted, MappingProxyType(per_list), MappingProxyType(means))

    def _measured(self, order: IntArray, scores: FloatArray) -> dict[str, GradedValues]:
        labels, found = self._in_order(order, self._labels), {}
        for name in self._metrics:
            metric = GRADED_METRICS[name]
            ranked, missed = labels, self._missed
            if metric.against == "clicks":
                assert self._lists.clicks is not None
                ranked, missed = self._in_order(order, self._lists.clicks.astype(np.int64)), np.zeros_like(missed)
            found[name] = metric(ranked, self._cutoffs, self._options, missed=missed, scores=scores.astype(np.float64))
        for name, simulated in self._simulated.items():
            found[name] = simulated(labels, self._cutoffs, missed=self._missed)
        return found

    def _in_order(self, order: IntArray, facts: IntArray) -> IntArray:
        """Return a fact of each row in the order ranked, -1 where padded."""
        rows = np.minimum(self._offsets[:-1, None] + np.maximum(order, 0), len(facts) - 1)
        return np.where(order >= 0, facts[rows], -1)


@torch.no_grad()
def arranged(ranker: Ranker, lists: Lists, ties: IntArray, device: torch.device) -> tuple[IntArray, FloatArray]:
    """Put lists in order.

    Args:
        ranker: On the device, in evaluation mode.
        lists: What to order; labels and clicks are not looked at.
        ties: Canonical rank of each item among equal scores, int64 ``[n_items]``.
        device: Where the ranker lives.

    Returns:
        Row of each list at each place, int64 ``[n_lists, L]``, -1 = padding; and its score, float32, -inf = padding.

    Raises:
        ModelError: An order that repeats or leaves out rows, or scores that are no numbers.
    """
    lengths = lists.lengths()
    n, longest = len(lengths), int(lengths.max(initial=0))
    order, scores = np.full((n, longest), -1, np.int64), np.full((n, longest), -np.inf, np.float32)
    padded = PaddedLists(lists, ties, device, ranker.history_length)
    block = max(1, min(BLOCK_LISTS, BLOCK_ROWS // max(longest, 1)))
    by_length = np.argsort(lengths, kind="stable")  # little padding
    for start in range(0, n, block):
        rows = by_length[start : start + block]
        inputs = padded.inputs(torch.tensor(rows, device=device))
        arrangement = ranker.arrange(inputs)
        width = inputs.mask.shape[1]
        order[rows, :width] = arrangement.order.cpu().numpy()
        scores[rows, :width] = arrangement.scores.float().cpu().numpy()
    _check(order, scores, lengths, type(ranker).__name__)
    return order, scores


def _check(order: IntArray, scores: FloatArray, lengths: IntArray, name: str) -> None:
    places = np.arange(order.shape[1])
    expected = np.where(places < lengths[:, None], places, order.shape[1])
    if (np.sort(np.where(order < 0, order.shape[1], order), axis=1) != expected).any():
        raise ModelError(f"{name} must put every row of a list at one place; rows repeat or are left out")
    if np.isnan(scores).any():
        raise ModelError(f"{name} gave scores that are not numbers (NaN); it has diverged. Lower learning_rate")
