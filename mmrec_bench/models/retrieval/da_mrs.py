"""DA-MRS: item graphs that modalities and behaviour clean of noise, feedback weighed by confidence, views aligned."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from mmrec_bench import row_share
from mmrec_bench.errors import ModelError
from mmrec_bench.graph.consistent import consistent_graphs, shared_users_graph
from mmrec_bench.graph.sparse import SparseOperator
from mmrec_bench.losses import dot
from mmrec_bench.models.base import MODELS, Citation, LossTerms, ModelConfig, ModelContext, Triplets
from mmrec_bench.models.blocks import directions, feature_tables, gather, smoothed
from mmrec_bench.models.collaborative import CollaborativeModel
from mmrec_bench.models.graded_relations import graded_relations
from mmrec_bench.retrieval.base import Representations


class DAMRSConfig(ModelConfig):
    """Settings of `DAMRS`; the released code has no switch that differs."""

    name: Literal["da-mrs"] = "da-mrs"
    embedding_dim: PositiveInt = 64
    """Size d of user and item vectors."""
    n_layers: NonNegativeInt = 2
    """Propagations on the user-item graph."""
    n_item_layers: NonNegativeInt = 1
    """Propagations on the item graph of each view."""
    n_neighbors: PositiveInt = 10
    """Neighbours k of an item in each modality, itself included."""
    n_behaviour_neighbors: PositiveInt = 2
    """Other items in the behaviour graph: those that share most users with an item."""
    min_shared_users: PositiveInt = 2
    """Users that two items must share to be neighbours there."""
    relation_weight: NonNegativeFloat = 1e-3
    """Weight of the graded relations among items."""
    n_relations: PositiveInt = 10
    """Items of a grade; there must be more than twice as many."""
    temperature: PositiveFloat = 0.2
    """Temperature of the graded relations."""
    preference_weight: NonNegativeFloat = 1.0
    """Weight of the agreement of preferences from behaviour and from views."""


@MODELS.add(
    "da-mrs",
    task="retrieval",
    config=DAMRSConfig,
    paper=Citation(
        title="Improving Multi-modal Recommender Systems by Denoising and Aligning Multi-modal Content and User "
        "Feedback",
        authors="Xv et al.",
        venue="KDD 2024",
        url="https://arxiv.org/abs/2406.12501",
    ),
    deviations=(
        "The model on LightGCN; features make graphs and nothing else, so that what the released code registers beside "
        "and never trains, feature tables and projections, is left out.",
        "The behaviour graph is made from the training interactions here; the released code reads it from a file.",
        "Any number of modalities; with image and text nothing changes. Where one of two items lacks a modality, it "
        "does not speak against their edge in another.",
    ),
    uses_features=True,
)
class DAMRS(CollaborativeModel):
    """Scores ``y_ui = c_u . (c_i + h_i)``.

    c is the mean of propagations of the tables of users and items, ``h_x = S_x^n e`` the view x of the items, and h the
    mean of the views. There is a view of each modality, S its nearest neighbours among the pairs that are alike in all
    modalities, and one of behaviour, S the items that share most users. All entries of S weigh ``1 / sqrt(n_i n_j)``.

    With ``p_x = sigmoid(c_u . norm(h_xi))`` of an observed pair, n_x of its negative, and n the mean of these over
    views and batch, a pair is trusted by ``w = mean(p) exp(-2 var(p))`` and taken for noise by ``w' = max(p) - n`` if
    ``mean(p) < n`` (else 0), both cut to 0..1 and without gradient. With x the difference of the two scores::

        loss = -mean(w log sigmoid(x) + w' log sigmoid(-x))
             + relation_weight * mean over items of the batch of their graded relations        `graded_relations`
             + preference_weight * mean over users and items of the batch of KL(g, m) + KL(m, g)

    where g and m are the probabilities ``sigmoid(c_u . norm(c_i))`` and ``sigmoid(c_u . norm(h_i))``; items of the
    batch are positives and negatives, and users and items that repeat count once. An item without a modality has no
    edge in its graph, so its view is zero.
    Source: Xv et al., KDD 2024, https://arxiv.org/abs/2406.12501.

    Shapes: users ``[n_users, d]`` and items ``[n_items, d]`` Xavier-uniform; all graphs sparse ``[n_items, n_items]``.

    Raises:
        ModelError: There are too few items for two grades of relations.
    """

    def __init__(self, config: DAMRSConfig, context: ModelContext) -> None:
        super().__init__(context.train, config.embedding_dim)
        self.config = config
        train, tables = context.train, feature_tables("da-mrs", context)
        if config.relation_weight and 2 * config.n_relations >= train.n_items:
            raise ModelError(
                f"da-mrs needs more than 2 n_relations = {2 * config.n_relations} items; there are {train.n_items}. "
                "Lower model.n_relations"
            )
        graphs = consistent_graphs([table.unit() for table in tables], config.n_neighbors)
        graphs.append(shared_users_graph(train.matrix(), config.n_behaviour_neighbors, config.min_shared_users))
        self.item_graphs = nn.ModuleList(map(SparseOperator, graphs))

    def loss(self, batch: Triplets) -> LossTerms:
        """Return ``bpr``, ``relations`` and ``preference``."""
        config = self.config
        users, items, views = self._propagate()
        mean_view, units = views.mean(dim=0), directions(views)
        final = items + mean_view
        of_users = gather(users, batch.users)
        gaps = dot(of_users, gather(final, batch.positives)) - dot(of_users, gather(final, batch.negatives))
        trusted, noise = confidence(of_users.detach(), units.detach(), batch)
        terms = {"bpr": (trusted * F.softplus(-gaps) + noise * F.softplus(gaps)).mean()}
        item_ids = torch.cat((batch.positives, batch.negatives))
        if config.relation_weight:
            ids = own_part(item_ids)
            relations = graded_relations(units, ids, config.n_relations, config.temperature)
            terms["relations"] = config.relation_weight * row_share.mean_over(relations, ids.new_tensor(len(ids)))
        if config.preference_weight:
            rows = gather(users, own_part(batch.users))
            ids = torch.unique(row_share.all_rows(item_ids))
            by_behaviour = rows @ directions(gather(items, ids)).T
            by_views = rows @ directions(gather(mean_view, ids)).T
            # KL(g, m) + KL(m, g) of two coins with logits a and b is (sigmoid a - sigmoid b) (a - b).
            gap = (by_behaviour.sigmoid() - by_views.sigmoid()) * (by_behaviour - by_views)
            agreement = row_share.mean_over(gap.sum(), ids.new_tensor(gap.numel()))
            terms["preference"] = config.preference_weight * agreement
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return behaviour of users, and behaviour plus the mean view of items."""
        users, items, views = self._propagate()
        return Representations(users.clone(), items + views.mean(dim=0))

    def _propagate(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return c of users and of items, and the views of items, ``[V, n_items, d]``."""
        ids = self.items.all()
        users, items = self.graph.propagate(self.users.all(), ids, self.config.n_layers)
        views = [smoothed(ids, graph, self.config.n_item_layers) for graph in self.item_graphs]
        return users, items, torch.stack(views)


def confidence(users: Tensor, units: Tensor, batch: Triplets) -> tuple[Tensor, Tensor]:
    """Return how far observed pairs are trusted, and how far they are taken for noise, ``[B]`` each.

    Args:
        users: c of the users of the batch, ``[B, d]``.
        units: Views of all items at unit length, ``[V, n_items, d]``.
        batch: The pairs and their negatives.
    """
    liked, other = (
        torch.sigmoid((users * units.index_select(1, ids)).sum(dim=2)) for ids in (batch.positives, batch.negatives)
    )
    n_pairs = len(units) * row_share.n_rows(batch.users)
    level = row_share.total(other.sum()) / n_pairs
    mean = liked.mean(dim=0)
    trusted = (mean * torch.exp(-2.0 * liked.var(dim=0))).clamp(0.0, 1.0)
    noise = ((liked.amax(dim=0) - level) * (mean < level)).clamp(0.0, 1.0)
    return trusted, noise


def own_part(ids: Tensor) -> Tensor:
    """Return the ids of the whole batch without repeats; where processes share it, a part each, all of them together.

    On accelerators, too: what each id costs, a row of all items, is more than waiting for their number.
    """
    distinct: Tensor = torch.unique(row_share.all_rows(ids))
    share = row_share.present()
    if share is None:
        return distinct
    return distinct[len(distinct) * share.start // share.n_rows : len(distinct) * share.stop // share.n_rows]
