"""MGCN: content purified by behaviour, propagated per modality, fused by attention."""

from __future__ import annotations

from typing import Literal, cast

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.graph.sparse import SparseOperator
from mmrec_bench.models.base import MODELS, Citation, ModelContext
from mmrec_bench.models.blocks import feature_tables, item_graph, smoothed
from mmrec_bench.models.modal_line import FilteredContent
from mmrec_bench.models.side_content import SideContentConfig, SideContentModel


class MGCNConfig(SideContentConfig):
    """Settings of `MGCN`."""

    name: Literal["mgcn"] = "mgcn"
    n_neighbors: PositiveInt = 10
    """Neighbours k of an item in each modality, itself included."""


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
class MGCN(SideContentModel):
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
        context.require("mgcn", ("image", "text"))
        super().__init__(config, context)
        tables = feature_tables("mgcn", context)
        self.views = nn.ModuleList(SmoothedContent(table, config) for table in tables)
        self.fusion = BehaviourGuidedFusion(config.embedding_dim, len(tables))

    def content(self, ids: Tensor) -> Tensor:
        """Return content of all items, all modalities side by side, ``[n_items, M d]``."""
        return torch.cat([view(ids) for view in self.views], dim=1)

    def fuse(self, behaviour: Tensor, content: Tensor, training: bool) -> Tensor:
        """Return what modalities share, and what each adds, ``[B, d]``."""
        return cast(Tensor, self.fusion(behaviour, content))


class SmoothedContent(FilteredContent):
    """Content of all items in one modality: gated into the tables of identities, then smoothed on its item graph.

    Args:
        table: Raw features.
        config: Settings.
    """

    def __init__(self, table: FeatureTable, config: MGCNConfig) -> None:
        unsmoothed = config.n_item_layers == 0  # elsewhere nothing reads the content of absent items
        super().__init__(table, config.embedding_dim, "id", trainable=config.train_features, replace_missing=unsmoothed)
        self.item_graph = SparseOperator(item_graph(table, config.n_neighbors, "cosine"))
        self.n_layers = config.n_item_layers

    def forward(self, ids: Tensor) -> Tensor:
        """Return ``S^n (e * gate(W f + b))``, ``[n_items, d]``, for e ``[n_items, d]``."""
        return smoothed(super().forward(ids), self.item_graph, self.n_layers)


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
