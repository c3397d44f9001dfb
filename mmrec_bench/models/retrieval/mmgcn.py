"""MMGCN: a graph network of its own for every modality, tied together by identities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias, cast

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.graph.bipartite import mean_of_neighbours
from mmrec_bench.graph.sparse import SparseOperator
from mmrec_bench.models.base import MODELS, Citation, LossTerms, ModelConfig, ModelContext, Triplets
from mmrec_bench.models.blocks import (
    FeatureProjection,
    IdEmbedding,
    ItemHost,
    directions,
    feature_tables,
    initialise,
)
from mmrec_bench.models.collaborative import triplet_bpr
from mmrec_bench.models.last_batch import ScoreFrom, ranking_vectors
from mmrec_bench.models.nodes import RawFeatures, joint_tables, linear, side_by_side
from mmrec_bench.retrieval.base import Representations

Combine: TypeAlias = Literal["concat", "add"]


class MMGCNConfig(ModelConfig):
    """Settings of `MMGCN`."""

    RELEASED: ClassVar[Mapping[str, Any]] = {
        "train_free_tensors": False,
        "reg_preferences": "image",
        "score_from": "last-batch",
    }

    name: Literal["mmgcn"] = "mmgcn"
    embedding_dim: PositiveInt = 64
    """Size d of identities, of the vectors of a modality after its first layer, and of the final ones."""
    image_dim: PositiveInt = 256
    """Size to which images are projected before the first layer; other modalities enter as they are."""
    n_layers: PositiveInt = 3
    """Graph layers of each modality; the released code reads no such setting and has three."""
    combine: Combine = "concat"
    """How what neighbours say meets what a node knows: side by side before a linear map (``concat``), or added to the
    mapped neighbours (``add``). Released code means to add and, since its switch is a string, always has them side by
    side."""
    train_free_tensors: bool = True
    """Whether identities and preferences are trained; released code never registers them, so they stay random."""
    reg_preferences: Literal["all", "image"] = "all"
    """Whose preferences the regulariser holds down: those of every modality, or of images alone, as released."""
    reg_weight: NonNegativeFloat = 1e-3
    """Weight of the mean squares of the identities of the batch and of preferences; without effect where these are not
    trained."""
    score_from: ScoreFrom = "fresh"
    """What users and items are ranked by; released code keeps vectors of the last training batch."""


@MODELS.add(
    "mmgcn",
    task="retrieval",
    config=MMGCNConfig,
    paper=Citation(
        title="MMGCN: Multi-modal Graph Convolution Network for Personalized Recommendation of Micro-video",
        authors="Wei et al.",
        venue="MM 2019",
        url="https://doi.org/10.1145/3343031.3351034",
    ),
    deviations=(
        "Any modalities; those but images enter the first layer as they are, as text does in the released code.",
    ),
    uses_features=True,
)
class MMGCN(ItemHost):
    """Scores ``y_ui = z_u . z_i`` with z the mean of the modalities' last layers.

    Each modality starts at ``x = norm([p ; f])``, p free preferences of users and f the features, images projected.
    Then, layer by layer, ``h = leaky(M x W)``, M the mean over the neighbours in the user-item graph; ``k = leaky(x V +
    b) + e`` with identities e, which all layers and modalities share; and x becomes ``leaky([h, k] G + c)``.

    Loss: ``bpr(z) + reg_weight * (mean e_u^2 + mean e_i^2 + sum_m mean p_m^2)``: over the users and over the items of
    the batch, and over all preferences. An item without a modality has a learned missing vector in its place. Messages
    of all modalities pass through the graph side by side.
    Source: Wei et al., MM 2019, https://doi.org/10.1145/3343031.3351034.

    Shapes: e ``[n_users + n_items, d]`` and p_m ``[n_users, L]`` Xavier-normal, L the length of f; of the first layer W
    ``[L, L]``, V ``[d, L]``, G ``[d, L + d]`` Xavier-normal; later W ``[d, d]``, V ``[d, d]`` Xavier-normal and G
    ``[d, 2 d]``, biases and the projection of images torch's default. Raw features constant.
    """

    def __init__(self, config: MMGCNConfig, context: ModelContext) -> None:
        super().__init__()
        self.config = config
        train, tables = context.train, feature_tables("mmgcn", context)
        self.n_users = train.n_users
        trainable, dim = config.train_free_tensors, config.embedding_dim
        self.users, self.items = joint_tables(train.n_users, train.n_items, dim, "xavier_normal", trainable=trainable)
        self.views = nn.ModuleList(ModalView(train.n_users, table, config) for table in tables)
        self.graph = SparseOperator(
            mean_of_neighbours(train.users, train.items, train.n_users, train.n_items, with_self=False)
        )
        self.ranked_by = ranking_vectors(config.score_from, train.n_users, train.n_items, dim)

    def loss(self, batch: Triplets) -> LossTerms:
        """Return ``bpr`` and ``reg``."""
        users, items = self._propagate()
        self.ranked_by.keep(lambda: (users, items))
        terms = {"bpr": triplet_bpr(users, items, batch)}
        if self.config.reg_weight:
            rows = (self.users.rows(batch.users), self.items.rows(torch.cat((batch.positives, batch.negatives))))
            squares = [part.square().mean() for part in (*rows, *self._held_preferences())]
            terms["reg"] = self.config.reg_weight * torch.stack(squares).sum()
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return the final vectors of all users and items."""
        return self.ranked_by.or_fresh(self._fresh)

    def _fresh(self) -> Representations:
        return Representations(*self._propagate())

    def _modal_views(self) -> list[ModalView]:
        return cast(list[ModalView], list(self.views))

    def _held_preferences(self) -> list[Tensor]:
        """Return the preferences that the regulariser acts on."""
        everyone = self.config.reg_preferences == "all"
        return [view.preferences.all() for view in self._modal_views() if everyone or view.modality == "image"]

    def _propagate(self) -> tuple[Tensor, Tensor]:
        """Return the final vectors of users and items."""
        identities = torch.cat((self.users.all(), self.items.all()))
        views = self._modal_views()
        nodes = [view() for view in views]
        for depth in range(self.config.n_layers):
            layers = [cast(MMGCNLayer, view.layers[depth]) for view in views]
            messages = [x @ layer.weight for x, layer in zip(nodes, layers, strict=True)]
            heard = side_by_side(self.graph, messages)
            nodes = [layer(*parts, identities) for layer, *parts in zip(layers, heard, nodes, strict=True)]
        final = torch.stack(nodes).mean(dim=0)
        return final[: self.n_users], final[self.n_users :]


class ModalView(nn.Module):
    """One modality: what its nodes start with, and its layers.

    Args:
        n_users: Number of users.
        table: The features.
        config: Settings.
    """

    def __init__(self, n_users: int, table: FeatureTable, config: MMGCNConfig) -> None:
        super().__init__()
        self.modality = table.modality
        self.content: FeatureProjection | RawFeatures
        if table.modality == "image":
            self.content, width = FeatureProjection(table, config.image_dim), config.image_dim
        else:
            self.content, width = RawFeatures(table), table.dim
        self.preferences = IdEmbedding(n_users, width, "xavier_normal", trainable=config.train_free_tensors)
        widths = [width, *[config.embedding_dim] * (config.n_layers - 1)]
        self.layers = nn.ModuleList(MMGCNLayer(width, config, first=not depth) for depth, width in enumerate(widths))

    def forward(self) -> Tensor:
        """Return the start of users, then items, of length one, ``[n_users + n_items, L]``."""
        return directions(torch.cat((self.preferences.all(), self.content.all())))


class MMGCNLayer(nn.Module):
    """One layer of one modality.

    Args:
        width: Length L of what enters.
        config: Settings.
        first: Whether it is the first layer, whose last map starts Xavier-normal.
    """

    def __init__(self, width: int, config: MMGCNConfig, *, first: bool) -> None:
        super().__init__()
        dim, self.combine = config.embedding_dim, config.combine
        self.weight = nn.Parameter(torch.empty(width, width))
        initialise(self.weight, "xavier_normal")
        self.own = linear(width, dim, "xavier_normal")
        self.output = nn.Linear(width + dim if self.combine == "concat" else width, dim)
        if first:
            initialise(self.output.weight, "xavier_normal")

    def forward(self, heard: Tensor, x: Tensor, identities: Tensor) -> Tensor:
        """Return the nodes after the layer, ``[N, d]``, from means over neighbours and nodes ``[N, L]``."""
        heard, own = F.leaky_relu(heard), F.leaky_relu(self.own(x)) + identities
        if self.combine == "add":
            return F.leaky_relu(self.output(heard) + own)
        return F.leaky_relu(self.output(torch.cat((heard, own), dim=1)))
