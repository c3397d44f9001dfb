"""SimGCL: LightGCN with a contrast between two noisy copies of its vectors."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from mmrec_bench.losses import info_nce
from mmrec_bench.models.base import MODELS, Citation, LossTerms, ModelConfig, ModelContext, Triplets
from mmrec_bench.models.blocks import Distinct, gather
from mmrec_bench.models.collaborative import CollaborativeModel, start_l2, triplet_bpr
from mmrec_bench.retrieval.base import Representations

N_VIEWS = 2


class SimGCLConfig(ModelConfig):
    """Settings of `SimGCL`; written from the paper alone, so there is no switch that differs."""

    name: Literal["simgcl"] = "simgcl"
    embedding_dim: PositiveInt = 64
    """Size d of user and item vectors."""
    n_layers: PositiveInt = 2
    """Propagations K; the layers 1 to K count, the tables themselves do not."""
    noise: NonNegativeFloat = 0.1
    """Length epsilon of the noise that is added to each row of each layer."""
    contrastive_weight: NonNegativeFloat = 0.1
    """Weight lambda of the contrast of users and of items, which makes all of them distinct: too much of it, and users
    and items are learned by heart."""
    temperature: PositiveFloat = 0.2
    """Temperature of that contrast."""
    reg_weight: NonNegativeFloat = 1e-4
    """Weight of half the squares of the vectors in the batch, before propagation, over the batch size."""


@MODELS.add(
    "simgcl",
    task="retrieval",
    config=SimGCLConfig,
    paper=Citation(
        title="Are Graph Augmentations Necessary? Simple Graph Contrastive Learning for Recommendation",
        authors="Yu et al.",
        venue="SIGIR 2022",
        url="https://arxiv.org/abs/2112.08679",
    ),
    deviations=(
        "In the contrast a user or item counts as often as it stands in the batch, and the contrast is a mean over the "
        "batch, not a sum.",
    ),
)
class SimGCL(CollaborativeModel):
    """Scores ``y_ui = z_u . z_i`` with ``Z = 1/K sum_{k=1..K} A^k E``.

    A is the symmetrically normalised user-item adjacency, E the tables of users and items. Two views of Z have noise in
    every layer: ``X_0 = E``, ``X_k = A X_{k-1} + noise``, the view is their mean over k = 1..K. A row of noise is a
    uniform draw from [0, 1)^d, scaled to length epsilon, with the signs of the row it is added to; it carries no
    gradient. Loss, with z' and z'' the two views::

        loss = bpr(z) + reg_weight * reg(e) + contrastive_weight * [nce(z'_u, z''_u) + nce(z'_i, z''_i)]

    over the users and positive items of a batch, which are each other's negatives.
    Source: Yu et al., SIGIR 2022, https://arxiv.org/abs/2112.08679.

    Shapes: users ``[n_users, d]``, items ``[n_items, d]``, both Xavier-uniform.
    """

    def __init__(self, config: SimGCLConfig, context: ModelContext) -> None:
        super().__init__(context.train, config.embedding_dim)
        self.config = config

    def loss(self, batch: Triplets) -> LossTerms:
        """Return ``bpr``, ``contrastive-users``, ``contrastive-items`` and ``reg``."""
        item_table = self.items.all()
        first = self.graph.propagate(self.users.all(), item_table, 1, pooling="last")
        user_vectors, item_vectors = self.graph.propagate(*first, self.config.n_layers - 1)
        terms = {"bpr": triplet_bpr(user_vectors, item_vectors, batch)}
        if weight := self.config.contrastive_weight:
            views = self._views(*first)
            parts = (("users", batch.users, user_vectors), ("items", batch.positives, item_vectors))
            for (part, ids, vectors), noisy in zip(parts, views, strict=True):
                terms[f"contrastive-{part}"] = weight * self._contrast(Distinct.of(ids), vectors, noisy)
        if self.config.reg_weight:
            terms["reg"] = self.config.reg_weight * start_l2(self, item_table, batch)
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return the vectors without noise."""
        first = self.graph.propagate(self.users.all(), self.items.all(), 1, pooling="last")
        users, items = self.graph.propagate(*first, self.config.n_layers - 1)
        return Representations(users, items)

    @torch.no_grad()
    def _views(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return both views, side by side, of users ``[n_users, 2d]`` and items ``[n_items, 2d]``.

        Their gradients are those of the vectors without noise, so none are followed here.

        Args:
            users: First layer of users, ``A_ui E_i``, float32 ``[n_users, d]``; both views have the same.
            items: First layer of items, ``A_iu E_u``, float32 ``[n_items, d]``.
        """
        layer = self._noisy(users.repeat(1, N_VIEWS)), self._noisy(items.repeat(1, N_VIEWS))
        sums = layer
        for _ in range(self.config.n_layers - 1):
            wide = self.graph.propagate(*layer, 1, pooling="last")
            layer = self._noisy(wide[0]), self._noisy(wide[1])
            sums = sums[0] + layer[0], sums[1] + layer[1]
        return sums[0] / self.config.n_layers, sums[1] / self.config.n_layers

    def _noisy(self, rows: Tensor) -> Tensor:
        """Return rows of both views, ``[n, 2d]``, with noise; evaluation has none."""
        if not self.training:
            return rows
        draws = torch.rand_like(rows)
        of_views = draws.view(len(rows), N_VIEWS, -1)
        of_views.mul_(self.config.noise / torch.linalg.vector_norm(of_views, dim=-1, keepdim=True).clamp_min(1e-12))
        return draws.copysign_(rows).add_(rows)

    def _contrast(self, rows: Distinct, vectors: Tensor, noisy: Tensor) -> Tensor:
        """Return the contrast of both views of some rows.

        A view is linear in E, and its noise is constant: its gradient is that of the vectors without noise. So it is
        these, moved to where the view is, and one backward pass serves all three.
        """
        plain = gather(vectors, rows.ids)
        one, other = (plain + (view - plain.detach()) for view in gather(noisy, rows.ids).chunk(N_VIEWS, dim=1))
        return info_nce(one, other, self.config.temperature, rows.counts)
