"""ItemKNN: items liked by the same people are similar."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, PositiveInt

from mmrec_bench.graph.co_occurrence import count_blocks
from mmrec_bench.models.base import MODELS, Citation, ModelConfig, ModelContext
from mmrec_bench.models.closed_form import NeighbourRecommender, Orientation
from mmrec_bench.types import FloatArray, IntArray


class ItemKNNConfig(ModelConfig):
    """Settings of `ItemKNN`."""

    name: Literal["itemknn"] = "itemknn"
    n_neighbors: PositiveInt = 200
    """Neighbours k kept an item."""
    shrink: NonNegativeFloat = 100.0
    """Added to the denominator of the cosine: similarities that rest on few users shrink towards 0."""
    orientation: Orientation = "column"
    """``column`` keeps the k nearest neighbours of the scored item, ``row`` those of the consumed item."""


@MODELS.add(
    "itemknn",
    task="retrieval",
    config=ItemKNNConfig,
    paper=Citation(
        title="Item-Based Top-N Recommendation Algorithms",
        authors="Deshpande, Karypis",
        venue="ACM TOIS 2004",
        url="https://doi.org/10.1145/963770.963776",
    ),
    deviations=(
        "Shrinkage and the truncation by scored item follow Ferrari Dacrema et al., RecSys 2019; orientation: row and "
        "shrink: 0 give the paper's cosine variant.",
    ),
    exports="scorer",
)
class ItemKNN(NeighbourRecommender):
    """Scores ``y_ui = sum of s_ji over the user's items j``, where alike are items with the same users.

    ``s_ji = |U_j & U_i| / (sqrt(|U_j| |U_i|) + shrink)``, U_i the users of item i in train; s is 0 on the diagonal and
    outside the k nearest neighbours, ties by item row.
    Source: Deshpande and Karypis, TOIS 2004, https://doi.org/10.1145/963770.963776; shrink as in Ferrari Dacrema et
    al., RecSys 2019, https://arxiv.org/abs/1907.06902.
    """

    def __init__(self, config: ItemKNNConfig, context: ModelContext) -> None:
        super().__init__(context.train, config.n_neighbors, config.orientation)
        self.shrink = config.shrink

    def compute(self, context: ModelContext) -> None:
        """Count co-occurrences block by block of items and keep the most similar of each."""
        norms = np.sqrt(context.train.item_counts())
        for start, block in count_blocks(context.train.matrix().T.tocsr()):
            block.sort_indices()
            stop = start + block.shape[0]
            rows = np.repeat(np.arange(stop - start), np.diff(block.indptr))
            columns = block.indices
            similarity = block.data / (norms[start + rows] * norms[columns] + self.shrink)
            others = columns != start + rows
            neighbors, similarities = largest_entries(
                rows[others], columns[others], similarity[others], (stop - start, self.neighbors.shape[1])
            )
            self.neighbors[start:stop] = torch.from_numpy(neighbors)
            self.similarities[start:stop] = torch.from_numpy(similarities)


def largest_entries(
    rows: IntArray, columns: NDArray[np.integer], values: NDArray[np.float64], shape: tuple[int, int]
) -> tuple[NDArray[np.int32], FloatArray]:
    """Return the k largest entries of each row of a sparse matrix, ties by column.

    Args:
        rows: int64 ``[n]``, ascending.
        columns: Integers ``[n]``, ascending within a row.
        values: float64 ``[n]``.
        shape: Number of rows, and k.

    Returns:
        Columns int32 ``[n_rows, k]``, falling by value, -1 where a row has fewer; and values float32, 0 there.
    """
    n_rows, k = shape
    order = np.lexsort((-values, rows))  # stable, so ties stay in the order of columns
    rows = rows[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, np.arange(n_rows))[rows]
    kept = place < k
    neighbors, similarities = np.full(shape, -1, np.int32), np.zeros(shape, np.float32)
    neighbors[rows[kept], place[kept]] = columns[order][kept]
    similarities[rows[kept], place[kept]] = values[order][kept]
    return neighbors, similarities
