"""Regression-EM: observation and relevance as hidden causes of clicks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from mmrec_bench.list_losses import draws, pointwise
from mmrec_bench.models.base import MODELS, Citation, LossTerms
from mmrec_bench.models.ranking.base import ListBatch, RankingContext
from mmrec_bench.models.ranking.observation import by_rank, n_positions, position_sums
from mmrec_bench.models.ranking.scorers import ClickScorerConfig, RowRanker

START = 0.9
"""Probability of observation before training, at every position."""


class RegressionEMConfig(ClickScorerConfig):
    """Settings of `RegressionEM`."""

    name: Literal["regression-em"] = "regression-em"
    targets: Literal["sampled", "expected"] = "sampled"
    """What the scorer regresses on: a relevance ``sampled`` from its posterior, as in the paper, or the posterior
    itself, ``expected``, which has the same mean and less noise."""
    propensity_step: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Share of the way that the probabilities of observation go, with each batch, to their new estimates."""


@MODELS.add(
    "regression-em",
    task="ranking",
    config=RegressionEMConfig,
    paper=Citation(
        title="Position Bias Estimation for Unbiased Learning to Rank in Personal Search",
        authors="Wang et al.",
        venue="WSDM 2018",
        url="https://doi.org/10.1145/3159652.3159732",
    ),
    deviations=(
        "The scorer is a perceptron and takes one gradient step in each iteration, where the paper fits trees.",
    ),
    uses_features=True,
)
class RegressionEM(RowRanker):
    """``P(click) = theta_position sigmoid(f(row))``, fitted by expectation and maximisation over batches.

    Expectation, of rows without a click and with ``gamma = sigmoid(f)``: they are relevant with
    ``(1 - theta) gamma / (1 - theta gamma)``, and observed with ``theta (1 - gamma) / (1 - theta gamma)``; rows with a
    click are both. Maximisation: f regresses on relevance (loss ``relevance``, cross-entropy), and theta of a position
    moves to the mean probability of having been observed there. Source: Wang et al., WSDM 2018,
    https://doi.org/10.1145/3159652.3159732.

    Shapes: f ``[B, L]``; theta ``[P + 1]`` by position.
    """

    config: RegressionEMConfig
    theta: Tensor

    def __init__(self, config: RegressionEMConfig, context: RankingContext) -> None:
        super().__init__(config, context)
        self.register_buffer("theta", torch.full((n_positions(context.train) + 1,), START))

    def loss(self, batch: ListBatch) -> LossTerms:
        """Return ``relevance``; in training, theta moves."""
        scores, mask, clicks = self.scorer(batch.inputs), batch.inputs.mask, batch.targets
        assert batch.positions is not None
        theta, gamma = self.theta[batch.positions], scores.detach().sigmoid()
        unclicked = (1 - theta * gamma).clamp(min=1e-6)
        relevant = torch.where(clicks > 0, 1.0, (1 - theta) * gamma / unclicked)
        if self.training:
            observed = torch.where(clicks > 0, 1.0, theta * (1 - gamma) / unclicked)
            self._move(observed, batch.positions, mask)
        if self.config.targets == "sampled":
            relevant = (draws(mask) < relevant).float()
        return {"relevance": pointwise(scores, relevant, mask)}

    def facts(self) -> Mapping[str, float]:
        """Return theta of the first positions."""
        return by_rank("observation", self.theta[1:])

    def _move(self, observed: Tensor, positions: Tensor, mask: Tensor) -> None:
        total, count = (position_sums(values, positions, mask, self.theta) for values in (observed, mask.float()))
        found = torch.where(count > 0, total / count.clamp(min=1), self.theta)
        self.theta.lerp_(found, self.config.propensity_step)
