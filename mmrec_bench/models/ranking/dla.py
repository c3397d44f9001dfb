"""DLA: a ranker and a model of propensities, each learned from clicks weighed by the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor

from mmrec_bench.list_losses import padded, softmax
from mmrec_bench.models.base import MODELS, Citation, LossTerms
from mmrec_bench.models.ranking.base import ListBatch, RankingContext
from mmrec_bench.models.ranking.observation import ObservationTower, PopularityOf, by_rank
from mmrec_bench.models.ranking.scorers import ClickScorerConfig, RowRanker


class DLAConfig(ClickScorerConfig):
    """Settings of `DLA`."""

    name: Literal["dla"] = "dla"
    max_weight: PositiveFloat | None = 10.0
    """Largest weight of a click; null does not bound them."""
    popularity: PopularityOf = "none"
    """What else propensities hang on, beside position: how popular an item is, by ``exposures`` or ``clicks``."""


@MODELS.add(
    "dla",
    task="ranking",
    config=DLAConfig,
    paper=Citation(
        title="Unbiased Learning to Rank with Unbiased Propensity Estimation",
        authors="Ai et al.",
        venue="SIGIR 2018",
        url="https://arxiv.org/abs/1804.05938",
    ),
    deviations=("Weights are bounded by default.", "Propensities may hang on popularity, as an option."),
    uses_features=True,
)
class DLA(RowRanker):
    """Dual learning: f ranks rows, g propensities of being observed, both as a softmax over the list.

    Loss: ``ranking + propensity``, the cross-entropies of f with clicks weighed by ``g_first / g_i``, and of g with
    clicks weighed by ``f_first / f_i``. Weights are relative to the row shown first and pass no gradient. Source: Ai et
    al., SIGIR 2018, https://arxiv.org/abs/1804.05938.

    Shapes: f and g ``[B, L]``.
    """

    config: DLAConfig

    def __init__(self, config: DLAConfig, context: RankingContext) -> None:
        super().__init__(config, context)
        self.propensities = ObservationTower(context.train, config.popularity)

    def loss(self, batch: ListBatch) -> LossTerms:
        """Return ``ranking`` and ``propensity``."""
        scores, propensities = self.scorer(batch.inputs), self.propensities(batch)
        mask, clicks = batch.inputs.mask, batch.targets
        return {
            "ranking": softmax(scores, clicks * self._weights(propensities, batch), mask),
            "propensity": softmax(propensities, clicks * self._weights(scores, batch), mask),
        }

    @torch.no_grad()
    def facts(self) -> Mapping[str, float]:
        """Return the propensities of the first positions, relative to the first."""
        logits = self.propensities.by_position()
        return by_rank("propensity", (logits - logits[0]).exp())

    def _weights(self, logits: Tensor, batch: ListBatch) -> Tensor:
        """Return ``softmax_first / softmax_i``, ``[B, L]``."""
        assert batch.positions is not None
        logits = logits.detach()
        first = padded(-batch.positions.float(), batch.inputs.mask).argmax(dim=1, keepdim=True)
        weights = (logits.gather(1, first) - logits).clamp(max=80.0).exp()
        return weights if self.config.max_weight is None else weights.clamp(max=self.config.max_weight)
