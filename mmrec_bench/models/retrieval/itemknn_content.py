"""ItemKNN on content: items whose features are alike are similar; nothing is learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from mmrec_bench.data.features import unit_rows
from mmrec_bench.models.base import MODELS, Citation, ModelConfig, ModelContext
from mmrec_bench.models.blocks import feature_tables
from mmrec_bench.models.closed_form import NeighbourRecommender, Orientation
from mmrec_bench.settings import explained_error
from mmrec_bench.types import FloatArray, IntArray

BLOCK_VALUES = 1 << 24
"""Numbers held at once: 64 MiB."""
MARGIN = 16
"""Neighbours fetched beyond k before the first look at ties."""
SLACK = 2e-5
"""More than a similarity of the matrix product and the same similarity computed again can differ."""


class ItemKNNContentConfig(ModelConfig):
    """Settings of `ItemKNNContent`."""

    RELEASED: ClassVar[Mapping[str, Any]] = {
        "shrink": 10.0,
        "orientation": "row",
        "exclude_self": False,
        "combine": "concatenate",
    }

    name: Literal["itemknn-content"] = "itemknn-content"
    n_neighbors: PositiveInt = 10
    """Neighbours k kept an item."""
    shrink: NonNegativeFloat = 0.0
    """Added to the denominator of the cosine."""
    orientation: Orientation = "column"
    """``column`` keeps the k nearest neighbours of the scored item, ``row`` those of the consumed item."""
    exclude_self: bool = True
    """Whether an item may not be its own neighbour; if it may, one of the k is wasted, since train items are masked."""
    combine: Literal["weighted", "concatenate"] = "weighted"
    """``weighted`` scales each modality to unit length and weighs it, so that the similarity of complete items is the
    weighted mean of their cosines; ``concatenate`` joins the raw vectors, whatever their scales."""
    modality_weights: Mapping[str, PositiveFloat] = {}
    """Weight of each modality under ``combine: weighted``; 1 where none is given."""

    @model_validator(mode="after")
    def _weights_are_read(self) -> ItemKNNContentConfig:
        if self.modality_weights and self.combine == "concatenate":
            raise explained_error("modality_weights need combine: weighted; raw vectors are joined as they are")
        return self


@MODELS.add(
    "itemknn-content",
    task="retrieval",
    config=ItemKNNContentConfig,
    paper=Citation(
        title="Are We Really Making Much Progress? A Worrying Analysis of Recent Neural Recommendation Approaches",
        authors="Ferrari Dacrema, Cremonesi, Jannach",
        venue="RecSys 2019",
        url="https://arxiv.org/abs/1907.06902",
    ),
    deviations=("Modalities are scaled to unit length and weighted before they are joined.",),
    uses_features=True,
    exports="scorer",
)
class ItemKNNContent(NeighbourRecommender):
    """Scores ``y_ui = sum of s_ji over the user's items j``, with ``s_ji = x_j . x_i / (|x_j| |x_i| + shrink)``.

    x joins the vectors of all modalities; a modality an item lacks is zero in it. s is 0 outside the k nearest
    neighbours, ties by item row. An item without any modality is nobody's neighbour and has none.
    Source: ItemKNN-CBF of Ferrari Dacrema et al., RecSys 2019, https://arxiv.org/abs/1907.06902; ``preset: released``
    is the variant that multimodal code bases compare with.

    Raises:
        ModelError: The data set has no features, no item has a modality, or a weight names a modality that is lacking.
    """

    def __init__(self, config: ItemKNNContentConfig, context: ModelContext) -> None:
        super().__init__(context.train, config.n_neighbors, config.orientation)
        feature_tables("itemknn-content", context)  # refuses what would leave every item without neighbours
        context.require("itemknn-content (modality_weights)", tuple(config.modality_weights))
        self.config = config

    def compute(self, context: ModelContext) -> None:
        """Keep the most similar items of each item."""
        vectors, shrink = self._joined(context)
        exclude_self = self.config.exclude_self
        neighbors, similarities = nearest_by_content(vectors, self.neighbors.shape[1], shrink, exclude_self)
        self.neighbors.copy_(torch.from_numpy(neighbors))
        self.similarities.copy_(torch.from_numpy(similarities))

    def _joined(self, context: ModelContext) -> tuple[FloatArray, float]:
        """Return the joined vectors, scaled so that no square overflows, and the shrinkage that belongs to them."""
        tables = feature_tables("itemknn-content", context)
        if self.config.combine == "concatenate":
            joined = np.concatenate([table.filled() for table in tables], axis=1)
            largest = float(np.abs(joined).max()) or 1.0
            joined /= largest
            return joined, self.config.shrink / largest**2
        weights = [self.config.modality_weights.get(table.modality, 1.0) for table in tables]
        scaled = [
            unit_rows(table.filled()) * (w / sum(weights)) ** 0.5 for table, w in zip(tables, weights, strict=True)
        ]
        return np.concatenate(scaled, axis=1, dtype=np.float32), self.config.shrink


def _or_one(divisors: FloatArray) -> FloatArray:
    return np.where(divisors > 0, divisors, np.float32(1))


def nearest_by_content(
    vectors: FloatArray, k: int, shrink: float, exclude_self: bool
) -> tuple[NDArray[np.int32], FloatArray]:
    """Return the k most similar rows of each row by ``x_j . x_i / (|x_j| |x_i| + shrink)``, ties by row number.

    A matrix product compares all pairs, block by block. What it finds is compared again pair by pair, in an order of
    additions that does not depend on the place in a block, so that equal vectors are equally similar; rows are fetched
    deeper until the last one fetched lies clearly below the k-th.

    Args:
        vectors: float32 ``[n, d]``; a row of zeros neither has nor is a neighbour.
        k: ``1 <= k <= n``.
        shrink: Not negative.
        exclude_self: Whether a row may not be its own neighbour.

    Returns:
        Rows int32 ``[n, k]``, falling by similarity, -1 where there are fewer; and similarities, 0 there.
    """
    n = len(vectors)
    norms = np.linalg.norm(vectors, axis=1)
    neighbors, similarities = np.full((n, k), -1, np.int32), np.zeros((n, k), np.float32)
    table = torch.from_numpy(vectors)
    usable = np.flatnonzero(norms > 0)
    step = max(1, BLOCK_VALUES // n)
    for start in range(0, len(usable), step):
        pending, fetch = usable[start : start + step], min(k + MARGIN, n)
        block = table[pending] @ table.T
        block /= torch.from_numpy(norms[pending, None] * norms + np.float32(shrink))
        block[:, norms == 0] = -torch.inf
        if exclude_self:
            block[np.arange(len(pending)), pending] = -torch.inf
        while len(pending):
            values, columns = (found.numpy() for found in block.topk(fetch, dim=1))
            exact = np.where(values > -np.inf, _compare(vectors, norms, pending, columns, shrink), -np.inf)
            order = np.lexsort((columns, -exact), axis=1)[:, :k]
            best = np.take_along_axis(exact, order, 1)
            neighbors[pending] = np.where(best > -np.inf, np.take_along_axis(columns, order, 1), -1)
            similarities[pending] = np.where(best > -np.inf, best, 0.0)
            unsettled = (values[:, -1] > -np.inf) & (values[:, -1] >= best[:, -1] - SLACK) & (fetch < n)
            pending, block, fetch = pending[unsettled], block[unsettled], min(2 * fetch, n)
    return neighbors, similarities


def _compare(vectors: FloatArray, norms: FloatArray, rows: IntArray, others: IntArray, shrink: float) -> FloatArray:
    """Return the similarity of each row to its others, float32 ``[len(rows), c]``."""
    products = np.empty(others.shape, np.float32)
    step = max(1, BLOCK_VALUES // (others.shape[1] * vectors.shape[1]))
    for start in range(0, len(rows), step):
        window = slice(start, start + step)
        products[window] = np.einsum("qcd,qd->qc", vectors[others[window]], vectors[rows[window]])
    return products / _or_one(norms[rows, None] * norms[others] + np.float32(shrink))
