"""LayerGCN: layers of propagation weighed by their likeness to where they started."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmrec_bench.graph.bipartite import BipartiteOperator
from mmrec_bench.losses import dot
from mmrec_bench.models.base import MODELS, Citation, LossTerms, ModelConfig, ModelContext, Triplets
from mmrec_bench.models.blocks import ItemHost, directions, norms
from mmrec_bench.models.collaborative import id_tables, start_l2, triplet_bpr
from mmrec_bench.models.pruned_graph import PrunedGraph
from mmrec_bench.retrieval.base import Representations
from mmrec_bench.row_share import n_rows


class LayerGCNConfig(ModelConfig):
    """Settings of `LayerGCN`."""

    RELEASED: ClassVar[Mapping[str, Any]] = {"pruning": "alternate", "reduction": "sum"}

    name: Literal["layergcn"] = "layergcn"
    embedding_dim: PositiveInt = 64
    """Size d of user and item vectors."""
    n_layers: PositiveInt = 4
    """Refined layers K, which are added up."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of user-item edges left out of an epoch of training."""
    pruning: Literal["degree", "alternate"] = "degree"
    """``degree``: edges between popular nodes are dropped most, as in the paper. ``alternate``: every second epoch,
    from the second on, drops all alike, as released."""
    reg_weight: NonNegativeFloat = 1e-3
    """Weight of half the squares of the vectors in the batch, before propagation."""
    reduction: Literal["mean", "sum"] = "mean"
    """Mean of both terms over the rows of the batch, or their sum, as released. The weight is the same, and Adam's
    steps differ by its epsilon alone; losses and lengths of gradients differ by the batch size."""


@MODELS.add(
    "layergcn",
    task="retrieval",
    config=LayerGCNConfig,
    paper=Citation(
        title="Layer-refined Graph Convolutional Networks for Recommendation",
        authors="Zhou et al.",
        venue="ICDE 2023",
        url="https://arxiv.org/abs/2207.11088",
    ),
)
class LayerGCN(ItemHost):
    """Scores ``y_ui = z_u . z_i`` with ``Z = sum_{k=1..K} X_k`` and ``X_k = cos(A X_{k-1}, X_0) A X_{k-1}``.

    X_0 are the tables of users and items; the cosine is taken row by row, and gradients pass through it. A is the
    symmetrically normalised user-item adjacency: pruned in training, degrees counted anew, and full for the export.
    Loss: ``bpr + reg_weight * reg``, the regulariser on the rows of u, i and j in X_0.
    Source: Zhou et al., ICDE 2023, https://arxiv.org/abs/2207.11088.

    Shapes: users ``[n_users, d]``, items ``[n_items, d]``, both Xavier-uniform.
    """

    def __init__(self, config: LayerGCNConfig, context: ModelContext) -> None:
        super().__init__()
        self.config = config
        self.users, self.items = id_tables(context.train, config.embedding_dim)
        self.graph = PrunedGraph(context.train, config.dropout, context.seeds)

    def on_epoch_start(self, epoch: int) -> None:
        """Draw the edges of an epoch."""
        self.graph.draw(epoch, "uniform" if self.config.pruning == "alternate" and epoch % 2 else "degree")

    def loss(self, batch: Triplets) -> LossTerms:
        """Return ``bpr`` and ``reg``."""
        item_table = self.items.all()
        size = n_rows(batch.users) if self.config.reduction == "sum" else 1
        terms = {"bpr": size * triplet_bpr(*self._propagate(item_table, self.graph.pruned), batch)}
        if self.config.reg_weight:
            terms["reg"] = size * self.config.reg_weight * start_l2(self, item_table, batch)
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return the vectors refined on the full graph."""
        return Representations(*self._propagate(self.items.all(), self.graph.full))

    def _propagate(self, item_table: Tensor, graph: BipartiteOperator) -> tuple[Tensor, Tensor]:
        users, items = self.users.all(), item_table
        user_starts, item_starts = directions(users), directions(items)
        of_users, of_items = [], []
        for _ in range(self.config.n_layers):
            users, items = graph.propagate(users, items, 1, pooling="last")
            users = cast(Tensor, _Refinement.apply(users, user_starts))  # type: ignore[no-untyped-call]
            items = cast(Tensor, _Refinement.apply(items, item_starts))  # type: ignore[no-untyped-call]
            of_users.append(users)
            of_items.append(items)
        return reduce(add, of_users), reduce(add, of_items)


class _Refinement(torch.autograd.Function):
    """``cos(x, s) x`` of rows ``[n, d]`` and unit rows s; a row of zeros stays one.

    With c the cosine and ``w = (g . x) / ||x||``, the gradient g pulls x by ``c g + w s - (w c / ||x||) x`` and s by
    ``w x``: fewer passes over the tables than the graph of its parts has.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, starts: Tensor) -> Tensor:
        inverse = 1.0 / norms(rows)
        cosines = dot(rows, starts).unsqueeze(1) * inverse
        ctx.save_for_backward(rows, starts, inverse, cosines)
        return cosines * rows

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        rows, starts, inverse, cosines = ctx.saved_tensors
        pull = dot(gradient, rows).unsqueeze(1) * inverse
        of_rows = (cosines * gradient).addcmul_(pull, starts).addcmul_(-pull * cosines * inverse, rows)
        return of_rows, pull * rows
