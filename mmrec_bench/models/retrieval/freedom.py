"""FREEDOM: a frozen item graph from content, and a user-item graph pruned anew every epoch."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor

from mmrec_bench.graph.bipartite import BipartiteOperator
from mmrec_bench.graph.sparse import SparseOperator
from mmrec_bench.losses import bpr, dot
from mmrec_bench.models.alignment import AlignableConfig, behaviour_modal_alignment, projected_lines
from mmrec_bench.models.base import MODELS, Citation, LossTerms, ModelContext, Triplets
from mmrec_bench.models.blocks import (
    FeatureProjections,
    ItemHost,
    add_smoothed,
    feature_tables,
    gather,
    mixed_item_graph,
)
from mmrec_bench.models.collaborative import id_tables
from mmrec_bench.models.pruned_graph import PrunedGraph
from mmrec_bench.retrieval.base import Representations


class FREEDOMConfig(AlignableConfig):
    """Settings of `FREEDOM`; the released code has no switch that differs."""

    name: Literal["freedom"] = "freedom"
    embedding_dim: PositiveInt = 64
    """Size d of user and item vectors."""
    n_layers: NonNegativeInt = 2
    """Propagations on the user-item graph."""
    n_item_layers: NonNegativeInt = 1
    """Propagations on the item graph."""
    n_neighbors: PositiveInt = 10
    """Neighbours k of an item in each modality, itself included."""
    image_weight: float = Field(default=0.1, ge=0.0, le=1.0)
    """Weight of the image graph; the other modalities share the rest. Read only where there are images and others."""
    dropout: float = Field(default=0.8, ge=0.0, lt=1.0)
    """Share of user-item edges left out of an epoch of training."""
    content_weight: NonNegativeFloat = 1e-3
    """Weight of the losses between users and projected content; the released code calls it a regulariser's."""
    train_features: bool = True
    """Whether the raw features are fine-tuned, as released, though no score reads them; false is a deviation, and
    faster."""


@MODELS.add(
    "freedom",
    task="retrieval",
    config=FREEDOMConfig,
    paper=Citation(
        title="A Tale of Two Graphs: Freezing and Denoising Graph Structures for Multimodal Recommendation",
        authors="Zhou, Shen",
        venue="MM 2023",
        url="https://arxiv.org/abs/2211.06924",
    ),
    uses_features=True,
)
class FREEDOM(ItemHost):
    """Scores ``y_ui = z_u . z_i`` with ``z_i = z'_i + S^n e_i``.

    ``[z_u ; z'_i]`` is the mean of propagations on the user-item graph: pruned in training, degrees counted anew, and
    full for the export. S mixes the uniform graphs of k nearest neighbours of the modalities, from initial features.
    Loss: ``bpr(z_u, z) + content_weight * sum_m bpr(z_u, W_m f_m + b_m)``. An item without a modality has no edge in
    its graph and the learned missing vector as its projection.
    Source: Zhou and Shen, MM 2023, https://arxiv.org/abs/2211.06924.

    Shapes: users ``[n_users, d]`` and items ``[n_items, d]`` Xavier-uniform; W_m ``[d, D_m]``, b_m ``[d]`` torch's
    default; raw features ``[n_items, D_m]``, trainable by default; S sparse ``[n_items, n_items]``.
    """

    def __init__(self, config: FREEDOMConfig, context: ModelContext) -> None:
        super().__init__()
        self.config = config
        tables, dim = feature_tables("freedom", context), config.embedding_dim
        self.users, self.items = id_tables(context.train, dim)
        self.projections = FeatureProjections(tables, dim, trainable=config.train_features)
        self.item_graph = SparseOperator(mixed_item_graph(tables, config.n_neighbors, config.image_weight))
        self.graph = PrunedGraph(context.train, config.dropout, context.seeds)

    def on_epoch_start(self, epoch: int) -> None:
        """Draw the edges of an epoch; edges between popular nodes are dropped most."""
        self.graph.draw(epoch)

    def loss(self, batch: Triplets) -> LossTerms:
        """Return ``bpr``, ``bpr-M`` of each modality M, and plugged-in alignments."""
        item_ids = torch.cat((batch.positives, batch.negatives))
        user_table, item_table = self._propagate(self.graph.pruned)
        users = gather(user_table, batch.users)
        positives, negatives = gather(item_table, item_ids).chunk(2)
        terms = {"bpr": bpr(dot(users, positives), dot(users, negatives))}
        if weight := self.config.content_weight:
            for modality, content in self.projections.rows(item_ids).items():
                liked, other = content.chunk(2)
                terms[f"bpr-{modality}"] = weight * bpr(dot(users, liked), dot(users, other))
        if bma := self.config.alignment.bma:
            tables = (user_table, item_table)
            lines = projected_lines(*tables, batch.users, batch.positives, self.projections, self.graph.full)
            terms |= behaviour_modal_alignment(bma, *lines)
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return the tables propagated on the full graph."""
        users, items = self._propagate(self.graph.full)
        return Representations(users.clone(), items)

    def _propagate(self, graph: BipartiteOperator) -> tuple[Tensor, Tensor]:
        ids = self.items.all()
        users, items = graph.propagate(self.users.all(), ids, self.config.n_layers)
        return users, add_smoothed(items, ids, self.item_graph, self.config.n_item_layers)
