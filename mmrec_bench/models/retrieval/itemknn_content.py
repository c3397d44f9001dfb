"""ItemKNN on content: items whose features are alike are similar; nothing is learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from mmrec_bench.errors import ModelError
from mmrec_bench.models.base import MODELS, Citation, ModelConfig, ModelContext
from mmrec_bench.models.closed_form import NeighbourRecommender, Orientation
from mmrec_bench.types import BoolArray

BLOCK_VALUES = 1 << 24
"""Similarities held at once: 64 MiB."""


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
        ModelError: The data set has no features, or a weight names a modality that it lacks.
    """

    def __init__(self, config: ItemKNNContentConfig, context: ModelContext) -> None:
        super().__init__(context.train, config.n_neighbors, config.orientation)
        if not context.features:
            raise ModelError("itemknn-content needs features of at least one modality; this data set has none")
        context.require("itemknn-content (modality_weights)", tuple(config.modality_weights))
        self.config = config

    def compute(self, context: ModelContext) -> None:
        """Compare items block by block and keep the most similar of each."""
        joined, present = self._join(context)
        vectors = torch.from_numpy(joined).to(self.similarities.device)
        norms = vectors.norm(dim=1)
        absent = torch.from_numpy(~present).to(vectors.device) | (norms == 0)
        n_items, k = self.neighbors.shape
        step = max(1, BLOCK_VALUES // n_items)
        for start in range(0, n_items, step):
            rows = torch.arange(start, min(start + step, n_items), device=vectors.device)
            similarity = vectors[rows] @ vectors.T
            similarity /= norms[rows, None] * norms + self.config.shrink
            similarity[:, absent] = -torch.inf
            similarity[absent[rows]] = -torch.inf
            if self.config.exclude_self:
                similarity[rows - start, rows] = -torch.inf
            values, items = top_columns(similarity, k)
            kept = values > -torch.inf
            self.neighbors[rows] = items.masked_fill(~kept, -1).int()
            self.similarities[rows] = values.masked_fill(~kept, 0.0)

    def _join(self, context: ModelContext) -> tuple[np.ndarray[Any, np.dtype[np.float32]], BoolArray]:
        """Return the joined vectors float32 ``[n_items, d]`` and which items have any, bool ``[n_items]``."""
        parts = []
        present = np.zeros(context.train.n_items, np.bool_)
        for modality in sorted(context.features):
            table = context.features[modality]
            part = torch.from_numpy(table.filled())
            if self.config.combine == "weighted":
                part = F.normalize(part, dim=1) * self.config.modality_weights.get(modality, 1.0) ** 0.5
            parts.append(part.numpy())
            present |= table.present
        return np.concatenate(parts, axis=1), present


def top_columns(matrix: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest values of each row and their columns, falling, ties by column.

    Args:
        matrix: ``[n, m]`` without NaN.
        k: ``1 <= k <= m``.

    Returns:
        Values ``[n, k]`` and columns int64 ``[n, k]``.
    """
    values, columns = matrix.topk(min(k + 1, matrix.shape[1]), dim=1)
    if values.shape[1] > k:
        # Which of several equal values topk returns is not defined, so rows cut between equals are sorted in full.
        cut = (values[:, k - 1] == values[:, k]) & (values[:, k] > -torch.inf)
        values, columns = values[:, :k], columns[:, :k]
        if bool(cut.any()):
            full, order = matrix[cut].sort(dim=1, descending=True, stable=True)
            values[cut], columns[cut] = full[:, :k], order[:, :k]
    columns, order = columns.sort(dim=1)
    values, order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return values, columns.gather(1, order)
