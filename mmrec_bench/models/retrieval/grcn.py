"""GRCN: attention on content weighs the edges on which identities are propagated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias, cast

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.graph.edges import BipartiteEdges
from mmrec_bench.losses import bpr, dot
from mmrec_bench.models.base import MODELS, Citation, LossTerms, ModelConfig, ModelContext, Triplets
from mmrec_bench.models.blocks import FeatureProjection, IdEmbedding, ItemHost, directions, feature_tables, gather
from mmrec_bench.models.last_batch import ScoreFrom, ranking_vectors
from mmrec_bench.models.nodes import joint_tables
from mmrec_bench.retrieval.base import Representations

RoutingDirection: TypeAlias = Literal["item-to-user", "user-to-item"]


class GRCNConfig(ModelConfig):
    """Settings of `GRCN`."""

    RELEASED: ClassVar[Mapping[str, Any]] = {
        "routing_direction": "user-to-item",
        "reg_image_twice": True,
        "score_from": "last-batch",
    }

    name: Literal["grcn"] = "grcn"
    embedding_dim: PositiveInt = 64
    """Size d of identities and of the vectors of each modality; users and items have d for each of these."""
    n_layers: NonNegativeInt = 2
    """Propagations of identities on the weighted edges; all layers are added up."""
    n_routings: NonNegativeInt = 3
    """Rounds in which users collect the content of their items; without effect where nothing flows to users."""
    routing_direction: RoutingDirection = "item-to-user"
    """``item-to-user``: users collect, as published. ``user-to-item``: as released, where the rounds send messages to
    items alone and throw these away, so that preferences of users stay as they are."""
    reg_image_twice: bool = False
    """Whether preferences for images are held down once more, those of all users, as released."""
    reg_weight: NonNegativeFloat = 1e-3
    """Weight of the mean squares of the identities of the batch and of the preferences of its users."""
    score_from: ScoreFrom = "fresh"
    """What users and items are ranked by; released code keeps vectors of the last training batch."""


@MODELS.add(
    "grcn",
    task="retrieval",
    config=GRCNConfig,
    paper=Citation(
        title="Graph-Refined Convolutional Network for Multimedia Recommendation with Implicit Feedback",
        authors="Wei et al.",
        venue="MM 2020",
        url="https://arxiv.org/abs/2111.02036",
    ),
    deviations=("Any modalities; the released code fails with text alone.",),
    uses_features=True,
)
class GRCN(ItemHost):
    """Scores ``y_ui = z_u . z_i`` with ``z = [q, c_m]``: d values from identities, and d of each modality.

    - Content: ``f = norm(leaky(W_m f_m + b_m))`` of items and ``p = norm(p_m)`` of users, who collect from their items
      in some rounds, ``p <- norm(p + sum_i a_ui f_i)``, a the softmax of ``p_u . f_i`` over the items of u. Then with
      ``x = [p ; f]`` on edges in both directions ``c_m = x + sum_e a_e x_source``, a the softmax of ``x_target .
      x_source`` over the edges into a target.
    - Edges: ``w_e = relu(max_m a_e^m C_source,m)``, C learned confidences: what no modality speaks for is cut.
    - Identities: ``q = x + W x + W W x + ...``, ``x = norm(e)``, W the weights w.

    Loss: ``bpr(z) + reg_weight * (mean e_u^2 + mean e_i^2 + sum_m mean p_m^2)`` over the batch. An item without a
    modality has a learned missing vector as its projection. Inner products of edges, of both directions at once, are
    taken only where there is an edge.
    Source: Wei et al., MM 2020, https://arxiv.org/abs/2111.02036.

    Shapes: e ``[n_users + n_items, d]``, C ``[n_users + n_items, M]``, p_m ``[n_users, d]`` and W_m ``[d, D_m]``
    Xavier-normal; b_m torch's default. Raw features constant.
    """

    def __init__(self, config: GRCNConfig, context: ModelContext) -> None:
        super().__init__()
        self.config = config
        train, tables = context.train, feature_tables("grcn", context)
        sizes = (train.n_users, train.n_items)
        self.users, self.items = joint_tables(*sizes, config.embedding_dim, "xavier_normal")
        self.user_confidences, self.item_confidences = joint_tables(*sizes, len(tables), "xavier_normal")
        self.edges = BipartiteEdges(train.users, train.items, *sizes)
        self.views = nn.ModuleList(RoutedContent(train.n_users, table, config) for table in tables)
        self.ranked_by = ranking_vectors(config.score_from, *sizes, (1 + len(tables)) * config.embedding_dim)

    def loss(self, batch: Triplets) -> LossTerms:
        """Return ``bpr`` and ``reg``."""
        item_ids = torch.cat((batch.positives, batch.negatives))
        user_tables, item_tables = self._encode()
        self.ranked_by.keep(lambda: (torch.cat(user_tables, dim=1), torch.cat(item_tables, dim=1)))
        users = torch.cat([gather(table, batch.users) for table in user_tables], dim=1)
        positives, negatives = torch.cat([gather(table, item_ids) for table in item_tables], dim=1).chunk(2)
        terms = {"bpr": bpr(dot(users, positives), dot(users, negatives))}
        if self.config.reg_weight:
            parts = [self.users.rows(batch.users), self.items.rows(item_ids)]
            for view in self._content_views():
                parts.append(view.preferences.rows(batch.users))
                if self.config.reg_image_twice and view.modality == "image":
                    parts.append(view.preferences.all())
            squares = torch.stack([part.square().mean() for part in parts])
            terms["reg"] = self.config.reg_weight * squares.sum()
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return the vectors of all users and items, ``[n, (1 + M) d]``."""
        return self.ranked_by.or_fresh(self._fresh)

    def _fresh(self) -> Representations:
        users, items = self._encode()
        return Representations(torch.cat(users, dim=1), torch.cat(items, dim=1))

    def _content_views(self) -> list[RoutedContent]:
        return cast(list[RoutedContent], list(self.views))

    def _encode(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return the parts of the vectors of users and of items: identities, then content of each modality."""
        edges, to_users, to_items = self.edges, [], []
        user_tables, item_tables = [], []
        for place, view in enumerate(self._content_views()):
            users, items = view(edges)
            logits = edges.products(users, items)  # the same in both directions
            at_users, at_items = edges.softmax(logits, "users"), edges.softmax(logits, "items")
            user_tables.append(users + edges.to_users(at_users, items))
            item_tables.append(items + edges.to_items(at_items, users))
            # What flows to users comes from items, so the confidence in these counts, and the other way round.
            to_users.append(at_users * edges.spread(self.item_confidences.all()[:, place], "items"))
            to_items.append(at_items * edges.spread(self.user_confidences.all()[:, place], "users"))
        user_ids, item_ids = self._propagate(*(torch.stack(both).amax(dim=0).relu() for both in (to_users, to_items)))
        return [user_ids, *user_tables], [item_ids, *item_tables]

    def _propagate(self, to_users: Tensor, to_items: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums of all layers of identities."""
        users, items = directions(self.users.all()), directions(self.items.all())
        user_sum, item_sum = users, items
        for _ in range(self.config.n_layers):
            users, items = self.edges.to_users(to_users, items), self.edges.to_items(to_items, users)
            user_sum, item_sum = user_sum + users, item_sum + items
        return user_sum, item_sum


class RoutedContent(nn.Module):
    """One modality: preferences of users and projected features of items, before attention weighs edges.

    Args:
        n_users: Number of users.
        table: The features.
        config: Settings.
    """

    def __init__(self, n_users: int, table: FeatureTable, config: GRCNConfig) -> None:
        super().__init__()
        self.modality = table.modality
        self.preferences = IdEmbedding(n_users, config.embedding_dim, "xavier_normal")
        self.content = FeatureProjection(table, config.embedding_dim, initialiser="xavier_normal")
        # Rounds in the other direction leave a vector of length one as it is.
        self.n_routings = config.n_routings if config.routing_direction == "item-to-user" else 0

    def forward(self, edges: BipartiteEdges) -> tuple[Tensor, Tensor]:
        """Return vectors of length one, of users ``[n_users, d]`` and of items ``[n_items, d]``."""
        users, items = directions(self.preferences.all()), directions(F.leaky_relu(self.content.all()))
        for _ in range(self.n_routings):
            attention = edges.softmax(edges.products(users, items), "users")
            users = directions(users + edges.to_users(attention, items))
        return users, items
