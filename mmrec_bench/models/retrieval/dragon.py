"""DRAGON: encoders of modalities on the user-item graph, then a graph of users and a graph of items."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from mmrec_bench.graph.sparse import SparseOperator
from mmrec_bench.models.base import MODELS, Citation, ModelContext
from mmrec_bench.models.blocks import add_smoothed, feature_tables, gather, mixed_item_graph, smoothed
from mmrec_bench.models.user_graph import UserGraphConfig, UserGraphModel


class DRAGONConfig(UserGraphConfig):
    """Settings of `DRAGON`; users and items have d values for each modality."""

    name: Literal["dragon"] = "dragon"
    n_item_layers: NonNegativeInt = 1
    """Propagations on the item graph."""
    n_neighbors: PositiveInt = 10
    """Neighbours k of an item in each modality, itself included."""
    image_weight: float = Field(default=0.1, ge=0.0, le=1.0)
    """Weight of the image graph; the other modalities share the rest. Read only where there are images and others."""


@MODELS.add(
    "dragon",
    task="retrieval",
    config=DRAGONConfig,
    paper=Citation(
        title="Enhancing Dyadic Relations with Homogeneous Graphs for Multimodal Recommendation",
        authors="Zhou et al.",
        venue="ECAI 2023",
        url="https://arxiv.org/abs/2301.12097",
    ),
    deviations=(
        "What the released code registers and never uses is left out: a gate of items, trainable feature tables, their "
        "projections and three small networks.",
        "Users whose list is filled up in training have their plain list in fresh scores.",
    ),
    uses_features=True,
)
class DRAGON(UserGraphModel):
    """Scores ``y_ui = z_u . z_i``, d of each vector for every modality.

    - Encoder of a modality: ``r = x + A x + A A x``, ``x = norm([p ; MLP(f)])``, A the normalised user-item graph, p
      free preferences of users, and the MLP two linear maps with a leaky ReLU between.
    - Users: ``r_u = [a_m r_m]``, a the gates of u, and ``z_u = r_u + sum_k w_k r_k`` over the users who share most
      training items with u, w the softmax of how many.
    - Items: ``r_i = [r_m]`` and ``z_i = r_i + S^n r_i``, S the mixed graph of nearest neighbours of FREEDOM.

    Loss: ``bpr(z) + reg_weight * (sum_m mean p_m^2 + mean a^2)``. Gates start at the softmax of Xavier-normal draws and
    are free afterwards. An item without a modality has no edge in its graph and a learned missing vector as its hidden
    layer.
    Source: Zhou et al., ECAI 2023, https://arxiv.org/abs/2301.12097. Shapes: see `UserGraphModel`.
    """

    config: DRAGONConfig

    def __init__(self, config: DRAGONConfig, context: ModelContext) -> None:
        tables = feature_tables("dragon", context)
        super().__init__(config, context, tables)
        self.item_graph = SparseOperator(mixed_item_graph(tables, config.n_neighbors, config.image_weight))

    def width(self, n_modalities: int) -> int:
        """Return M d."""
        return n_modalities * self.config.embedding_dim

    def fuse(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return all modalities side by side, those of users gated, ``[n, M d]``."""
        return (users * self.gates).flatten(1), items.flatten(1)

    def final_items(self, table: Tensor, ids: Tensor | None = None) -> Tensor:
        """Return ``r + S^n r`` of some items, or of all."""
        n_layers = self.config.n_item_layers
        if ids is None:
            return add_smoothed(table, table, self.item_graph, n_layers)
        own = gather(table, ids)
        if n_layers == 0:
            return own + own
        return own + self.item_graph.rows(ids, smoothed(table, self.item_graph, n_layers - 1))
