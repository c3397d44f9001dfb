"""MF: matrix factorisation trained by Bayesian personalised ranking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import NonNegativeFloat, PositiveInt

from mmrec_bench.losses import RegForm, batch_l2, bpr, dot
from mmrec_bench.models.base import MODELS, Citation, LossTerms, ModelConfig, ModelContext, Triplets
from mmrec_bench.models.blocks import IdEmbedding, ItemHost
from mmrec_bench.retrieval.base import Representations


class MFConfig(ModelConfig):
    """Settings of `MF`."""

    RELEASED: ClassVar[Mapping[str, Any]] = {"reg_form": "frobenius"}

    name: Literal["mf"] = "mf"
    embedding_dim: PositiveInt = 64
    """Size d of user and item vectors."""
    reg_weight: NonNegativeFloat = 0.1
    """Weight of the size of the vectors in the batch."""
    reg_form: RegForm = "squared"
    """``squared``: half squares over the batch size, as in the paper. ``frobenius``: unsquared norms over the batch
    size, as released; weights do not carry over."""


@MODELS.add(
    "mf",
    task="retrieval",
    config=MFConfig,
    paper=Citation(
        title="BPR: Bayesian Personalized Ranking from Implicit Feedback",
        authors="Rendle et al.",
        venue="UAI 2009",
        url="https://arxiv.org/abs/1205.2618",
    ),
    deviations=("Trained by Adam on batches instead of single stochastic steps.", "No item bias."),
)
class MF(ItemHost):
    """Scores ``y_ui = e_u . e_i``, trained on ``-log sigmoid(y_ui - y_uj)``.

    Loss: ``bpr + reg_weight * reg``, the regulariser on the rows of u, i and j.
    Source: Rendle et al., UAI 2009, https://arxiv.org/abs/1205.2618.

    Shapes: users ``[n_users, d]``, items ``[n_items, d]``, both Xavier-normal.
    """

    def __init__(self, config: MFConfig, context: ModelContext) -> None:
        super().__init__()
        self.config = config
        self.users = IdEmbedding(context.train.n_users, config.embedding_dim, "xavier_normal")
        self.items = IdEmbedding(context.train.n_items, config.embedding_dim, "xavier_normal")

    def loss(self, batch: Triplets) -> LossTerms:
        """Return ``bpr`` and ``reg``."""
        users = self.users.rows(batch.users)
        positives, negatives = self.items.rows(torch.cat((batch.positives, batch.negatives))).chunk(2)
        terms = {"bpr": bpr(dot(users, positives), dot(users, negatives))}
        if self.config.reg_weight:
            size = batch_l2(users, positives, negatives, form=self.config.reg_form)
            terms["reg"] = self.config.reg_weight * size
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return both tables."""
        return Representations(self.users.all().clone(), self.items.all().clone())
