"""Popularity: every user is shown the most consumed items."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mmrec_bench.errors import ModelError
from mmrec_bench.models.base import MODELS, Citation, ModelConfig, ModelContext
from mmrec_bench.models.closed_form import FittedRecommender
from mmrec_bench.retrieval.base import Representations
from mmrec_bench.types import IntArray

LARGEST_EXACT_COUNT = 2**24
"""Every whole number up to here is a float32; above, neighbouring counts would tie."""


class PopularityConfig(ModelConfig):
    """Settings of `Popularity`; it has none."""

    name: Literal["popularity"] = "popularity"


def exact_counts(counts: IntArray) -> Tensor:
    """Return counts as float32 ``[n_items]``.

    Raises:
        ModelError: A count that float32 cannot hold exactly.
    """
    if len(counts) and (largest := int(counts.max())) > LARGEST_EXACT_COUNT:
        raise ModelError(
            f"popularity scores are float32, exact up to {LARGEST_EXACT_COUNT} interactions an item; "
            f"item row {int(counts.argmax())} has {largest}. Train on a sample of users"
        )
    return torch.from_numpy(counts.astype(np.float32))


@MODELS.add(
    "popularity",
    task="retrieval",
    config=PopularityConfig,
    paper=Citation(
        title="Performance of Recommender Algorithms on Top-N Recommendation Tasks",
        authors="Cremonesi, Koren, Turrin",
        venue="RecSys 2010",
        url="https://doi.org/10.1145/1864708.1864721",
    ),
)
class Popularity(FittedRecommender):
    """Scores ``y_ui = |{v : (v, i) in train}|``, the same for every user.

    Source: TopPop of Cremonesi et al., RecSys 2010, https://doi.org/10.1145/1864708.1864721.
    """

    counts: Tensor
    """float32 ``[n_items]``, whole numbers."""

    def __init__(self, config: PopularityConfig, context: ModelContext) -> None:
        super().__init__()
        self.n_users = context.train.n_users
        self.register_buffer("counts", torch.zeros(context.train.n_items))

    def compute(self, context: ModelContext) -> None:
        """Count."""
        self.counts.copy_(exact_counts(context.train.item_counts()))

    def scoring(self) -> Representations:
        """Return one-dimensional vectors: 1 for users, the count for items."""
        return Representations(self.counts.new_ones(self.n_users, 1), self.counts[:, None].clone())
