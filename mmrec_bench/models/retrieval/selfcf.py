"""SelfCF: collaborative filtering that predicts dropped-out copies of its own vectors, without negatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from mmrec_bench.graph.edge_dropout import DroppingGraph
from mmrec_bench.losses import batch_l2, cosine_alignment
from mmrec_bench.models.base import MODELS, Citation, LossTerms, ModelConfig, ModelContext, Pairs
from mmrec_bench.models.blocks import ItemHost, gather
from mmrec_bench.models.collaborative import id_tables
from mmrec_bench.retrieval.base import Representations
from mmrec_bench.row_share import dropout, n_rows


class SelfCFConfig(ModelConfig):
    """Settings of `SelfCF`."""

    RELEASED: ClassVar[Mapping[str, Any]] = {"reg_weight": 1e-4, "reg_reduction": "sum"}

    name: Literal["selfcf"] = "selfcf"
    embedding_dim: PositiveInt = 64
    """Size d of user and item vectors."""
    n_layers: NonNegativeInt = 2
    """Propagations K on the user-item graph."""
    dropout: float = Field(default=0.5, ge=0.0, lt=1.0)
    """Share of the values of a target that are dropped."""
    edge_dropout: Literal["uniform"] | Annotated[float, Field(ge=0.0, lt=1.0)] = "uniform"
    """Share of the edges that a step of training leaves out, each direction for itself; the others weigh as much more.
    ``uniform`` draws the share anew for every step, from 0 to 1, as released; some steps then see hardly an edge."""
    reg_weight: NonNegativeFloat = 0.2
    """Weight of half the squares of the propagated vectors in the batch; the default is about the released 1e-4 times a
    batch of 2048, for a mean."""
    reg_reduction: Literal["mean", "sum"] = "mean"
    """Half squares over the batch size, or their sum, as released: then the weight grows with the batch."""


@MODELS.add(
    "selfcf",
    task="retrieval",
    config=SelfCFConfig,
    paper=Citation(
        title="SelfCF: A Simple Framework for Self-supervised Collaborative Filtering",
        authors="Zhou et al.",
        venue="ACM TORS 2023",
        url="https://arxiv.org/abs/2107.03019",
    ),
    deviations=("Of the paper's three perturbations of the target, dropout of its values alone.",),
)
class SelfCF(ItemHost):
    """Scores ``y_ui = q(z_u) . z_i + z_u . q(z_i)`` with q a linear predictor.

    ``[z_u ; z_i]`` is the mean of K propagations of the tables of users and items. Targets, marked ~, are dropped out
    and carry no gradient. With c the mean cosine over the pairs of a batch::

        loss = - c(q(z_u), ~z_i) / 2 - c(q(z_i), ~z_u) / 2 + reg_weight * reg(z_u, z_i)

    Source: Zhou et al., ACM TORS 2023, https://arxiv.org/abs/2107.03019.

    Shapes: users ``[n_users, d]`` and items ``[n_items, d]`` Xavier-uniform, q ``[d, d]`` with a bias, torch's default;
    exported vectors ``[q(z_u) ; z_u]`` and ``[z_i ; q(z_i)]``, 2d values each.
    """

    batch_kind = Pairs

    def __init__(self, config: SelfCFConfig, context: ModelContext) -> None:
        super().__init__()
        self.config = config
        train, dim = context.train, config.embedding_dim
        self.users, self.items = id_tables(train, dim)
        self.predictor = nn.Linear(dim, dim)
        self.graph = DroppingGraph(train.users, train.items, train.n_users, train.n_items)

    def loss(self, batch: Pairs) -> LossTerms:
        """Return ``user-item``, ``item-user`` and ``reg``."""
        user_table, item_table = self._propagate(self._edge_dropout())
        users, items = gather(user_table, batch.users), gather(item_table, batch.items)
        terms = {
            "user-item": 0.5 * (cosine_alignment(self.predictor(users), self._target(items)) - 1.0),
            "item-user": 0.5 * (cosine_alignment(self.predictor(items), self._target(users)) - 1.0),
        }
        if weight := self.config.reg_weight:
            size = n_rows(users) if self.config.reg_reduction == "sum" else 1
            terms["reg"] = size * weight * batch_l2(users, items)
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return vectors and predictions of users and items, side by side."""
        users, items = self._propagate(0.0)
        return Representations(
            torch.cat((self.predictor(users), users), dim=1), torch.cat((items, self.predictor(items)), dim=1)
        )

    def _propagate(self, rate: float) -> tuple[Tensor, Tensor]:
        tables, n_layers = (self.users.all(), self.items.all()), self.config.n_layers
        return self.graph.propagate_some(*tables, n_layers, rate) if rate else self.graph.propagate(*tables, n_layers)

    def _edge_dropout(self) -> float:
        if not self.training:
            return 0.0
        rate = self.config.edge_dropout
        return torch.rand(()).item() if rate == "uniform" else rate

    def _target(self, rows: Tensor) -> Tensor:
        return dropout(rows.detach(), self.config.dropout, self.training)
