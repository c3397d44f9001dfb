"""The toy problem on which released models were run, and the filling of parameters they were run with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.models.base import GradientRecommender, ModelContext, Pairs, Triplets
from mmrec_bench.models.blocks import FeatureProjections, IdEmbedding, ItemRepresentation
from mmrec_bench.models.retrieval.grcn import GRCN
from mmrec_bench.models.retrieval.lgmrec import LGMRec
from mmrec_bench.models.retrieval.mmgcn import MMGCN
from mmrec_bench.seeding import Seeds

N_USERS, N_ITEMS, BATCH = 15, 24, 8


def wave(n: int) -> Tensor:
    """The start values ``.1 sin(.37 (n + 1))`` of a flat tensor."""
    return 0.1 * torch.sin(0.37 * torch.arange(1, n + 1, dtype=torch.float64)).float()


def fill_jointly(users: IdEmbedding, items: ItemRepresentation) -> None:
    """Fill two tables as the halves of the one that released code has."""
    assert isinstance(items, IdEmbedding)
    values = wave(users.weight.numel() + items.weight.numel()).view(-1, users.weight.shape[1])
    users.weight.copy_(values[: len(users.weight)])
    items.weight.copy_(values[len(users.weight) :])


@dataclass(frozen=True)
class Toy:
    context: ModelContext
    triplets: Triplets

    def batch(self, model: GradientRecommender) -> Pairs | Triplets:
        if model.batch_kind is Pairs:
            return Pairs(self.triplets.users, self.triplets.positives)
        return self.triplets

    @torch.no_grad()
    def fill(self, model: nn.Module) -> None:
        """Fill every parameter with the wave, row-major; raw features stay, projections of several modalities that
        share a bias are one matrix, text before image, and the two maps of lgmrec are stored transposed."""
        for name, parameter in model.named_parameters():
            if not name.endswith(".raw"):
                parameter.copy_(wave(parameter.numel()).view_as(parameter))
        for table in (module for module in model.modules() if isinstance(module, IdEmbedding)):
            table.weight.copy_(wave(table.weight.numel()).view_as(table.weight))  # it may be no parameter
        if isinstance(model, MMGCN | GRCN):
            fill_jointly(model.users, model.items)
        if isinstance(model, GRCN):
            fill_jointly(model.user_confidences, model.item_confidences)
        for projections in (module for module in model.modules() if isinstance(module, FeatureProjections)):
            linear = {modality: projection.linear for modality, projection in projections.by_modality()}
            if linear["text"].bias is not None:
                continue
            text, image = linear["text"].weight, linear["image"].weight
            both = wave(text.numel() + image.numel()).view(len(text), -1)
            text.copy_(both[:, : text.shape[1]])
            image.copy_(both[:, text.shape[1] :])
        if isinstance(model, LGMRec):
            for weight in (projection.linear.weight for _, projection in model.maps.by_modality()):
                for part in weight.split((model.config.embedding_dim, model.config.n_hyperedges)):
                    part.copy_(wave(part.numel()).view(part.T.shape).T)


@pytest.fixture
def toy() -> Toy:
    users = np.concatenate([np.full(3 + user % 4, user) for user in range(N_USERS)])
    items = np.concatenate([(5 * user + 3 * np.arange(3 + user % 4)) % N_ITEMS for user in range(N_USERS)])
    i, image, text = np.arange(N_ITEMS)[:, None], np.arange(10), np.arange(6)
    everywhere = np.ones(N_ITEMS, np.bool_)
    features = {
        "image": FeatureTable("image", np.sin(0.37 * (i + 1) * (image + 1)).astype(np.float32), everywhere, "toy"),
        "text": FeatureTable("text", np.cos(0.23 * (i + 2) * (text + 1)).astype(np.float32), everywhere, "toy"),
    }
    train = Interactions(users.astype(np.int64), items.astype(np.int64), N_USERS, N_ITEMS)
    u = torch.arange(BATCH)
    return Toy(
        ModelContext(train, features, seeds=Seeds(0), batch_size=BATCH),
        Triplets(u, 5 * u % N_ITEMS, (5 * u + 1) % N_ITEMS),
    )
