"""BM3: bootstrapped alignment of users, items and modalities, without negatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor

from mmrec_bench.losses import RegForm, batch_l2, cosine_alignment, embedding_l2
from mmrec_bench.models.alignment import AlignableConfig, behaviour_modal_alignment, projected_lines
from mmrec_bench.models.base import MODELS, Citation, LossTerms, ModelContext, Pairs
from mmrec_bench.models.blocks import FeatureProjections, feature_tables, gather
from mmrec_bench.models.collaborative import CollaborativeModel
from mmrec_bench.models.nodes import linear
from mmrec_bench.retrieval.base import Representations
from mmrec_bench.row_share import uniform


class BM3Config(AlignableConfig):
    """Settings of `BM3`."""

    RELEASED: ClassVar[Mapping[str, Any]] = {"reg_form": "frobenius", "reg_scope": "all"}

    name: Literal["bm3"] = "bm3"
    embedding_dim: PositiveInt = 64
    """Size d of user and item vectors."""
    n_layers: NonNegativeInt = 1
    """Propagations K on the user-item graph."""
    dropout: float = Field(default=0.5, ge=0.0, lt=1.0)
    """Share of the values of a target that are dropped."""
    alignment_weight: NonNegativeFloat = 2.0
    """Weight of the alignments of each modality."""
    reg_weight: NonNegativeFloat = 0.1
    """Weight of the size of the propagated vectors."""
    reg_form: RegForm = "squared"
    """``squared``: half squares. ``frobenius``: unsquared norms, as released; weights do not carry over."""
    reg_scope: Literal["batch", "all"] = "batch"
    """``batch``: vectors of the batch over the batch size. ``all``: both whole tables over the number of items, as
    released."""
    train_features: bool = True
    """Whether the raw features are fine-tuned, as released; false is a deviation, and many times faster."""


@MODELS.add(
    "bm3",
    task="retrieval",
    config=BM3Config,
    paper=Citation(
        title="Bootstrap Latent Representations for Multi-modal Recommendation",
        authors="Zhou et al.",
        venue="WWW 2023",
        url="https://arxiv.org/abs/2207.05969",
    ),
    uses_features=True,
)
class BM3(CollaborativeModel):
    """Scores ``y_ui = q(z_u) . q(z_i)`` with q a shared linear predictor.

    ``[z_u ; z'_i]`` is the mean of K propagations of the tables of users and items, ``z_i = z'_i + e_i`` and
    ``h_m = W_m f_m + b_m``. Targets, marked ~, are dropped out and carry no gradient. With c the mean cosine over the
    pairs of a batch::

        loss = [1 - c(q(z_u), ~z_i)] + [1 - c(q(z_i), ~z_u)]
             + alignment_weight * sum_m ([1 - c(q(h_m), ~z_i)] + [1 - c(q(h_m), ~h_m)])
             + reg_weight * reg(z_u, z_i)

    Source: Zhou et al., WWW 2023, https://arxiv.org/abs/2207.05969.

    Shapes: users ``[n_users, d]`` and items ``[n_items, d]`` Xavier-uniform; W_m ``[d, D_m]`` and the weight of q
    ``[d, d]`` Xavier-normal, their biases torch's default; raw features ``[n_items, D_m]``, trainable by default.
    """

    batch_kind = Pairs

    def __init__(self, config: BM3Config, context: ModelContext) -> None:
        super().__init__(context.train, config.embedding_dim)
        self.config = config
        dim = config.embedding_dim
        self.projections = FeatureProjections(
            feature_tables("bm3", context), dim, trainable=config.train_features, initialiser="xavier_normal"
        )
        self.predictor = linear(dim, dim, "xavier_normal")

    def loss(self, batch: Pairs) -> LossTerms:
        """Return ``user-item``, ``item-user``, ``inter-M``, ``intra-M`` (M a modality), ``reg``, plugged-in terms."""
        user_table, item_table = self._propagate()
        users, items = gather(user_table, batch.users), gather(item_table, batch.items)
        item_target = self._target(items)
        terms = {
            "user-item": cosine_alignment(self.predictor(users), item_target),
            "item-user": cosine_alignment(self.predictor(items), self._target(users)),
        }
        if weight := self.config.alignment_weight:
            for modality, content in self.projections.rows(batch.items).items():
                predicted = self.predictor(content)
                terms[f"inter-{modality}"] = weight * cosine_alignment(predicted, item_target)
                terms[f"intra-{modality}"] = weight * cosine_alignment(predicted, self._target(content))
        if bma := self.config.alignment.bma:
            lines = projected_lines(user_table, item_table, batch.users, batch.items, self.projections, self.graph)
            terms |= behaviour_modal_alignment(bma, *lines)
        if self.config.reg_weight:
            form = self.config.reg_form
            if self.config.reg_scope == "batch":
                size = batch_l2(users, items, form=form)
            else:
                size = embedding_l2(user_table, item_table, divisor=len(item_table), form=form)
            terms["reg"] = self.config.reg_weight * size
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return the predictions from the propagated tables."""
        users, items = self._propagate()
        return Representations(self.predictor(users), self.predictor(items))

    def _propagate(self) -> tuple[Tensor, Tensor]:
        ids = self.items.all()
        users, items = self.graph.propagate(self.users.all(), ids, self.config.n_layers)
        return users, items + ids

    def _target(self, rows: Tensor) -> Tensor:
        rows = rows.detach()
        if not self.training:
            return rows
        return rows * (uniform(rows) >= self.config.dropout)  # cosines need no rescaling
