"""What DualGNN and DRAGON share: encoders of modalities, gates of users, and a graph of users who share items."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from mmrec_bench.data.features import FeatureTable
from mmrec_bench.graph.bipartite import BipartiteGraph
from mmrec_bench.graph.co_occurrence import most_shared, padding, softmax_weights
from mmrec_bench.graph.sparse import SparseOperator
from mmrec_bench.losses import bpr, dot
from mmrec_bench.models.base import GradientRecommender, LossTerms, ModelConfig, ModelContext, Triplets
from mmrec_bench.models.blocks import Distinct, FeatureProjection, IdEmbedding, directions, gather, initialise
from mmrec_bench.models.last_batch import ScoreFrom, ranking_vectors
from mmrec_bench.retrieval.base import Representations


class UserGraphConfig(ModelConfig):
    """Settings of `UserGraphModel`."""

    RELEASED: ClassVar[Mapping[str, Any]] = {
        "pad": "resample",
        "log_base": 2,
        "reg_weight": 1e-3,
        "score_from": "last-batch",
    }

    embedding_dim: PositiveInt = 64
    """Size d of the vectors of one modality."""
    hidden_dim: PositiveInt = 256
    """Size of the hidden layer between features and vectors."""
    n_layers: NonNegativeInt = 2
    """Propagations on the user-item graph; all layers are added up."""
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
    score_from: ScoreFrom = "fresh"
    """What users and items are ranked by; released code keeps vectors of the last training batch."""


class UserGraphModel(GradientRecommender):
    """Encodes every modality on the user-item graph, gates it user by user, and smooths users over their like.

    - Encoder of a modality: ``r = x + A x + A A x``, ``x = norm([p ; MLP(f)])``, A the normalised user-item graph, p
      free preferences of users, and the MLP two linear maps with a leaky ReLU between. One propagation serves all
      modalities, side by side.
    - `fuse` makes one vector of the modalities, with gates a of users.
    - ``z_u = r_u + sum_k w_k r_k`` over the users who share most training items with u, w the softmax of how many.

    Shapes: p_m ``[n_users, d]`` Xavier-normal; a ``[n_users, M, 1]``, which starts at the softmax of Xavier-normal
    draws; linear maps ``D_m -> h -> d`` torch's default; raw features constant.

    Args:
        config: Settings.
        context: Data and seeds.
        tables: The features.
    """

    config: UserGraphConfig

    def __init__(self, config: UserGraphConfig, context: ModelContext, tables: tuple[FeatureTable, ...]) -> None:
        super().__init__()
        self.config = config
        self.seeds = context.seeds
        train = context.train
        self.encoders = nn.ModuleList(ModalEncoder(train.n_users, table, config) for table in tables)
        self.gates = nn.Parameter(gates(train.n_users, len(tables)))
        self.graph = BipartiteGraph(train.users, train.items, train.n_users, train.n_items)
        self.shared_counts = most_shared(train.matrix(), config.n_user_neighbors)
        self.user_graph = self.padded_graph = SparseOperator(softmax_weights(self.shared_counts))
        self.on_epoch_start(0)
        self.ranked_by = ranking_vectors(config.score_from, train.n_users, train.n_items, self.width(len(tables)))

    @abstractmethod
    def width(self, n_modalities: int) -> int:
        """Return the size of fused vectors."""

    @abstractmethod
    def fuse(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return one vector a user and one an item from r of the modalities, ``[n, M, d]``."""

    def final_items(self, table: Tensor, ids: Tensor | None = None) -> Tensor:
        """Return the final vectors of some items, or of all, from their fused ones ``[n_items, d']``."""
        return table if ids is None else gather(table, ids)

    def regularised(self, users: Tensor) -> list[Tensor]:
        """Return the mean squares that the regulariser adds up, for the users of a batch."""
        encoders = cast(Iterable[ModalEncoder], self.encoders)
        return [*(encoder.preferences.rows(users).square().mean() for encoder in encoders), self.gates.square().mean()]

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
        self.ranked_by.keep(lambda: (self.padded_graph(user_table, base=user_table), self.final_items(item_table)))
        user_rows, item_rows = Distinct.of(batch.users), Distinct.of(torch.cat((batch.positives, batch.negatives)))
        users = user_rows.expand(gather(user_table, user_rows.ids) + self.padded_graph.rows(user_rows.ids, user_table))
        positives, negatives = item_rows.expand(self.final_items(item_table, item_rows.ids)).chunk(2)
        ranking = bpr(dot(users, positives), dot(users, negatives))
        terms = {"bpr": ranking / math.log(2) if self.config.log_base == 2 else ranking}
        if self.config.reg_weight:
            terms["reg"] = self.config.reg_weight * torch.stack(self.regularised(batch.users)).sum()
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return the final vectors of all users and items."""
        return self.ranked_by.or_fresh(self._fresh)

    def _fresh(self) -> Representations:
        users, items = self._encode()
        return Representations(self.user_graph(users, base=users), self.final_items(items))

    def _encode(self) -> tuple[Tensor, Tensor]:
        """Return fused vectors of all users and items."""
        preferences, contents = zip(*(encoder() for encoder in self.encoders), strict=True)
        tables = self.graph.propagate(
            torch.cat(preferences, dim=1), torch.cat(contents, dim=1), self.config.n_layers, pooling="sum"
        )
        users, items = (table.view(len(table), len(self.encoders), -1) for table in tables)
        return self.fuse(users, items)


def gates(n: int, n_modalities: int) -> Tensor:
    """Return gates ``[n, M, 1]`` near ``1 / M``: the softmax of Xavier-normal draws."""
    draws = torch.empty(n, n_modalities, 1)
    initialise(draws, "xavier_normal")
    return torch.softmax(draws, dim=1)


class ModalEncoder(nn.Module):
    """What enters the user-item graph in one modality: free preferences of users, and encoded features of items.

    An item without the modality has a learned missing vector as its hidden layer.

    Args:
        n_users: Number of users.
        table: The features.
        config: Sizes.
    """

    def __init__(self, n_users: int, table: FeatureTable, config: UserGraphConfig) -> None:
        super().__init__()
        self.preferences = IdEmbedding(n_users, config.embedding_dim, "xavier_normal")
        self.hidden = FeatureProjection(table, config.hidden_dim)
        self.output = nn.Linear(config.hidden_dim, config.embedding_dim)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return vectors of length one, of users ``[n_users, d]`` and of items ``[n_items, d]``."""
        return directions(self.preferences.all()), directions(self.output(F.leaky_relu(self.hidden.all())))
