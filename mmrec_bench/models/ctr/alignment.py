"""Features brought near the identities of items, as a recommender has learned them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmrec_bench.losses import info_nce
from mmrec_bench.models.base import Batch, GradientModel, Items, LossTerms
from mmrec_bench.models.blocks import gather
from mmrec_bench.types import FloatArray, IntArray

RECALLS = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class AlignedItems:
    """Items that are learned from.

    Attributes:
        train: Item ids, int64 ``[n]``.
    """

    train: IntArray


class IdAlignment(GradientModel):
    """``z_i = MLP(f_i)`` near e_i, the vector of the item's identity: InfoNCE of cosines within a batch, both ways.

    A reconstruction of what LIS (https://arxiv.org/abs/2508.04963) leaves open: its paper aligns a multimodal model to
    snapshots of item embeddings that were updated often, watches the mean recall on validation items, and names no
    loss.

    Args:
        features: f, float32 ``[n_items, d]``, zeros where an item has none.
        identities: e, float32 ``[n_items, k]``.
        hidden_dim: Size of the hidden layer.
        temperature: Divisor of the cosines.
    """

    batch_kind: type[Batch] = Items
    features: Tensor
    identities: Tensor

    def __init__(self, features: FloatArray, identities: FloatArray, hidden_dim: int, temperature: float) -> None:
        super().__init__()
        self.register_buffer("features", torch.tensor(features), persistent=False)
        self.register_buffer("identities", torch.tensor(identities), persistent=False)
        self.temperature = temperature
        self.mlp = nn.Sequential(
            nn.Linear(features.shape[1], hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, identities.shape[1])
        )

    def loss(self, batch: Items) -> LossTerms:
        """Return the mean of both directions."""
        made, known = self.mlp(gather(self.features, batch.ids)), gather(self.identities, batch.ids)
        there = info_nce(made, known, self.temperature)
        back = info_nce(known, made, self.temperature)
        return {"alignment": (there + back) / 2}

    @torch.no_grad()
    def recall(self, items: IntArray) -> float:
        """Return the mean of recall@{1, 5, 10} of each item's identity among those of the same items."""
        ids = torch.tensor(items, device=self.features.device)
        made = F.normalize(self.mlp(gather(self.features, ids)), dim=1)
        cosines = made @ F.normalize(gather(self.identities, ids), dim=1).T
        rank = (cosines > cosines.diagonal().unsqueeze(1)).sum(dim=1)
        return float(np.mean([(rank < k).float().mean().item() for k in RECALLS]))

    @torch.no_grad()
    def encode(self) -> FloatArray:
        """Return the vectors of all items, scaled to unit length, float32 ``[n_items, k]``; zeros where f is zero."""
        made = F.normalize(self.mlp(self.features), dim=1)
        vectors: FloatArray = (made * self.features.any(dim=1, keepdim=True)).cpu().numpy()
        return vectors
