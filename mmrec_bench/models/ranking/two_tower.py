"""Two towers: one for how a row was shown, one for what it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F

from mmrec_bench.list_losses import of_log_probabilities, pointwise
from mmrec_bench.models.base import MODELS, Citation, LossTerms
from mmrec_bench.models.ranking.base import ListBatch, RankingContext
from mmrec_bench.models.ranking.observation import ObservationTower, PopularityOf, by_rank
from mmrec_bench.models.ranking.scorers import ClickScorerConfig, RowRanker


class TwoTowerConfig(ClickScorerConfig):
    """Settings of `TwoTower`."""

    name: Literal["two-tower"] = "two-tower"
    link: Literal["product", "additive"] = "product"
    """``product``: P(click) = P(observed) P(relevant), as the examination hypothesis has it. ``additive``: the logits
    are added, as in many industrial systems."""
    popularity: PopularityOf = "none"
    """What else observation hangs on, beside position: how popular an item is, by ``exposures`` or ``clicks``."""


@MODELS.add(
    "two-tower",
    task="ranking",
    config=TwoTowerConfig,
    paper=Citation(
        title="PAL: A Position-bias Aware Learning Framework for CTR Prediction in Live Recommender Systems",
        authors="Guo et al.",
        venue="RecSys 2019",
        url="https://doi.org/10.1145/3298689.3347033",
    ),
    deviations=("Rows are scored by a perceptron of their fields; additive towers and popularity are options.",),
    uses_features=True,
)
class TwoTower(RowRanker):
    """``P(click) = sigmoid(g(position)) sigmoid(f(row))``, and f is served.

    Loss: ``click``, the cross-entropy of clicks. Source: Guo et al., RecSys 2019,
    https://doi.org/10.1145/3298689.3347033.

    Shapes: f and g ``[B, L]``.
    """

    config: TwoTowerConfig

    def __init__(self, config: TwoTowerConfig, context: RankingContext) -> None:
        super().__init__(config, context)
        self.observation = ObservationTower(context.train, config.popularity)

    def loss(self, batch: ListBatch) -> LossTerms:
        """Return ``click``."""
        relevance, observation = self.scorer(batch.inputs), self.observation(batch)
        if self.config.link == "additive":
            return {"click": pointwise(relevance + observation, batch.targets, batch.inputs.mask)}
        log_clicks = F.logsigmoid(relevance) + F.logsigmoid(observation)
        return {"click": of_log_probabilities(log_clicks, batch.targets, batch.inputs.mask)}

    @torch.no_grad()
    def facts(self) -> Mapping[str, float]:
        """Return what the first positions add: probabilities of observation, or logits."""
        logits = self.observation.by_position()
        return by_rank("observation", logits if self.config.link == "additive" else logits.sigmoid())
