"""LATTICE: an item graph learned from projected features, beside that of the initial ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.graph.bipartite import mean_of_neighbours
from mmrec_bench.graph.neighbours import nearest_neighbours
from mmrec_bench.graph.sparse import SparseOperator
from mmrec_bench.losses import batch_l2, bpr, dot
from mmrec_bench.models.base import MODELS, Citation, LossTerms, ModelConfig, ModelContext, Triplets
from mmrec_bench.models.blocks import (
    FeatureProjection,
    ItemHost,
    directions,
    feature_tables,
    gather,
    item_graph,
    smoothed,
)
from mmrec_bench.models.collaborative import id_tables
from mmrec_bench.retrieval.base import Representations
from mmrec_bench.types import BoolArray


class LATTICEConfig(ModelConfig):
    """Settings of `LATTICE`."""

    RELEASED: ClassVar[Mapping[str, Any]] = {"stale_grad": "zeros", "reg_divisor": "configured"}

    name: Literal["lattice"] = "lattice"
    embedding_dim: PositiveInt = 64
    """Size d of user and item vectors, and of projected features."""
    backbone: Literal["lightgcn", "ngcf"] = "lightgcn"
    """How users and items are propagated on their graph; without layers both are matrix factorisation."""
    n_layers: NonNegativeInt = 2
    """Propagations on the user-item graph."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Dropout of the messages of ``ngcf``, which alone reads it."""
    n_item_layers: NonNegativeInt = 1
    """Propagations on the item graph."""
    n_neighbors: PositiveInt = 10
    """Neighbours k of an item in each modality, itself included, of initial as of projected features."""
    initial_weight: float = Field(default=0.9, ge=0.0, le=1.0)
    """Weight of the graph of the initial features in the item graph; the learned one has the rest."""
    reg_weight: NonNegativeFloat = 1e-4
    """Weight of half the squares of the final vectors in the batch."""
    reg_divisor: Literal["actual", "configured"] = "actual"
    """The regulariser is divided by the size of this batch, or by the configured one, as released; only a short last
    batch tells them apart."""
    stale_grad: Literal["none", "zeros"] = "none"
    """What the graph's parameters get in batches that do not build it. ``none``: no gradient, so they stand still.
    ``zeros``: gradients of zero, as in the environment of the released code, so that Adam's momentum moves them on."""
    train_features: bool = True
    """Whether the raw features are fine-tuned, as released; false is a deviation, and faster."""


@MODELS.add(
    "lattice",
    task="retrieval",
    config=LATTICEConfig,
    paper=Citation(
        title="Mining Latent Structures for Multimedia Recommendation",
        authors="Zhang et al.",
        venue="MM 2021",
        url="https://arxiv.org/abs/2104.09036",
    ),
    deviations=(
        "Negative cosines of neighbours are cut to zero, so that no weight is undefined.",
        "What the description of ngcf leaves open: layers are fed what is not yet scaled to unit length, and layer 0 "
        "enters the mean as it is.",
    ),
    uses_features=True,
)
class LATTICE(ItemHost):
    """Scores ``y_ui = z_u . z_i`` with ``z_i = c_i + norm(S^n e_i)`` and ``z_u = c_u``.

    - Behaviour: ``c`` is the mean of the layers ``0..K`` of propagation by ``D^-1 (A + I)``.
    - Item graph: ``S = (1 - lambda) D^-1/2 L D^-1/2 + lambda sum_m w_m O_m``. O_m is the cosine graph of the k nearest
      neighbours in initial features; ``L = sum_m w_m K_m``, K_m the k largest cosines of each row of ``W_m f_m + b_m``,
      D the sums of the rows of L, and ``w = softmax(theta)``.

    S is built in the first batch of an epoch, the only one whose gradient reaches features, projections and theta;
    later batches use it as it is, and an export builds its own. Loss: ``bpr(z) + reg_weight * reg(z)``. An item without
    a modality has no edge in its graphs, so its projection goes nowhere.
    Source: Zhang et al., MM 2021, https://arxiv.org/abs/2104.09036.

    Shapes: users ``[n_users, d]`` and items ``[n_items, d]`` Xavier-uniform; raw features ``[n_items, D_m]``, trainable
    by default; W_m, b_m torch's default; theta ``[M]`` starts at 1/M; S sparse, its values products of kept pairs.
    """

    item_graph: SparseOperator | None
    """S of this epoch, once its first batch has built it."""

    def __init__(self, config: LATTICEConfig, context: ModelContext) -> None:
        super().__init__()
        self.config = config
        self.batch_size = context.batch_size
        train, tables = context.train, feature_tables("lattice", context)
        self.users, self.items = id_tables(train, config.embedding_dim)
        self.learner = ItemGraphLearner(tables, config)
        self.graph = SparseOperator(
            mean_of_neighbours(train.users, train.items, train.n_users, train.n_items, with_self=True)
        )
        layers = config.n_layers if config.backbone == "ngcf" else 0
        self.ngcf = nn.ModuleList(NGCFLayer(config.embedding_dim, config.dropout) for _ in range(layers))
        self.item_graph = None

    def on_epoch_start(self, epoch: int) -> None:
        """Have the next batch build the item graph."""
        self.item_graph = None

    def loss(self, batch: Triplets) -> LossTerms:
        """Return ``bpr`` and ``reg``."""
        ids, n_layers = self.items.all(), self.config.n_item_layers
        user_table, item_table = self._propagate(ids, self.training)
        if building := self.item_graph is None:
            lists = self.learner()
            smooth = smoothed(ids, lists.product, n_layers)
            self.item_graph = lists.operator()
        else:
            smooth = smoothed(ids, self.item_graph, n_layers)
        users = gather(user_table, batch.users)
        positives, negatives = (
            gather(item_table, rows) + directions(gather(smooth, rows)) for rows in (batch.positives, batch.negatives)
        )
        terms = {"bpr": bpr(dot(users, positives), dot(users, negatives))}
        if not building and self.config.stale_grad == "zeros":
            terms["bpr"] = terms["bpr"] + 0.0 * sum(parameter.sum() for parameter in self.learner.parameters())
        if self.config.reg_weight:
            divisor = None if self.config.reg_divisor == "actual" else self.batch_size
            terms["reg"] = self.config.reg_weight * batch_l2(users, positives, negatives, divisor=divisor)
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return the final vectors of all users and items, with an item graph of the present parameters."""
        ids = self.items.all()
        users, items = self._propagate(ids, training=False)
        return Representations(
            users, items + directions(smoothed(ids, self.learner().product, self.config.n_item_layers))
        )

    def _propagate(self, ids: Tensor, training: bool) -> tuple[Tensor, Tensor]:
        """Return c of users and of items."""
        users = self.users.all()
        start = torch.cat((users, ids))
        total = layer = start
        if self.config.backbone == "lightgcn":
            for _ in range(self.config.n_layers):  # Horner's scheme: x + Ax + A(Ax) = x + A(x + Ax)
                total = self.graph(total, base=start)
        for next_layer in self.ngcf:
            layer = next_layer(layer, self.graph(layer), training)
            total = total + directions(layer)
        mean_users, mean_items = torch.split(total / (self.config.n_layers + 1), [len(users), len(ids)])
        return mean_users, mean_items


class ItemGraphLearner(nn.Module):
    """Learns S from projected features, and mixes it with the graphs of the initial ones.

    Args:
        tables: Features, one or more modalities.
        config: Sizes and weights.

    Raises:
        ModelError: Too few items have features for k neighbours.
    """

    initial_ids: Tensor
    initial_values: Tensor

    def __init__(self, tables: Sequence[FeatureTable], config: LATTICEConfig) -> None:
        super().__init__()
        self.n_neighbors, self.initial_weight = config.n_neighbors, config.initial_weight
        self.projections = nn.ModuleList(
            FeatureProjection(table, config.embedding_dim, trainable=config.train_features, replace_missing=False)
            for table in tables
        )
        self.theta = nn.Parameter(torch.full((len(tables),), 1.0 / len(tables)))
        graphs = [item_graph(table, config.n_neighbors, "cosine") for table in tables]
        self.usable = [np.diff(graph.indptr) > 0 for graph in graphs]
        ids = np.zeros((len(tables), graphs[0].shape[0], config.n_neighbors), np.int64)
        values = np.zeros(ids.shape, np.float32)
        for place, (graph, usable) in enumerate(zip(graphs, self.usable, strict=True)):
            ids[place, usable] = graph.indices.reshape(-1, config.n_neighbors)
            values[place, usable] = graph.data.reshape(-1, config.n_neighbors)
        self.register_buffer("initial_ids", torch.from_numpy(ids), persistent=False)
        self.register_buffer("initial_values", torch.from_numpy(values), persistent=False)

    def forward(self) -> NeighbourLists:
        """Return S of the present parameters; gradients reach features, projections and theta through its values."""
        weights = torch.softmax(self.theta, dim=0)
        projections = cast(Iterable[FeatureProjection], self.projections)
        learned = [self._nearest(*pair) for pair in zip(projections, self.usable, strict=True)]
        ids = torch.cat([lists.ids for lists in learned], dim=1)
        values = torch.cat([weight * lists.values for weight, lists in zip(weights, learned, strict=True)], dim=1)
        sums = values.sum(dim=1)
        scale = sums.masked_fill(sums == 0, torch.inf).rsqrt()  # items without neighbours have no values to scale
        learned_values = values * scale.unsqueeze(1) * gather(scale.unsqueeze(1), ids).squeeze(-1)
        initial_values = self.initial_weight * weights.view(-1, 1, 1) * self.initial_values
        return NeighbourLists(
            torch.cat((ids, *self.initial_ids), dim=1),
            torch.cat(((1.0 - self.initial_weight) * learned_values, *initial_values), dim=1),
        )

    def _nearest(self, projection: FeatureProjection, usable: BoolArray) -> NeighbourLists:
        """Return the k nearest neighbours in one modality and their cosines.

        Which they are carries no gradient, so the search keeps no similarity; the cosines of those kept are computed
        again, pair by pair.
        """
        unit = directions(projection.all())
        found = nearest_neighbours(unit.detach().cpu().numpy(), usable, self.n_neighbors)
        ids = np.zeros((len(unit), self.n_neighbors), np.int64)
        ids[found.rows] = found.ids
        there = np.zeros((len(unit), 1), np.float32)
        there[found.rows] = 1.0
        neighbours = torch.from_numpy(ids).to(unit.device)
        cosines = (unit.unsqueeze(1) * gather(unit, neighbours)).sum(dim=-1)
        return NeighbourLists(neighbours, cosines.clamp(min=0.0) * torch.from_numpy(there).to(unit.device))


@dataclass(frozen=True, slots=True)
class NeighbourLists:
    """A sparse item graph whose values may carry a gradient, a list a row; entries to the same item add up.

    Attributes:
        ids: int64 ``[n_items, n]``.
        values: float32 ``[n_items, n]``; zero where a list is shorter.
    """

    ids: Tensor
    values: Tensor

    def product(self, x: Tensor) -> Tensor:
        """Return ``S x``, ``[n_items, d]``."""
        return F.embedding_bag(self.ids, x, mode="sum", per_sample_weights=self.values)

    def operator(self) -> SparseOperator:
        """Return S as a constant."""
        n_items, n = self.ids.shape
        arrays = self.values.detach().cpu().numpy().ravel(), self.ids.cpu().numpy().ravel(), np.arange(n_items + 1) * n
        matrix = sp.csr_matrix(arrays, shape=(n_items, n_items), copy=True)  # what follows works in place
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        return SparseOperator(matrix).to(self.values.device)


class NGCFLayer(nn.Module):
    """One layer of NGCF (arXiv:1905.08108): ``leaky(W1 m) + leaky(W2 (z * m))``, m what the neighbours send.

    Args:
        dim: Size d.
        dropout: Share of messages dropped in training.
    """

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.messages, self.affinities = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.dropout = dropout

    def forward(self, own: Tensor, received: Tensor, training: bool) -> Tensor:
        """Return the next layer, ``[n, d]``, from this one and its propagation."""
        layer = F.leaky_relu(self.messages(received)) + F.leaky_relu(self.affinities(own * received))
        return F.dropout(layer, self.dropout, training)
