"""DRAGON: encoders of modalities on the user-item graph, then a graph of users and a graph of items."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.graph.bipartite import BipartiteGraph
from mmrec_bench.graph.co_occurrence import most_shared, padding, softmax_weights
from mmrec_bench.graph.sparse import SparseOperator
from mmrec_bench.losses import bpr, dot
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
    Distinct,
    FeatureProjection,
    IdEmbedding,
    directions,
    feature_tables,
    gather,
    initialise,
    mixed_item_graph,
)
from mmrec_bench.retrieval.base import Representations


class DRAGONConfig(ModelConfig):
    """Settings of `DRAGON`."""

    RELEASED: ClassVar[Mapping[str, Any]] = {"pad": "resample", "log_base": 2, "reg_weight": 1e-3}

    name: Literal["dragon"] = "dragon"
    embedding_dim: PositiveInt = 64
    """Size d of the vectors of one modality; users and items have d for each."""
    hidden_dim: PositiveInt = 256
    """Size of the hidden layer between features and vectors."""
    n_layers: NonNegativeInt = 2
    """Propagations on the user-item graph; all layers are added up."""
    n_item_layers: NonNegativeInt = 1
    """Propagations on the item graph."""
    n_neighbors: PositiveInt = 10
    """Neighbours k of an item in each modality, itself included."""
    image_weight: float = Field(default=0.1, ge=0.0, le=1.0)
    """Weight of the image graph; the other modalities share the rest. Read only where there are images and others."""
    n_user_neighbors: PositiveInt = 40
    """Neighbours of a user: those who share most training items with them."""
    pad: Literal["none", "resample"] = "none"
    """``none``: users with fewer neighbours have fewer. ``resample``: their lists are filled up in training by repeats
    drawn anew for every epoch, as released, so that a repeated neighbour weighs twice; the export needs no filling."""
    log_base: Literal["e", 2] = "e"
    """Base of the logarithm in the ranking loss; 2, as released, makes it 1.44 times as large beside the
    regulariser."""
    reg_weight: NonNegativeFloat = 6.93e-4
    """Weight of the mean squares of the preferences of the users of the batch and of all gates; the default is the
    released 1e-3 times ln 2, which is the same beside a natural logarithm."""


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
        "Scores come from a fresh forward pass; the released code keeps those of the last training batch, made before "
        "its step.",
        "What the released code registers and never uses is left out: a gate of items, trainable feature tables, their "
        "projections and three small networks.",
        "Users whose list is filled up in training are exported with their plain list.",
    ),
    uses_features=True,
)
class DRAGON(GradientRecommender):
    """Scores ``y_ui = z_u . z_i``, d of each vector for every modality.

    - Encoder of a modality: ``r = x + A x + A A x``, ``x = norm([p ; MLP(f)])``, A the normalised user-item graph, p
      free preferences of users, and the MLP two linear maps with a leaky ReLU between.
    - Users: ``r_u = [a_m r_m]``, a the gates of u, and ``z_u = r_u + sum_k w_k r_k`` over the users who share most
      training items with u, w the softmax of how many.
    - Items: ``r_i = [r_m]`` and ``z_i = r_i + S^n r_i``, S the mixed graph of nearest neighbours of FREEDOM.

    Loss: ``bpr(z) + reg_weight * (sum_m mean p_m^2 + mean a^2)``. Gates start at the softmax of Xavier-normal draws and
    are free afterwards. An item without a modality has no edge in its graph and a learned missing vector as its hidden
    layer.
    Source: Zhou et al., ECAI 2023, https://arxiv.org/abs/2301.12097.

    Shapes: p_m ``[n_users, d]`` Xavier-normal; a ``[n_users, M, 1]``; linear maps ``D_m -> h -> d`` torch's default;
    raw features constant.
    """

    def __init__(self, config: DRAGONConfig, context: ModelContext) -> None:
        super().__init__()
        self.config = config
        self.seeds = context.seeds
        train, tables = context.train, feature_tables("dragon", context)
        self.encoders = nn.ModuleList(ModalEncoder(train.n_users, table, config) for table in tables)
        gates = torch.empty(train.n_users, len(tables), 1)
        initialise(gates, "xavier_normal")
        self.gates = nn.Parameter(torch.softmax(gates, dim=1))
        self.graph = BipartiteGraph(train.users, train.items, train.n_users, train.n_items)
        self.item_graph = SparseOperator(mixed_item_graph(tables, config.n_neighbors, config.image_weight))
        self.shared_counts = most_shared(train.matrix(), config.n_user_neighbors)
        self.user_graph = self.padded_graph = SparseOperator(softmax_weights(self.shared_counts))
        self.on_epoch_start(0)

    def on_epoch_start(self, epoch: int) -> None:
        """Draw what fills up the short lists of neighbours."""
        if self.config.pad == "resample":
            rng = self.seeds.numpy("user-neighbours", epoch)
            copies = padding(self.shared_counts, self.config.n_user_neighbors, rng)
            padded = SparseOperator(softmax_weights(self.shared_counts, copies))
            self.padded_graph = padded.to(self.gates.device)

    def loss(self, batch: Triplets) -> LossTerms:
        """Return ``bpr`` and ``reg``."""
        user_table, item_table = self._encode()
        user_rows, item_rows = Distinct.of(batch.users), Distinct.of(torch.cat((batch.positives, batch.negatives)))
        users = user_rows.expand(gather(user_table, user_rows.ids) + self.padded_graph.rows(user_rows.ids, user_table))
        positives, negatives = item_rows.expand(self._items(item_table, item_rows.ids)).chunk(2)
        ranking = bpr(dot(users, positives), dot(users, negatives))
        terms = {"bpr": ranking / math.log(2) if self.config.log_base == 2 else ranking}
        if self.config.reg_weight:
            encoders = cast(Iterable[ModalEncoder], self.encoders)
            squares = [encoder.preferences.rows(batch.users).square().mean() for encoder in encoders]
            terms["reg"] = self.config.reg_weight * torch.stack([*squares, self.gates.square().mean()]).sum()
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return the vectors of all users and items, ``[n, M d]``."""
        users, items = self._encode()
        return Representations(self.user_graph(users, base=users), self._items(items))

    def _encode(self) -> tuple[Tensor, Tensor]:
        """Return r of users, gated, and of items, all modalities side by side."""
        preferences, contents = zip(*(encoder() for encoder in self.encoders), strict=True)
        users, items = self.graph.propagate(
            torch.cat(preferences, dim=1), torch.cat(contents, dim=1), self.config.n_layers, pooling="sum"
        )
        gated = users.view(len(users), len(self.encoders), -1) * self.gates
        return gated.flatten(1), items

    def _items(self, table: Tensor, ids: Tensor | None = None) -> Tensor:
        """Return ``r + S^n r`` of some items, or of all."""
        smooth, last = table, self.config.n_item_layers - 1
        for _ in range(last):
            smooth = self.item_graph(smooth)
        if ids is None:
            return table + smooth if last < 0 else self.item_graph(smooth, base=table)
        return gather(table, ids) + (gather(table, ids) if last < 0 else self.item_graph.rows(ids, smooth))


class ModalEncoder(nn.Module):
    """What enters the user-item graph in one modality: free preferences of users, and encoded features of items.

    Args:
        n_users: Number of users.
        table: The features.
        config: Sizes.
    """

    def __init__(self, n_users: int, table: FeatureTable, config: DRAGONConfig) -> None:
        super().__init__()
        self.preferences = IdEmbedding(n_users, config.embedding_dim, "xavier_normal")
        self.hidden = FeatureProjection(table, config.hidden_dim)
        self.output = nn.Linear(config.hidden_dim, config.embedding_dim)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return vectors of length one, of users ``[n_users, d]`` and of items ``[n_items, d]``."""
        return directions(self.preferences.all()), directions(self.output(F.leaky_relu(self.hidden.all())))
