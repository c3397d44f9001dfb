"""PGL: learns from the principal part of the user-item graph, serves on all of it; items are their content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from mmrec_bench import row_share
from mmrec_bench.graph.bipartite import BipartiteOperator, normalised_interactions
from mmrec_bench.graph.sparse import SparseOperator
from mmrec_bench.graph.spectral import principal_subgraph
from mmrec_bench.losses import bpr, dot, info_nce
from mmrec_bench.models.base import (
    MODELS,
    Citation,
    GradientRecommender,
    LossTerms,
    ModelConfig,
    ModelContext,
    Triplets,
)
from mmrec_bench.models.blocks import (
    FeatureProjection,
    FeatureProjections,
    IdEmbedding,
    add_smoothed,
    directions,
    feature_tables,
    gather,
    mixed_item_graph,
)
from mmrec_bench.models.pruned_graph import PrunedGraph
from mmrec_bench.retrieval.base import Representations


class PGLConfig(ModelConfig):
    """Settings of `PGL`."""

    RELEASED: ClassVar[Mapping[str, Any]] = {"contrastive_weight": 0.0}

    name: Literal["pgl"] = "pgl"
    embedding_dim: PositiveInt = 64
    """Size d of the vectors of one modality; users and items have d for each."""
    n_layers: NonNegativeInt = 2
    """Propagations on the user-item graph."""
    n_item_layers: NonNegativeInt = 1
    """Propagations on the item graph."""
    n_neighbors: PositiveInt = 10
    """Neighbours k of an item in each modality, itself included."""
    image_weight: float = Field(default=0.1, ge=0.0, le=1.0)
    """Weight of the image graph; the other modalities share the rest. Read only where there are images and others."""
    subgraph: Literal["local", "global"] = "local"
    """What is trained on. ``local``: edges drawn anew for every epoch, those between popular nodes least. ``global``:
    the leading singular triplets of the whole graph."""
    edge_dropout: float = Field(default=0.7, ge=0.0, lt=1.0)
    """Share of user-item edges left out of an epoch. Read by ``local``."""
    n_triplets: int = Field(default=32, gt=0, multiple_of=4)
    """Singular triplets of the interaction block; the first quarter is kept, the last gives weights. 32 are the 64 of
    the adjacency in the released code, where each is twice. Read by ``global``."""
    threshold: NonNegativeFloat = 1e-3
    """Smaller entries of the subgraph are dropped. Read by ``global``."""
    contrastive_weight: NonNegativeFloat = 0.05
    """Weight of the contrast of two dropouts of the same vectors; the published runs set 0.05 to 0.5, the released
    settings leave it out."""
    temperature: PositiveFloat = 0.2
    """Temperature of that contrast."""
    dropout: float = Field(default=0.2, ge=0.0, lt=1.0)
    """Share of the coordinates dropped on either side of that contrast."""
    train_features: bool = True
    """Whether the raw features are fine-tuned, as released; false is a deviation, and faster."""

    @property
    def label(self) -> str:
        """``pgl``, or ``pgl(global)``: the paper reports the two as systems of their own."""
        return self.name if self.subgraph == "local" else f"{self.name}({self.subgraph})"


@MODELS.add(
    "pgl",
    task="retrieval",
    config=PGLConfig,
    paper=Citation(
        title="Mind Individual Information! Principal Graph Learning for Multimedia Recommendation",
        authors="Yu et al.",
        venue="AAAI 2025",
        url="https://doi.org/10.1609/aaai.v39i12.33429",
    ),
    deviations=("Any number of modalities, side by side; with image and text nothing changes.",),
    uses_features=True,
)
class PGL(GradientRecommender):
    """Scores ``y_ui = z_u . z_i``, d of each vector for every modality; no item has an identity.

    ``x_i = [norm(W_m f_m + b_m)]`` and x_u a free vector of each modality. ``[z_u ; z'_i]`` is the mean of propagations
    of x on the user-item graph: on a principal subgraph in training, on the full graph for the export. Then
    ``z_i = z'_i + S^n x_i``, S the mixed graph of nearest neighbours of FREEDOM.

    Subgraphs: ``local`` is the pruned graph of FREEDOM, with its degrees counted anew. ``global`` is fixed: of the n
    leading singular triplets of the normalised interaction block, ``sum_j t_j t_{j + 3n/4} p_j q_j^T`` over the first
    quarter, without small entries (`principal_subgraph`).

    Loss: ``bpr(z) + contrastive_weight / 2 * [nce(drop(z_u), drop'(z_u)) + nce(drop(z_i), drop'(z_i))]``, i the
    positives, two dropouts drawn apart. An item without a modality has no edge in its graph and the learned missing
    vector as its projection.
    Source: Yu et al., AAAI 2025, https://doi.org/10.1609/aaai.v39i12.33429.

    Shapes: users ``[n_users, d]`` a modality, Xavier-uniform; W_m ``[d, D_m]``, b_m ``[d]`` torch's default; raw
    features ``[n_items, D_m]``, trainable by default; S sparse ``[n_items, n_items]``.

    Raises:
        ModelError: Fewer users or items than ``n_triplets``, with ``subgraph: global``.
    """

    def __init__(self, config: PGLConfig, context: ModelContext) -> None:
        super().__init__()
        self.config = config
        train, tables = context.train, feature_tables("pgl", context)
        self.users = nn.ModuleList(IdEmbedding(train.n_users, config.embedding_dim, "xavier_uniform") for _ in tables)
        self.projections = FeatureProjections(tables, config.embedding_dim, trainable=config.train_features)
        self.item_graph = SparseOperator(mixed_item_graph(tables, config.n_neighbors, config.image_weight))
        self.graph = PrunedGraph(train, config.edge_dropout if config.subgraph == "local" else 0.0, context.seeds)
        if config.subgraph == "global":
            block = normalised_interactions(train.users, train.items, train.n_users, train.n_items)
            start = context.seeds.numpy("principal-subgraph")
            self.graph.pruned = BipartiteOperator(principal_subgraph(block, config.n_triplets, config.threshold, start))

    def on_epoch_start(self, epoch: int) -> None:
        """Draw the edges of an epoch, if they are drawn."""
        self.graph.draw(epoch)

    def loss(self, batch: Triplets) -> LossTerms:
        """Return ``bpr``, ``contrastive-users`` and ``contrastive-items``."""
        user_table, item_table = self._propagate(self.graph.pruned)
        users = gather(user_table, batch.users)
        positives, negatives = (gather(item_table, ids) for ids in (batch.positives, batch.negatives))
        terms = {"bpr": bpr(dot(users, positives), dot(users, negatives))}
        if weight := self.config.contrastive_weight:
            for name, rows in (("users", users), ("items", positives)):
                terms[f"contrastive-{name}"] = 0.5 * weight * self._contrast(rows)
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return the vectors of all users and items on the full graph, ``[n, M d]``."""
        users, items = self._propagate(self.graph.full)
        return Representations(users, items)

    def _propagate(self, graph: BipartiteOperator) -> tuple[Tensor, Tensor]:
        users = torch.cat([table.all() for table in cast(Iterable[IdEmbedding], self.users)], dim=1)
        projections = cast(Iterable[FeatureProjection], self.projections)
        content = torch.cat([directions(projection.all()) for projection in projections], dim=1)
        users, items = graph.propagate(users, content, self.config.n_layers)
        return users, add_smoothed(items, content, self.item_graph, self.config.n_item_layers)

    def _contrast(self, rows: Tensor) -> Tensor:
        """Return the contrast of two dropouts; repeats of a row are dropped out apart, so each stands for itself."""
        one, other = (row_share.dropout(rows, self.config.dropout, self.training) for _ in range(2))
        return info_nce(one, other, self.config.temperature)
