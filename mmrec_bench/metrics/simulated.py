"""Metrics that a click model computes: what a user who browses as it says is expected to gain from a list.

Sim@k = E[d_1 w_1 + ... + d_k w_k], where d_r is the weight of rank r and w_r what the user takes from it: the gain of
the label if the row is examined (exposure form), or 1 if it is clicked (click form). nSim@k divides by Sim@k of the
labels in falling order. DCG, precision, rank-biased precision, ERR and the reciprocal rank are Sim@k of some model.

A reconstruction: STARank (https://arxiv.org/abs/2308.02860) proposes metrics from position-based and user browsing
models with existing metrics as special cases; its formulas were not at hand. Unlike `clicked-ndcg`, which judges an
order by clicks that another order got, examination here follows the order that is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from mmrec_bench.errors import ProtocolError
from mmrec_bench.metrics.base import Direction
from mmrec_bench.metrics.judged import PADDING, EmptyRule, GradedValues, Judged, gains, judged, ranks
from mmrec_bench.settings import BaseConfig
from mmrec_bench.types import DoubleArray, IntArray


class Expectations(Protocol):
    """Exact probabilities of a click model."""

    @property
    def examination(self) -> DoubleArray:
        """That each row is examined, float64 ``[n, L]``."""

    @property
    def clicks(self) -> DoubleArray:
        """That it is clicked, float64 ``[n, L]``."""


Expect = Callable[[IntArray], Expectations]
"""From labels in the order shown, int64 ``[n, L]`` with -1 = padding, to their expectations; `ClickModel.expected` is
one. A row must not depend on those below it: lists are cut at the largest cutoff first."""


class SimulatedOptions(BaseConfig):
    """What is summed."""

    reward: Literal["exp2", "linear", "binary", "click"] = "exp2"
    """What a rank gives. Exposure form, the gain of an examined label y: ``exp2`` 2^y - 1, ``linear`` y, ``binary``
    1 where y >= 1. Click form: ``click``, 1 where the row is clicked."""
    weights: Literal["uniform", "reciprocal", "mean"] = "uniform"
    """Weight d_r of rank r. ``uniform``: 1. ``reciprocal``: 1/r. ``mean``: 1/k."""
    empty: EmptyRule = "skip"
    """Lists without any relevant item. ``skip``: in no mean. 0 or 1: this value of nSim."""


@dataclass(frozen=True, slots=True)
class SimulatedMetric:
    """nSim@k under a click model.

    nSim exceeds 1 marginally where the model examines some rank more than one above it (as the position bias of
    STARank's code does at rank 10): then falling labels are not the best order. It is not clipped.

    Attributes:
        name: Such as ``nsim-pbm``.
        expect: The click model.
        options: What is summed.
        version: Raised when the numbers change.
        direction: Which values are better.
    """

    name: str
    expect: Expect
    options: SimulatedOptions = field(default_factory=SimulatedOptions)
    version: int = 1
    direction: Direction = "higher"

    def __call__(self, ranked: IntArray, cutoffs: Sequence[int], *, missed: IntArray | None = None) -> GradedValues:
        """Return nSim@k of each list.

        Args:
            ranked: Labels in the order ranked, whole numbers ``[n, L]``, -1 = padding at the end; the whole list.
            cutoffs: Values of k from 1 on; a list may be shorter.
            missed: Relevant items (label 1) that each list lacks, int64 ``[n]``; the best order has them.

        Raises:
            ProtocolError: Arrays or cutoffs that break these rules, or a model that expects nothing of the best order.
        """
        lists = judged(ranked, cutoffs, missed)
        sums, best = self._sums(lists.top(), lists), self._sums(lists.ideal(), lists)
        relevant = lists.n_relevant > 0
        if (best[relevant] <= 0).any():
            raise ProtocolError(f"{self.name} expects nothing of a list in the best order; does it examine rank 1?")
        return lists.settle(np.divide(sums, best, out=np.zeros_like(sums), where=relevant[:, None]), self.options.empty)

    def raw(self, ranked: IntArray, cutoffs: Sequence[int]) -> DoubleArray:
        """Return Sim@k of each list, empty ones included, float64 ``[n, len(cutoffs)]``; not bounded by 1."""
        lists = judged(ranked, cutoffs)
        return self._sums(lists.top(), lists)[:, lists.cutoffs - 1]

    def _sums(self, labels: IntArray, lists: Judged) -> DoubleArray:
        expected = self.expect(labels)
        if self.options.reward == "click":
            rewards = expected.clicks
        else:
            rewards = expected.examination * gains(labels, self.options.reward)
        rewards = np.where(labels == PADDING, 0.0, rewards)
        places = ranks(lists.depth)
        if self.options.weights == "reciprocal":
            rewards = rewards / places
        sums: DoubleArray = np.cumsum(rewards, axis=1)
        return sums / places if self.options.weights == "mean" else sums

    def at(self, cutoff: int) -> str:
        """Return the name at a cutoff with its version, such as ``nsim-pbm@10/v1``, for footnotes and manifests."""
        return f"{self.name}@{cutoff}/v{self.version}"
