"""MMGCF: propagated identities of items, fused late with projected content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn

from mmrec_bench.graph.bipartite import BipartiteOperator
from mmrec_bench.losses import bpr, dot
from mmrec_bench.models.base import MODELS, Citation, LossTerms, ModelConfig, ModelContext, Triplets
from mmrec_bench.models.blocks import Distinct, FeatureProjections, ItemHost, directions, feature_tables, gather
from mmrec_bench.models.collaborative import id_tables, start_l2
from mmrec_bench.models.pruned_graph import PrunedGraph
from mmrec_bench.retrieval.base import Representations

Operation: TypeAlias = Literal["mean", "sum", "concat"]


class MMGCFConfig(ModelConfig):
    """Settings of `MMGCF`; the released code has no switch that differs."""

    name: Literal["mmgcf"] = "mmgcf"
    embedding_dim: PositiveInt = 64
    """Size d of user and item vectors."""
    n_layers: NonNegativeInt = 2
    """Propagations K on the user-item graph."""
    fusion: Operation = "sum"
    """How vectors become one: their ``mean``, their ``sum``, or a linear map of all side by side (``concat``)."""
    weighting: Literal["equal", "alpha", "normalised"] = "equal"
    """What is fused: behaviour with the fused modalities (``equal``); behaviour times a learned share, and each
    modality times the rest of it (``alpha``); or all of them at unit length, behaviour times the number of modalities
    (``normalised``)."""
    dropout: float = Field(default=0.2, ge=0.0, lt=1.0)
    """Share of user-item edges left out of an epoch of training."""
    reg_weight: NonNegativeFloat = 1e-3
    """Weight of half the squares of the vectors in the batch, before propagation, over the batch size."""


@MODELS.add(
    "mmgcf",
    task="retrieval",
    config=MMGCFConfig,
    paper=Citation(
        title="MMGCF (full title behind the link)",
        authors="see the link",
        venue="UMAP 2026",
        url="https://doi.org/10.1145/3774935.3806158",
    ),
    uses_features=True,
)
class MMGCF(ItemHost):
    """Scores ``y_ui = c_u . x_i``: c is the mean of propagations, x_i fuses c_i with ``p_m = W_m f_m + b_m``.

    With op the chosen fusion, M modalities, and a = sigmoid(alpha) one learned number::

        equal:       x = op(c, op(p_1, ..., p_M))
        alpha:       x = op(a c, (1 - a) p_1, ..., (1 - a) p_M)
        normalised:  x = op(M norm(c), norm(p_1), ..., norm(p_M))

    The user-item graph is pruned in training, as in FREEDOM, and full for the export. Loss: ``bpr + reg_weight * reg``,
    the regulariser on the rows of u, i and j before propagation. Raw features are constants; an item without a modality
    has the learned missing vector as its projection.
    Source: UMAP 2026, https://doi.org/10.1145/3774935.3806158. The paper was not at hand: formulas are those of a
    description of the released code, whose numbers are reproduced.

    Shapes: users ``[n_users, d]`` and items ``[n_items, d]`` Xavier-uniform; W_m ``[d, D_m]``, b_m ``[d]`` and the maps
    of ``concat`` ``[d, n d]`` torch's default; alpha 0.
    """

    def __init__(self, config: MMGCFConfig, context: ModelContext) -> None:
        super().__init__()
        self.config = config
        tables, dim = feature_tables("mmgcf", context), config.embedding_dim
        self.users, self.items = id_tables(context.train, dim)
        self.projections = FeatureProjections(tables, dim)
        equal = config.weighting == "equal"
        self.fuse_content = Fusion(config.fusion, len(tables), dim) if equal and len(tables) > 1 else None
        self.fuse = Fusion(config.fusion, 2 if equal else 1 + len(tables), dim)
        self.alpha = nn.Parameter(torch.zeros(())) if config.weighting == "alpha" else None
        self.graph = PrunedGraph(context.train, config.dropout, context.seeds)

    def on_epoch_start(self, epoch: int) -> None:
        """Draw the edges of an epoch; edges between popular nodes are dropped most."""
        self.graph.draw(epoch)

    def loss(self, batch: Triplets) -> LossTerms:
        """Return ``bpr`` and ``reg``."""
        item_table, rows = self.items.all(), Distinct.of(torch.cat((batch.positives, batch.negatives)))
        user_vectors, behaviour = self._propagate(item_table, self.graph.pruned)
        content = [projection.rows(rows.ids) for _, projection in self.projections.by_modality()]
        users = gather(user_vectors, batch.users)
        positives, negatives = rows.expand(self._fused(gather(behaviour, rows.ids), content)).chunk(2)
        terms = {"bpr": bpr(dot(users, positives), dot(users, negatives))}
        if self.config.reg_weight:
            terms["reg"] = self.config.reg_weight * start_l2(self, item_table, batch)
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return users propagated on the full graph, and items fused with their content."""
        users, items = self._propagate(self.items.all(), self.graph.full)
        content = [projection.all() for _, projection in self.projections.by_modality()]
        return Representations(users.clone(), self._fused(items, content))

    def _propagate(self, items: Tensor, graph: BipartiteOperator) -> tuple[Tensor, Tensor]:
        return graph.propagate(self.users.all(), items, self.config.n_layers)

    def _fused(self, behaviour: Tensor, content: Sequence[Tensor]) -> Tensor:
        """Return x of items, ``[n, d]``, from c and p of each modality, all ``[n, d]``."""
        if self.config.weighting == "equal":
            parts = [behaviour, content[0] if self.fuse_content is None else self.fuse_content(content)]
        elif self.alpha is not None:
            share = torch.sigmoid(self.alpha)
            parts = [share * behaviour, *((1.0 - share) * part for part in content)]
        else:
            parts = [len(content) * directions(behaviour), *map(directions, content)]
        fused: Tensor = self.fuse(parts)
        return fused


class Fusion(nn.Module):
    """Some vectors of an item, made one.

    Args:
        operation: How.
        n_parts: How many vectors there are.
        dim: Length d of each, and of what becomes of them.
    """

    def __init__(self, operation: Operation, n_parts: int, dim: int) -> None:
        super().__init__()
        self.operation = operation
        self.linear = nn.Linear(n_parts * dim, dim) if operation == "concat" else None

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        """Return ``[n, d]`` from tensors ``[n, d]``."""
        if self.linear is not None:
            fused: Tensor = self.linear(torch.cat(list(parts), dim=1))
            return fused
        stacked = torch.stack(list(parts))
        return stacked.mean(dim=0) if self.operation == "mean" else stacked.sum(dim=0)
