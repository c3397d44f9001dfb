"""LightGCN: linear propagation on the user-item graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor

from mmrec_bench.losses import RegForm
from mmrec_bench.models.base import MODELS, Citation, LossTerms, ModelConfig, ModelContext, Triplets
from mmrec_bench.models.collaborative import CollaborativeModel, start_l2, triplet_bpr
from mmrec_bench.retrieval.base import Representations


class LightGCNConfig(ModelConfig):
    """Settings of `LightGCN`."""

    RELEASED: ClassVar[Mapping[str, Any]] = {"reg_form": "frobenius"}

    name: Literal["lightgcn"] = "lightgcn"
    embedding_dim: PositiveInt = 64
    """Size d of user and item vectors."""
    n_layers: NonNegativeInt = 2
    """Propagations K; 0 is matrix factorisation."""
    reg_weight: NonNegativeFloat = 1e-4
    """Weight of the size of the vectors in the batch, before propagation."""
    reg_form: RegForm = "squared"
    """``squared``: half squares over the batch size, as in the paper. ``frobenius``: unsquared norms over the batch
    size, as released; weights do not carry over."""


@MODELS.add(
    "lightgcn",
    task="retrieval",
    config=LightGCNConfig,
    paper=Citation(
        title="LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation",
        authors="He et al.",
        venue="SIGIR 2020",
        url="https://arxiv.org/abs/2002.02126",
    ),
)
class LightGCN(CollaborativeModel):
    """Scores ``y_ui = z_u . z_i`` with ``Z = 1/(K+1) sum_k A^k E``.

    A is the symmetrically normalised user-item adjacency without self loops, E the tables of users and items.
    Loss: ``bpr + reg_weight * reg``, the regulariser on the rows of u, i and j in E.
    Source: He et al., SIGIR 2020, https://arxiv.org/abs/2002.02126, equations 3, 4 and 15.

    Shapes: users ``[n_users, d]``, items ``[n_items, d]``, both Xavier-uniform.
    """

    def __init__(self, config: LightGCNConfig, context: ModelContext) -> None:
        super().__init__(context.train, config.embedding_dim)
        self.config = config

    def loss(self, batch: Triplets) -> LossTerms:
        """Return ``bpr`` and ``reg``."""
        item_table = self.items.all()
        terms = {"bpr": triplet_bpr(*self._propagate(item_table), batch)}
        if self.config.reg_weight:
            size = start_l2(self, item_table, batch, self.config.reg_form)
            terms["reg"] = self.config.reg_weight * size
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return the propagated tables."""
        users, items = self._propagate(self.items.all())
        return Representations(users.clone(), items.clone())

    def _propagate(self, items: Tensor) -> tuple[Tensor, Tensor]:
        return self.graph.propagate(self.users.all(), items, self.config.n_layers)
