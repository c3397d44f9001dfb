"""DirectAU: users next to their items, and all of them spread over the sphere."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor

from mmrec_bench.losses import cosine_alignment, uniformity
from mmrec_bench.models.base import MODELS, Citation, LossTerms, ModelConfig, ModelContext, Pairs
from mmrec_bench.models.blocks import Distinct, gather
from mmrec_bench.models.collaborative import CollaborativeModel
from mmrec_bench.retrieval.base import Representations


class DirectAUConfig(ModelConfig):
    """Settings of `DirectAU`; written from the paper alone, so there is no switch that differs."""

    name: Literal["directau"] = "directau"
    embedding_dim: PositiveInt = 64
    """Size d of user and item vectors."""
    n_layers: NonNegativeInt = 0
    """Propagations K of the encoder; 0 is matrix factorisation, the paper's default, more are its LightGCN encoder."""
    uniformity_weight: NonNegativeFloat = 1.0
    """Weight gamma of the uniformity of users and of items; 0.2 to 10 is usual."""


@MODELS.add(
    "directau",
    task="retrieval",
    config=DirectAUConfig,
    paper=Citation(
        title="Towards Representation Alignment and Uniformity in Collaborative Filtering",
        authors="Wang et al.",
        venue="KDD 2022",
        url="https://arxiv.org/abs/2206.12811",
    ),
)
class DirectAU(CollaborativeModel):
    """Scores ``y_ui = z_u . z_i``, trained on unit vectors without negatives.

    ``[z_u ; z_i]`` is the mean of K propagations of the tables of users and items. Over the pairs of a batch, with
    ~z = z / ||z||::

        loss = mean ||~z_u - ~z_i||^2 + uniformity_weight * (log mean_{u != u'} exp(-2 ||~z_u - ~z_u'||^2) / 2
                                                           + log mean_{i != i'} exp(-2 ||~z_i - ~z_i'||^2) / 2)

    A user or item that stands in a batch several times counts as often, as in the expectations of the paper. The loss
    does not see the lengths of vectors, the score does. There is no regulariser; the paper's is the weight decay of
    the optimiser, ``trainer.weight_decay``.
    Source: Wang et al., KDD 2022, https://arxiv.org/abs/2206.12811.

    Shapes: users ``[n_users, d]``, items ``[n_items, d]``, both Xavier-uniform.
    """

    batch_kind = Pairs

    def __init__(self, config: DirectAUConfig, context: ModelContext) -> None:
        super().__init__(context.train, config.embedding_dim)
        self.config = config

    def loss(self, batch: Pairs) -> LossTerms:
        """Return ``alignment``, ``uniformity-users`` and ``uniformity-items``."""
        of_users, of_items = Distinct.of(batch.users), Distinct.of(batch.items)
        users, items = self._rows(of_users.ids, of_items.ids)
        # Unit vectors: ||a - b||^2 = 2 - 2 a . b
        terms = {"alignment": 2.0 * cosine_alignment(of_users.expand(users), of_items.expand(items))}
        if self.config.uniformity_weight:
            half = 0.5 * self.config.uniformity_weight
            terms["uniformity-users"] = half * uniformity(users, of_users.counts)
            terms["uniformity-items"] = half * uniformity(items, of_items.counts)
        return terms

    @torch.no_grad()
    def export(self) -> Representations:
        """Return the propagated tables."""
        users, items = self.graph.propagate(self.users.all(), self.items.all(), self.config.n_layers)
        return Representations(users.clone(), items.clone())

    def _rows(self, user_ids: Tensor, item_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vectors of some users ``[n, d]`` and some items ``[m, d]``."""
        if not self.config.n_layers:
            return self.users.rows(user_ids), self.items.rows(item_ids)
        users, items = self.graph.propagate(self.users.all(), self.items.all(), self.config.n_layers)
        return gather(users, user_ids), gather(items, item_ids)
