"""How good features are before any recommender is trained on them: zero-shot, and as similarities of items.

AlignRec (Liu et al., CIKM 2024, https://arxiv.org/abs/2403.12384) has three such intermediate evaluations: zero-shot,
item-CF, and masked modalities, which are these on altered features. Their formulas here are a reconstruction.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import torch

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.evaluation.retrieval import Evaluation
from mmrec_bench.models.base import ModelContext
from mmrec_bench.models.retrieval.itemknn import ItemKNN, ItemKNNConfig
from mmrec_bench.models.retrieval.itemknn_content import ItemKNNContent, ItemKNNContentConfig, nearest_by_content
from mmrec_bench.retrieval.base import Representations, Scoring
from mmrec_bench.types import IntArray


def zero_shot(table: FeatureTable, train: Interactions) -> Representations:
    """Return users as the mean of the unit vectors of their train items; an item's score is the cosine to it.

    An item without a vector counts as zero: it moves no user and has the score 0. So have all items for a user none of
    whose items has one.

    Args:
        table: Vectors of the items.
        train: Training interactions.
    """
    items = table.unit()
    counts = np.maximum(train.user_counts(), 1)
    users = (train.matrix() @ items) / counts[:, None].astype(np.float32)
    return Representations(torch.from_numpy(users.astype(np.float32)), torch.from_numpy(items), "cosine")


def item_knn(table: FeatureTable, train: Interactions, n_neighbors: int, shrink: float) -> Scoring:
    """Return ItemKNN on content, in the variant that multimodal code bases compare with: ``preset: released``.

    ``score = R top_k(S)`` with ``S_ij = x_i . x_j / (|x_i| |x_j| + shrink)``, the vectors as they are: where all have
    length 1, shrinkage scales all similarities alike.

    Args:
        table: Vectors of the items; some item must have one.
        train: Training interactions.
        n_neighbors: Neighbours k of each item.
        shrink: Added to the denominator.
    """
    config = ItemKNNContentConfig(preset="released", n_neighbors=n_neighbors, shrink=shrink)
    context = ModelContext(train, {table.modality: table})
    model = ItemKNNContent(config, context)
    model.fit(context)
    return model.export()


class BehaviourNeighbours:
    """The items that are most alike in behaviour, and how many of them features find.

    ``C_ij = |U_i & U_j| / sqrt(|U_i| |U_j|)``, U_i the users of item i in train. For each item that shares a user with
    another, the k items of largest C (fewer where fewer share one) are relevant; ties go by the protocol's hash.

    Args:
        train: Training interactions.
        ties: Tie rank of each item, int64 ``[n_items]``.
        n_neighbors: Neighbours k of each item.
    """

    def __init__(self, train: Interactions, ties: IntArray, n_neighbors: int) -> None:
        # Items are renumbered by tie rank: what breaks ties by row then breaks them by the hash.
        self._order = np.argsort(ties)
        renumbered = dataclasses.replace(train, items=ties[train.items])
        context = ModelContext(renumbered)
        model = ItemKNN(ItemKNNConfig(n_neighbors=n_neighbors, shrink=0.0), context)
        model.fit(context)
        self._relevant = model.neighbors.numpy()
        self._n_relevant = (self._relevant >= 0).sum(axis=1)
        self._k = self._relevant.shape[1]

    @property
    def n_items(self) -> int:
        """Items that have relevant others."""
        return int(np.count_nonzero(self._n_relevant))

    def recall(self, table: FeatureTable) -> float:
        """Return the mean share of an item's relevant items among the k of largest cosine to it.

        An item without a vector finds none.
        """
        vectors = table.unit()[self._order]
        found, _ = nearest_by_content(vectors, self._k, shrink=0.0, exclude_self=True)
        rows = np.arange(len(found))[:, None] * np.int64(len(found))
        hits = np.isin(rows + found, (rows + self._relevant)[self._relevant >= 0]) & (found >= 0)
        judged = self._n_relevant > 0
        return float((hits.sum(axis=1)[judged] / self._n_relevant[judged]).mean())


class FeatureJudge:
    """Judges feature tables on one held-out part.

    Args:
        train: Training interactions, of which users and behaviour are made.
        evaluate: Evaluator of rankings by vectors.
        evaluate_scores: Evaluator of rankings by scores, on the same part.
        ties: Tie rank of each item, int64 ``[n_items]``.
        n_neighbors: Neighbours k of an item, in both readings of item-CF.
        shrink: Shrinkage of the similarities of the ItemKNN recommender.
    """

    def __init__(
        self,
        train: Interactions,
        evaluate: Callable[[Scoring], Evaluation],
        evaluate_scores: Callable[[Scoring], Evaluation],
        ties: IntArray,
        n_neighbors: int,
        shrink: float,
    ) -> None:
        self._train, self._evaluate, self._evaluate_scores = train, evaluate, evaluate_scores
        self._n_neighbors, self._shrink = n_neighbors, shrink
        self._behaviour = BehaviourNeighbours(train, ties, n_neighbors)

    @property
    def n_items(self) -> int:
        """Items whose neighbours in behaviour are looked for."""
        return self._behaviour.n_items

    def zero_shot(self, table: FeatureTable) -> Mapping[str, float]:
        """Return the metrics of the zero-shot ranking."""
        return self._evaluate(zero_shot(table, self._train)).means

    def item_knn(self, table: FeatureTable) -> Mapping[str, float]:
        """Return the metrics of the ItemKNN recommender."""
        return self._evaluate_scores(item_knn(table, self._train, self._n_neighbors, self._shrink)).means

    def agreement(self, table: FeatureTable) -> float:
        """Return the recall of the neighbours in behaviour."""
        return self._behaviour.recall(table)
