"""The evaluator of the retrieval task: rankings of the whole catalogue against held-out interactions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from mmrec_bench.data.interactions import Interactions
from mmrec_bench.errors import ProtocolError
from mmrec_bench.evaluation.slices import item_slices, user_slices
from mmrec_bench.metrics.catalogue import CATALOGUE_METRICS, Popularity, frequencies
from mmrec_bench.metrics.identity import MetricId, checked_cutoffs
from mmrec_bench.metrics.ranking import EMPTY_TRUTH, METRICS, RankingMetric
from mmrec_bench.retrieval.base import Exclusions, Rankings, Retriever, Scoring
from mmrec_bench.retrieval.membership import Membership
from mmrec_bench.types import BoolArray, DoubleArray, IntArray

DEFAULT_METRICS = ("recall", "precision", "ndcg", "map", "mrr", "hit-rate")


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Everything measured of one model on one held-out part.

    Attributes:
        rankings: The lists, one row an evaluated user.
        hits: Whether each ranked item is relevant, bool ``[n, k_max]``.
        per_user: By metric such as ``recall@20``, float64 ``[n]``, unrounded.
        means: By metric, the mean over the evaluated users, unrounded.
    """

    rankings: Rankings
    hits: BoolArray
    per_user: Mapping[str, DoubleArray]
    means: Mapping[str, float]

    @property
    def users(self) -> IntArray:
        """Evaluated users: those with a relevant item, ascending, int64 ``[n]``."""
        return self.rankings.users


@dataclass(frozen=True, slots=True)
class SliceResult:
    """Metrics on a part of the users or items.

    Attributes:
        n_users: Evaluated users who stand in the means.
        n_items: Items of the slice; of the catalogue, for a slice of users.
        metrics: By metric such as ``recall@20`` or ``gini@20``; empty without users, and without the catalogue metrics
            that are means over recommendations where the slice got none.
    """

    n_users: int
    n_items: int
    metrics: Mapping[str, float]


class RetrievalEvaluator:
    """Evaluates models on one held-out part; what does not depend on the model is computed once.

    Args:
        train: Training interactions, for popularity and slices.
        truth: Held-out interactions; every item of a user in it is relevant.
        excluded: Parts whose items are not ranked for their users: ``[train]`` or ``[train, valid]``.
        metrics: Registered names of ranking metrics.
        cutoffs: Values of k.
        retriever: Back-end.
        ties: Tie rank of each item by the protocol's seeded hash, int64 ``[n_items]``.
        present: By modality, whether each item has a vector, bool ``[n_items]``; makes the slices of items without.

    Raises:
        ProtocolError: Parts of different catalogues, no relevant item at all, relevant items that are excluded, or a
            cutoff beyond the catalogue.
        RegistryError: A metric that does not exist.
    """

    def __init__(
        self,
        train: Interactions,
        truth: Interactions,
        excluded: Sequence[Interactions],
        retriever: Retriever,
        ties: IntArray,
        metrics: Sequence[str] = DEFAULT_METRICS,
        cutoffs: Sequence[int] = (5, 10, 20, 50),
        present: Mapping[str, BoolArray] = MappingProxyType({}),
    ) -> None:
        self._metrics: tuple[RankingMetric, ...] = tuple(METRICS[name] for name in metrics)
        self.cutoffs = checked_cutoffs(cutoffs, train.n_items, metrics[0] if metrics else "recall")
        for part in (truth, *excluded):
            if (part.n_users, part.n_items) != (train.n_users, train.n_items):
                raise ProtocolError(
                    f"all parts of a split need the same users and items: {train.n_users} x {train.n_items}; "
                    f"got {part.n_users} x {part.n_items}"
                )
        if len(truth) == 0:
            raise ProtocolError(f"no user has a relevant item in this part of the split; {EMPTY_TRUTH}")
        self._train, self._retriever, self._ties, self._present = train, retriever, ties, present
        self._parts = (truth, *excluded)
        relevant, barred = _keys([truth]), _keys(excluded)
        if shared := len(np.intersect1d(relevant, barred, assume_unique=True)):
            raise ProtocolError(
                f"{shared} relevant user-item pairs are also excluded from ranking, so they could never be found. "
                "The parts of a split must be disjoint; exclude only parts that are not evaluated"
            )
        self._excluded = _by_user(barred, train.n_users, train.n_items)
        self._barred = Membership(self._excluded, train.n_items)
        self._truth = Membership(_by_user(relevant, train.n_users, train.n_items), train.n_items)
        self.users: IntArray = np.unique(truth.users)
        self._row_of_truth, self._item_of_truth = self._truth.pairs(self.users)
        self._n_relevant = self._truth.counts(self.users)

    def barred(self, items: IntArray) -> BoolArray:
        """Return which items of a matrix ``[n, k]``, a row a user of `users`, must not be ranked for the user."""
        return self._barred.contains(self.users, items)

    @property
    def lengths(self) -> IntArray:
        """Items that the list of each user of `users` must have, int64 ``[n]``: fewer where little may be ranked."""
        return np.minimum(self._train.n_items - self._barred.counts(self.users), self.cutoffs[-1])

    @property
    def cold_items(self) -> IntArray:
        """Items without a training interaction, ascending, int64 ``[n]``."""
        return np.flatnonzero(self._train.item_counts() == 0).astype(np.int64)

    def among(self, items: IntArray) -> RetrievalEvaluator | None:
        """Return the evaluator for which some items are the whole catalogue; their places are the new item rows.

        Args:
            items: Ascending, int64 ``[n]``.

        Returns:
            The evaluator at the cutoffs that do not exceed n; None where there is none, or no item is relevant.
        """
        cutoffs = [k for k in self.cutoffs if k <= len(items)]
        if not cutoffs:
            return None
        train, truth, *excluded = (_among(part, items) for part in (self._train, *self._parts))
        if not len(truth):
            return None
        ties = np.argsort(np.argsort(self._ties[items])).astype(np.int64)
        metrics = [metric.name for metric in self._metrics]
        return RetrievalEvaluator(train, truth, excluded, self._retriever, ties, metrics, cutoffs)

    def evaluate(self, scoring: Scoring) -> Evaluation:
        """Rank the catalogue for every user with a relevant item, and measure the lists.

        Raises:
            ModelError: The model does not fit the retriever or the data, or has diverged.
            ResourceError: Too little memory.
        """
        return self.judged(self._retriever.top_k(scoring, self.users, self.cutoffs[-1], self._excluded, self._ties))

    def judged(self, rankings: Rankings) -> Evaluation:
        """Measure lists of all evaluated users, `users`, as long as the last cutoff, whoever has made them."""
        hits = self._truth.contains(self.users, rankings.items)
        per_user = self._measure(hits, self._n_relevant)
        means = {name: float(values.mean()) for name, values in per_user.items()}
        return Evaluation(rankings, hits, MappingProxyType(per_user), MappingProxyType(means))

    def catalogue(self, evaluation: Evaluation) -> dict[str, float]:
        """Return the catalogue metrics of all lists, by name such as ``coverage@20``."""
        everything = np.ones(self._train.n_items, np.bool_)
        return self._catalogue(evaluation.rankings.items, everything)

    def slices(self, evaluation: Evaluation) -> dict[str, SliceResult]:
        """Return every ranking and catalogue metric on every slice; see `user_slices` and `item_slices`.

        On a slice of users, the metrics are those of its users' lists. On a slice of items, lists stay as they are, and
        only items of the slice are relevant: users without a relevant item in it are left out, so recall is the share
        of relevant slice items that were found. Its catalogue metrics count the slice's items in the lists of all
        evaluated users, so a slice that is never recommended has coverage 0.
        """
        items, n_items = evaluation.rankings.items, self._train.n_items
        results = {}
        for name, members in user_slices(self._train.user_counts()).items():
            rows = np.flatnonzero(members[self.users])
            means = self._means(evaluation.hits[rows], self._n_relevant[rows])
            catalogue = self._catalogue(items[rows], np.ones(n_items, np.bool_)) if len(rows) else {}
            results[name] = SliceResult(len(rows), n_items, means | catalogue)
        for name, members in item_slices(self._train.item_counts(), self._ties, self._present).items():
            n_relevant = np.bincount(self._row_of_truth, members[self._item_of_truth], len(self.users)).astype(np.int64)
            rows = np.flatnonzero(n_relevant)
            hits = evaluation.hits[rows] & members[items[rows]]
            means = self._means(hits, n_relevant[rows])
            catalogue = self._catalogue(items, members) if len(rows) else {}
            results[name] = SliceResult(len(rows), int(members.sum()), means | catalogue)
        return results

    def _measure(self, hits: BoolArray, n_relevant: IntArray) -> dict[str, DoubleArray]:
        values = {metric.name: metric(hits, n_relevant, self.cutoffs) for metric in self._metrics}
        return {
            str(MetricId(name, cutoff)): table[:, place]
            for name, table in values.items()
            for place, cutoff in enumerate(self.cutoffs)
        }

    def _means(self, hits: BoolArray, n_relevant: IntArray) -> dict[str, float]:
        if len(hits) == 0:
            return {}
        return {name: float(values.mean()) for name, values in self._measure(hits, n_relevant).items()}

    def _catalogue(self, items: IntArray, members: BoolArray) -> dict[str, float]:
        n_train_users = int(np.count_nonzero(self._train.user_counts()))
        popularity = Popularity(self._train.item_counts()[members], n_train_users)
        values = {}
        for cutoff, counted in zip(self.cutoffs, frequencies(items, len(members), self.cutoffs), strict=True):
            for name in CATALOGUE_METRICS:
                value = CATALOGUE_METRICS[name](counted[members], popularity)
                if value is not None:
                    values[str(MetricId(name, cutoff))] = value
        return values


def _among(part: Interactions, items: IntArray) -> Interactions:
    rows = part.select(np.isin(part.items, items))
    return replace(rows, items=np.searchsorted(items, rows.items), n_items=len(items))


def _keys(parts: Sequence[Interactions]) -> IntArray:
    keys = [part.keys() for part in parts]
    return np.unique(np.concatenate(keys)) if keys else np.zeros(0, np.int64)


def exclusions_of(parts: Sequence[Interactions]) -> Exclusions:
    """Return the items of each user in any of the parts."""
    return _by_user(_keys(parts), parts[0].n_users, parts[0].n_items)


def _by_user(keys: IntArray, n_users: int, n_items: int) -> Exclusions:
    offsets = np.searchsorted(keys, np.arange(n_users + 1) * n_items).astype(np.int64)
    return Exclusions(offsets, keys % n_items)
