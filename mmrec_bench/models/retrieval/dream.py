"""DREAM: a behaviour line and a modal line, kept apart, supervised by raw similarities, and aligned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import numpy as np
import scipy.sparse as sp
import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.data.interactions import Interactions
from mmrec_bench.graph.co_occurrence import co_occurrence_graph
from mmrec_bench.graph.neighbours import Weighting
from mmrec_bench.losses import batch_l2, bpr, dot
from mmrec_bench.models.alignment import (
    AlignableConfig,
    AlignmentConfig,
    BMAConfig,
    TwoLines,
    behaviour_modal_alignment,
)
from mmrec_bench.models.base import MODELS, Citation, LossTerms, ModelContext, Triplets
from mmrec_bench.models.blocks import Distinct, feature_tables, gather, item_graph
from mmrec_bench.models.collaborative import CollaborativeModel
from mmrec_bench.models.modal_line import (
    FilteredContent,
    Gate,
    ModalityFusion,
    RelationGraphs,
    SimilaritySupervision,
    content_neighbours,
)
from mmrec_bench.retrieval.base import Representations


class DREAMConfig(AlignableConfig):
    """Settings of `DREAM`; no code was released, so the preset ``released`` changes nothing.

    The paper's ablations: without its modal encoder ``gate: none, n_item_layers: 0, user_graph: none``; without S3
    ``s3_weight: 0``; without BMA ``alignment: {bma: null}``, or ``intra_weight: 0`` or ``inter_weight: 0`` in it.
    """

    name: Literal["dream"] = "dream"
    embedding_dim: PositiveInt = 64
    """Size d of user and item vectors."""
    n_layers: NonNegativeInt = 2
    """Propagations of the behaviour line on the user-item graph."""
    gate: Gate = "self"
    """Filter gate of each modality. ``self``: content passes the gate that it opens. ``id``: item identities pass the
    gate that content opens, as in MGCN; the modal line then reads the table of items. ``none``: no gate."""
    n_item_layers: NonNegativeInt = 1
    """Propagations on the item graph of each modality; 0 leaves the graphs out."""
    n_neighbors: PositiveInt = 10
    """Neighbours k of an item in each modality, itself included."""
    weighting: Weighting = "cosine"
    """Weights of edges between items, and of those between users by features."""
    user_content: Literal["filtered", "propagated"] = "filtered"
    """Whether users gather the content of their items before or after it passes the item graphs."""
    user_graph: Literal["features", "co-occurrence", "none"] = "features"
    """Relation graph of users. ``features``: nearest by the mean raw features of their training items, a graph a
    modality. ``co-occurrence``: those who share most items, one graph for all modalities. ``none``: no graph."""
    n_user_layers: PositiveInt = 1
    """Propagations on the user graph; each adds neighbours to what a user has."""
    n_user_neighbors: PositiveInt = 20
    """Neighbours k of a user; by features itself included, and fewer where no more than k users have features."""
    modality_fusion: Literal["mean", "softmax"] = "mean"
    """Modal vectors are the mean over modalities, or weighted by a learned softmax, the same for all users and items;
    of one modality both are the same."""
    fusion: Literal["sum", "concatenate"] = "sum"
    """How behaviour and modal vectors become the final ones; side by side, the scores of both lines add up."""
    s3_weight: NonNegativeFloat = 0.3
    """Weight of the similarity supervised signal; 0 leaves it out."""
    user_s3_weight: NonNegativeFloat = 0.1
    """What the signal of users counts beside that of items; 0 leaves it out."""
    s3_norm: bool = False
    """Whether the signal compares cosines of modal vectors, or their inner products, with the cosines of raw ones."""
    reg_weight: NonNegativeFloat = 1e-4
    """Weight of half the squares of the final vectors in the batch."""
    alignment: AlignmentConfig = AlignmentConfig(bma=BMAConfig())
    """Behaviour-modal alignment; on by default, since it is a part of the model."""


@MODELS.add(
    "dream",
    task="retrieval",
    config=DREAMConfig,
    paper=Citation(
        title="DREAM: A Dual Representation Learning Model for Multimodal Recommendation",
        authors="Zhang et al.",
        venue="arXiv 2024",
        url="https://arxiv.org/abs/2404.11119",
    ),
    deviations=(
        "A reconstruction from abstracts and reviews, since no code was released; the docstring says what is certain. "
        "Its numbers are its own.",
        "Negative cosines of neighbours are cut to zero, so that no weight is undefined.",
    ),
    uses_features=True,
)
class DREAM(CollaborativeModel):
    """Scores ``y_ui = e_u . e_i`` with ``e = B + M``, B from the behaviour line and M from the modal line.

    - Behaviour: B is the mean of propagations of the tables of users and items.
    - Content of items, for each modality m with frozen raw features x: ``p = W x + b``, filtered
      ``f = p * sigmoid(G p + c)``, then ``h_i = S f`` with S the cosine graph of k nearest items.
    - Content of users: ``v = R f``, R the normalised user-item block, then ``h_u = S' v + v``, S' a graph of users.
    - ``M`` is the mean of h over the modalities. All graphs are frozen.

    With a batch of B pairs (u, i), H_m the rows of h_i in it, C_m the cosines of their raw features::

        loss = bpr(e) + reg_weight * reg(e) + BMA of (B, M)           see `behaviour_modal_alignment`
             + s3_weight * sum_m (||H_m H_m^T - C_m||_F / B + user_s3_weight * the same of users)

    where the raw features of a user are the mean over its training items, and no gradient goes to C_m.

    Source: Zhang et al., https://arxiv.org/abs/2404.11119 (version 1 calls the model DRepMRec). This is a
    **reconstruction** from the abstracts of both versions and from reviews of the paper, written out above as it is by
    default; no code was released.

    - Certain: two lines, with frozen raw features in the modal one (trained ones forget); LightGCN as the
      behaviour line; a modal encoder of filter gates and relation graphs, for items and for users; a signal that keeps
      the similarities of raw features; intra- and inter-alignment; a simple fusion; ablations of each.
    - Likely, from the first author's code in the release of AlignRec: the form of the signal, a graph of users with
      k = 20, and the weight of its signal, off there.
    - Guessed, each with a switch: `gate`, `weighting`, `user_content`, `user_graph`, `modality_fusion`, `fusion`,
      `s3_norm`, and form, direction and weights of the alignments (`BMAConfig`). Also guessed: that v stays beside its
      neighbours, and all weights.

    An item without a modality: its p there is a learned vector, which its users read; it has no edge in S, so h is zero
    there (with ``n_item_layers: 0``, h is f) and counts as zero in the mean; an item without any has M = 0. It is left
    out of the modality's signal, and of the mean over a user's items; a user without any other item is left out of the
    signal, too, and has no edge in the graph by features. A raw vector of zeros has no edge and no part in the signal.

    Shapes: users ``[n_users, d]`` and items ``[n_items, d]`` Xavier-uniform; W ``[d, D_m]``, G ``[d, d]`` and their
    biases torch's default; raw features ``[n_items, D_m]`` constant.
    """

    def __init__(self, config: DREAMConfig, context: ModelContext) -> None:
        super().__init__(context.train, config.embedding_dim)
        self.config = config
        train, dim, tables = context.train, config.embedding_dim, feature_tables("dream", context)
        lost = config.user_content == "propagated" and config.n_item_layers > 0  # absent items have no edge
        self.contents = nn.ModuleList(
            FilteredContent(table, dim, config.gate, replace_missing=not lost) for table in tables
        )
        self.modality_fusion = ModalityFusion(len(tables), learned=config.modality_fusion == "softmax")
        self.item_graphs: RelationGraphs | None = None
        if config.n_item_layers:
            graphs = [item_graph(table, config.n_neighbors, config.weighting) for table in tables]
            self.item_graphs = RelationGraphs(graphs, config.n_item_layers)
        self.user_graphs = user_graphs(config, train, tables)
        self.item_s3 = SimilaritySupervision(tables, None, config.s3_norm) if config.s3_weight else None
        signal = config.s3_weight and config.user_s3_weight
        self.user_s3 = SimilaritySupervision(tables, train, config.s3_norm) if signal else None

    def loss(self, batch: Triplets) -> LossTerms:
        """Return ``bpr``, ``reg``, terms of BMA, ``s3-items-M`` and ``s3-users-M`` of each modality M."""
        config = self.config
        user_table, item_table, content = self._propagate()
        # The last layers, fusion and losses work row by row, so they are spent on the rows of the batch alone.
        of_users, *of_items = (Distinct.of(ids) for ids in (batch.users, batch.positives, batch.negatives))
        sizes, item_ids = [len(rows.ids) for rows in of_items], torch.cat([rows.ids for rows in of_items])
        user_views, item_views = self._view_users(content, of_users.ids), self._view_items(content, item_ids)
        users = TwoLines(of_users, gather(user_table, of_users.ids), self.modality_fusion(user_views))
        behaviour, modal = (
            torch.split(table, sizes) for table in (gather(item_table, item_ids), self.modality_fusion(item_views))
        )
        positives, negatives = map(TwoLines, of_items, behaviour, modal)
        e_u, e_i, e_j = (
            part.rows.expand(self._final(part.behaviour, part.modal)) for part in (users, positives, negatives)
        )
        terms = {"bpr": bpr(dot(e_u, e_i), dot(e_u, e_j))}
        if config.reg_weight:
            terms["reg"] = config.reg_weight * batch_l2(e_u, e_i, e_j)
        if bma := config.alignment.bma:
            terms |= behaviour_modal_alignment(bma, users, positives)
        raw = [content.projection.raw for content in cast(list[FilteredContent], list(self.contents))]
        if self.item_s3 is not None:
            for modality, gap in self.item_s3(positives.rows, item_views[: sizes[0]], raw).items():
                terms[f"s3-items-{modality}"] = config.s3_weight * gap
        if self.user_s3 is not None:
            for modality, gap in self.user_s3(users.rows, user_views, raw).items():
                terms[f"s3-users-{modality}"] = config.s3_weight * config.user_s3_weight * gap
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return behaviour plus content of all users and items."""
        users, items, content = self._propagate()
        return Representations(
            self._final(users, self.modality_fusion(self._view_users(content))),
            self._final(items, self.modality_fusion(self._view_items(content))),
        )

    def _final(self, behaviour: Tensor, modal: Tensor) -> Tensor:
        return behaviour + modal if self.config.fusion == "sum" else torch.cat((behaviour, modal), dim=1)

    def _propagate(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return behaviour of users and of items, and filtered content of items, ``[n_items, M d]``."""
        ids = self.items.all()
        users, items = self.graph.propagate(self.users.all(), ids, self.config.n_layers)
        return users, items, torch.cat([content(ids) for content in self.contents], dim=1)

    def _view_items(self, content: Tensor, ids: Tensor | None = None) -> Tensor:
        """Return content of all or some items after their graphs, ``[n, M d]``."""
        if self.item_graphs is None:
            return content if ids is None else gather(content, ids)
        linked: Tensor = self.item_graphs(content, ids)
        return linked

    def _view_users(self, content: Tensor, ids: Tensor | None = None) -> Tensor:
        """Return content of all or some users, and of those they are linked to, ``[n, M d]``."""
        if self.config.user_content == "propagated":
            content = self._view_items(content)
        if self.user_graphs is None:
            return self.graph(content) if ids is None else self.graph.rows(ids, content)
        linked: Tensor = self.user_graphs(self.graph(content), ids)
        return linked


def user_graphs(config: DREAMConfig, train: Interactions, tables: Sequence[FeatureTable]) -> RelationGraphs | None:
    """Return the relation graphs of users, who keep their own vector in each layer; None where there are none."""
    k, own = config.n_user_neighbors, sp.identity(train.n_users, np.float32, "csr")
    if config.user_graph == "none":
        return None
    if config.user_graph == "features":
        graphs = [content_neighbours(train, table, k, config.weighting) for table in tables]
    else:
        graphs = [co_occurrence_graph(train.matrix(), k, "symmetric")]
    return RelationGraphs([graph + own for graph in graphs], config.n_user_layers)
