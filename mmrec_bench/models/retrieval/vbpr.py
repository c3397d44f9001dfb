"""VBPR: matrix factorisation whose items carry projected content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from mmrec_bench.losses import RegForm, batch_l2, bpr, dot
from mmrec_bench.models.alignment import AlignableConfig, TwoLines, behaviour_modal_alignment
from mmrec_bench.models.base import MODELS, Citation, LossTerms, ModelContext, Triplets
from mmrec_bench.models.blocks import Distinct, FeatureProjections, IdEmbedding, ItemHost, feature_tables
from mmrec_bench.retrieval.base import Representations


class VBPRConfig(AlignableConfig):
    """Settings of `VBPR`."""

    RELEASED: ClassVar[Mapping[str, Any]] = {"reg_form": "frobenius", "normalise_features": False}

    name: Literal["vbpr"] = "vbpr"
    embedding_dim: PositiveInt = 64
    """Size d of item vectors and of projected content; user vectors have 2d values."""
    reg_weight: NonNegativeFloat = 0.1
    """Weight of the size of the vectors in the batch, content included."""
    reg_form: RegForm = "squared"
    """``squared``: half squares over the batch size, as in the paper. ``frobenius``: unsquared norms over the batch
    size, as released; weights do not carry over."""
    normalise_features: bool = True
    """Whether raw vectors are scaled to unit length, modality by modality; without it, long ones drown the rest."""


@MODELS.add(
    "vbpr",
    task="retrieval",
    config=VBPRConfig,
    paper=Citation(
        title="VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback",
        authors="He, McAuley",
        venue="AAAI 2016",
        url="https://arxiv.org/abs/1510.01784",
    ),
    deviations=(
        "All modalities of the data set are projected, not images alone.",
        "No biases of items, of users or of the content.",
        "The projected content is regularised, not the projection matrix.",
    ),
    uses_features=True,
)
class VBPR(ItemHost):
    """Scores ``y_ui = p_u . x_i`` with ``x_i = [e_i ; sum_m W_m f_im + b]``.

    Loss: ``bpr + reg_weight * reg``, the regulariser on p_u, x_i and x_j. Raw features f are constants; what an item
    lacks is replaced by a learned vector.
    Source: He and McAuley, AAAI 2016, https://arxiv.org/abs/1510.01784.

    Shapes: users ``[n_users, 2d]`` and items ``[n_items, d]`` Xavier-uniform; ``W = [W_1 ; W_2 ; ...]``
    ``[d, sum of D_m]`` Xavier-normal, b ``[d]`` zero.
    """

    def __init__(self, config: VBPRConfig, context: ModelContext) -> None:
        super().__init__()
        self.config = config
        tables, dim = feature_tables("vbpr", context), config.embedding_dim
        self.users = IdEmbedding(context.train.n_users, 2 * dim, "xavier_uniform")
        self.items = IdEmbedding(context.train.n_items, dim, "xavier_uniform")
        self.projections = FeatureProjections(tables, dim, bias=False, normalise=config.normalise_features)
        self.bias = nn.Parameter(torch.zeros(dim))
        std = (2.0 / (sum(table.dim for table in tables) + dim)) ** 0.5
        for _, projection in self.projections.by_modality():
            nn.init.normal_(projection.linear.weight, std=std)  # Xavier-normal of all W_m side by side

    def loss(self, batch: Triplets) -> LossTerms:
        """Return ``bpr``, ``reg`` and plugged-in alignments."""
        item_ids = torch.cat((batch.positives, batch.negatives))
        users = self.users.rows(batch.users)
        content = self._content(item_ids)
        positives, negatives = torch.cat((self.items.rows(item_ids), content), dim=1).chunk(2)
        terms = {"bpr": bpr(dot(users, positives), dot(users, negatives))}
        if self.config.reg_weight:
            size = batch_l2(users, positives, negatives, form=self.config.reg_form)
            terms["reg"] = self.config.reg_weight * size
        if bma := self.config.alignment.bma:
            of_users, of_items = Distinct.of(batch.users), Distinct.of(batch.positives)
            halves = self.users.rows(of_users.ids).chunk(2, dim=1)
            both = (self.items.rows(of_items.ids), self._content(of_items.ids))
            terms |= behaviour_modal_alignment(bma, TwoLines(of_users, *halves), TwoLines(of_items, *both))
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return users and items with their content, 2d values each."""
        content = sum((projection.all() for _, projection in self.projections.by_modality()), self.bias)
        return Representations(self.users.all().clone(), torch.cat((self.items.all(), content), dim=1))

    def _content(self, ids: Tensor) -> Tensor:
        return sum(self.projections.rows(ids).values(), self.bias)
