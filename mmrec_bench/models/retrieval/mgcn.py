"""MGCN: content purified by behaviour, propagated per modality, fused by attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from mmrec_bench.graph.bipartite import BipartiteGraph
from mmrec_bench.graph.sparse import SparseOperator
from mmrec_bench.losses import batch_l2, bpr, dot, info_nce
from mmrec_bench.models.alignment import AlignableConfig, TwoLines, behaviour_modal_alignment
from mmrec_bench.models.base import MODELS, Citation, LossTerms, ModelContext, Triplets
from mmrec_bench.models.blocks import (
    Distinct,
    FeatureProjection,
    IdEmbedding,
    ItemHost,
    feature_tables,
    gather,
    item_graph,
)
from mmrec_bench.retrieval.base import Representations


class MGCNConfig(AlignableConfig):
    """Settings of `MGCN`."""

    RELEASED: ClassVar[Mapping[str, Any]] = {"reg_divisor": "configured"}

    name: Literal["mgcn"] = "mgcn"
    embedding_dim: PositiveInt = 64
    """Size d of user and item vectors."""
    n_layers: NonNegativeInt = 2
    """Propagations on the user-item graph."""
    n_item_layers: NonNegativeInt = 1
    """Propagations on the item graph of each modality."""
    n_neighbors: PositiveInt = 10
    """Neighbours k of an item in each modality, itself included."""
    contrastive_weight: NonNegativeFloat = 0.01
    """Weight of the contrast between content and behaviour."""
    temperature: PositiveFloat = 0.2
    """Temperature of that contrast."""
    reg_weight: NonNegativeFloat = 1e-4
    """Weight of half the squares of the final vectors in the batch."""
    reg_divisor: Literal["actual", "configured"] = "actual"
    """The regulariser is divided by the size of this batch, or by the configured one, as released; only a short last
    batch tells them apart."""
    train_features: bool = True
    """Whether the raw features are fine-tuned, as released; false is a deviation, and faster."""


@MODELS.add(
    "mgcn",
    task="retrieval",
    config=MGCNConfig,
    paper=Citation(
        title="Multi-View Graph Convolutional Network for Multimedia Recommendation",
        authors="Yu et al.",
        venue="MM 2023",
        url="https://arxiv.org/abs/2308.03588",
    ),
    deviations=("Negative cosines of neighbours are cut to zero, so that no weight is undefined.",),
    modalities=("image", "text"),
)
class MGCN(ItemHost):
    """Scores ``y_ui = z_u . z_i`` with ``z = c + s``, c from behaviour and s from content.

    - Behaviour: ``c`` is the mean of propagations of the tables of users and items.
    - Content of items: ``h_m = S_m^n (e_i * gate_m(W_m f_m + b_m))``, S_m the cosine graph of k nearest neighbours;
      of users: ``R h_m``, R the normalised user-item block.
    - Fusion: ``a = softmax_m(query(h_m))``, ``common = sum_m a_m h_m``, and s is the mean of ``common`` and of
      ``prefer_m(c) * (h_m - common)`` over the modalities.

    Loss: ``bpr(z) + reg_weight * reg(z) + contrastive_weight * [nce(s_i, c_i) + nce(s_u, c_u)]``, i the positives.
    Gates are ``sigmoid(Linear)``, the query is ``Linear, tanh, Linear to 1 without bias``. An item without a modality
    has no edge in its graph, so its h_m is zero and its projection goes nowhere.
    Source: Yu et al., MM 2023, https://arxiv.org/abs/2308.03588.

    Shapes: users ``[n_users, d]`` and items ``[n_items, d]`` Xavier-uniform; raw features ``[n_items, D_m]``, trainable
    by default; all linear maps torch's default.
    """

    def __init__(self, config: MGCNConfig, context: ModelContext) -> None:
        super().__init__()
        context.require("mgcn", ("image", "text"))
        self.config = config
        self.batch_size = context.batch_size
        train, dim, tables = context.train, config.embedding_dim, feature_tables("mgcn", context)
        self.users = IdEmbedding(train.n_users, dim, "xavier_uniform")
        self.items = IdEmbedding(train.n_items, dim, "xavier_uniform")
        self.views = nn.ModuleList(
            ContentView(
                FeatureProjection(
                    table, dim, trainable=config.train_features, replace_missing=config.n_item_layers == 0
                ),
                SparseOperator(item_graph(table, config.n_neighbors, "cosine")),
                config,
            )
            for table in tables
        )
        self.fusion = BehaviourGuidedFusion(dim, len(tables))
        self.graph = BipartiteGraph(train.users, train.items, train.n_users, train.n_items)

    def loss(self, batch: Triplets) -> LossTerms:
        """Return ``bpr``, ``contrastive-users``, ``contrastive-items``, ``reg`` and plugged-in alignments."""
        user_behaviour, item_behaviour, item_content = self._propagate()
        # Fusion works row by row, so it is spent on the rows of the batch alone, and once on each.
        rows = Distinct.of(batch.users)
        fused = [self._fuse(rows, user_behaviour, self.graph.rows(rows.ids, item_content))]
        for ids in (batch.positives, batch.negatives):
            rows = Distinct.of(ids)
            fused.append(self._fuse(rows, item_behaviour, gather(item_content, rows.ids)))
        users, positives, negatives = (part.vectors() for part in fused)
        terms = {"bpr": bpr(dot(users, positives), dot(users, negatives))}
        if weight := self.config.contrastive_weight:
            for name, part in (("users", fused[0]), ("items", fused[1])):
                contrast = info_nce(part.modal, part.behaviour, self.config.temperature, part.rows.counts)
                terms[f"contrastive-{name}"] = weight * contrast
        if bma := self.config.alignment.bma:
            terms |= behaviour_modal_alignment(bma, *fused[:2])
        if self.config.reg_weight:
            divisor = None if self.config.reg_divisor == "actual" else self.batch_size
            terms["reg"] = self.config.reg_weight * batch_l2(users, positives, negatives, divisor=divisor)
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return behaviour plus content of all users and items."""
        users, items, content = self._propagate()
        return Representations(users + self.fusion(users, self.graph(content)), items + self.fusion(items, content))

    def _propagate(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return behaviour of users and of items, and content of items: all modalities side by side."""
        ids = self.items.all()
        users, items = self.graph.propagate(self.users.all(), ids, self.config.n_layers)
        return users, items, torch.cat([view(ids) for view in self.views], dim=1)

    def _fuse(self, rows: Distinct, behaviour: Tensor, content: Tensor) -> TwoLines:
        own = gather(behaviour, rows.ids)
        return TwoLines(rows, own, self.fusion(own, content))


class ContentView(nn.Module):
    """Content of all items in one modality: gated into the tables of identities, then smoothed on its item graph.

    Args:
        projection: Projects the modality to ``[n_items, d]``.
        item_graph: S, ``[n_items, n_items]``.
        config: Sizes.
    """

    def __init__(self, projection: FeatureProjection, item_graph: SparseOperator, config: MGCNConfig) -> None:
        super().__init__()
        self.projection = projection
        self.gate = nn.Linear(config.embedding_dim, config.embedding_dim)
        self.item_graph = item_graph
        self.n_layers = config.n_item_layers

    def forward(self, ids: Tensor) -> Tensor:
        """Return ``S^n (e * gate(W f + b))``, ``[n_items, d]``, for e ``[n_items, d]``."""
        content = ids * torch.sigmoid(self.projection.through(self.gate))
        for _ in range(self.n_layers):
            content = self.item_graph(content)
        return content


class BehaviourGuidedFusion(nn.Module):
    """What modalities share, by attention, and what each adds, weighed by behaviour.

    Args:
        dim: Size d.
        n_modalities: Number M of modalities.
    """

    def __init__(self, dim: int, n_modalities: int) -> None:
        super().__init__()
        self.query = nn.Sequential(nn.Linear(dim, dim), nn.Tanh(), nn.Linear(dim, 1, bias=False))
        self.prefer = nn.ModuleList(nn.Linear(dim, dim) for _ in range(n_modalities))

    def forward(self, behaviour: Tensor, content: Tensor) -> Tensor:
        """Return side vectors ``[B, d]`` from behaviour ``[B, d]`` and content ``[B, M d]``."""
        views = content.view(len(content), len(self.prefer), -1)
        common: Tensor = (torch.softmax(self.query(views), dim=1) * views).sum(dim=1)
        side = common
        for gate, view in zip(self.prefer, views.unbind(dim=1), strict=True):
            side = side + torch.sigmoid(gate(behaviour)) * (view - common)
        return side / (len(self.prefer) + 1)
