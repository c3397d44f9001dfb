"""IPW: clicks weighed by one over the probability that they were possible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor

from mmrec_bench.data.lists import Lists
from mmrec_bench.errors import ModelError
from mmrec_bench.list_losses import pointwise, softmax
from mmrec_bench.models.base import MODELS, Citation, LossTerms
from mmrec_bench.models.ranking.base import ListBatch, RankingContext
from mmrec_bench.models.ranking.observation import by_rank
from mmrec_bench.models.ranking.propensities import ESTIMATORS, Estimate
from mmrec_bench.models.ranking.scorers import ClickScorerConfig, RowRanker


class IPWConfig(ClickScorerConfig):
    """Settings of `IPW`."""

    name: Literal["ipw"] = "ipw"
    loss: Literal["softmax", "pointwise"] = "softmax"
    """Cross-entropy of each list, or of each row; see `mmrec_bench.list_losses`."""
    propensities: Literal["given"] | Estimate = "given"
    """Where they come from: ``given`` with the lists, as simulations know them; estimated by position from the
    ``click-rate``, which is right if lists were shown in random order; or from clicks on the same items at several
    positions (``item-effects``), which is right if an item is as relevant to whoever it is shown to."""
    max_weight: PositiveFloat | None = 10.0
    """Largest weight, relative to that of the position with the largest propensity; null does not bound them, which is
    unbiased and of large variance."""


@MODELS.add(
    "ipw",
    task="ranking",
    config=IPWConfig,
    paper=Citation(
        title="Unbiased Learning-to-Rank with Biased Feedback",
        authors="Joachims et al.",
        venue="WSDM 2017",
        url="https://arxiv.org/abs/1608.04468",
    ),
    deviations=("Softmax or pointwise cross-entropy instead of a ranking SVM.", "Weights are bounded by default."),
    uses_features=True,
)
class IPW(RowRanker):
    """Inverse propensity weighting: the loss of a click counts ``max(propensities) / propensity`` times.

    Loss: ``ranking``, on clicks with these weights as targets; its expectation is that of relevance, up to a factor, if
    propensities are right and no weight is bounded. Source: Joachims et al., WSDM 2017,
    https://arxiv.org/abs/1608.04468.

    Shapes: scores, propensities ``[B, L]``.

    Raises:
        ModelError: Propensities are to be taken as given, and the lists hold none; or they cannot be estimated.
    """

    config: IPWConfig
    by_position: Tensor

    def __init__(self, config: IPWConfig, context: RankingContext) -> None:
        super().__init__(config, context)
        self._largest = 1.0
        if config.propensities == "given":
            self._largest = _largest(context.train)
        else:
            found = torch.tensor(ESTIMATORS[config.propensities](context.train), dtype=torch.float32)
            self.register_buffer("by_position", found, persistent=False)

    def loss(self, batch: ListBatch) -> LossTerms:
        """Return ``ranking``."""
        weights = self._largest / self._propensities(batch)
        if self.config.max_weight is not None:
            weights = weights.clamp(max=self.config.max_weight)
        ranking = softmax if self.config.loss == "softmax" else pointwise
        return {"ranking": ranking(self.scorer(batch.inputs), batch.targets * weights, batch.inputs.mask)}

    def facts(self) -> Mapping[str, float]:
        """Return the estimates of the first positions, if there are any."""
        return {} if self.config.propensities == "given" else by_rank("propensity", self.by_position[1:])

    def _propensities(self, batch: ListBatch) -> Tensor:
        if self.config.propensities == "given":
            assert batch.propensities is not None
            return batch.propensities
        assert batch.positions is not None
        return self.by_position[batch.positions]


def _largest(lists: Lists) -> float:
    if lists.propensities is None:
        raise ModelError(
            "ipw: the training lists hold no propensities, which simulations by place alone know, and click logs with "
            f"a column of them. Set model.propensities: {' or '.join(ESTIMATORS)}"
        )
    return float(lists.propensities.max(initial=0.0)) or 1.0
