"""PairDebias: pairs of clicked and unclicked rows, weighed by the biases of both positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from mmrec_bench.models.base import MODELS, Citation, LossTerms
from mmrec_bench.models.ranking.base import ListBatch, RankingContext
from mmrec_bench.models.ranking.observation import by_rank, n_positions, position_sums
from mmrec_bench.models.ranking.scorers import ClickScorerConfig, RowRanker
from mmrec_bench.row_share import mean_over

SMALLEST = 1e-3
"""No ratio is smaller: a position without a click in many batches is not one that nobody sees."""


class PairDebiasConfig(ClickScorerConfig):
    """Settings of `PairDebias`."""

    name: Literal["pair-debias"] = "pair-debias"
    ratio_step: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Share of the way that the running means behind the ratios go, with each batch, to those of the batch."""
    ratio_norm: NonNegativeFloat = 1.0
    """The p of the L_p regulariser of the bias ratios, whose power is 1 / (p + 1)."""
    max_weight: PositiveFloat | None = 10.0
    """Largest weight of a pair; null does not bound them."""


@MODELS.add(
    "pair-debias",
    task="ranking",
    config=PairDebiasConfig,
    paper=Citation(
        title="Unbiased LambdaMART: An Unbiased Pairwise Learning-to-Rank Algorithm",
        authors="Hu et al.",
        venue="WWW 2019",
        url="https://arxiv.org/abs/1809.05818",
    ),
    deviations=(
        "A perceptron and plain pairs instead of LambdaMART; ratios are of running means over batches.",
        "Weights are bounded by default.",
    ),
    uses_features=True,
)
class PairDebias(RowRanker):
    """Pairs of a clicked row i and an unclicked one j: ``sum l(f_i - f_j) / (t+_i t-_j)``, ``l(x) = log(1 + e^-x)``.

    t+ and t- are ratios by position: how much more likely a click, or none, tells of relevance than at the first
    position. ``t+ = (s+ / s+_1)^(1 / (p + 1))``, with s+ the running mean of ``sum l / t-_j`` of the pairs whose
    clicked row stood there, and t- likewise. Loss: ``pairs``, the mean over lists with a pair. Source: Hu et al., WWW
    2019, https://arxiv.org/abs/1809.05818.

    Shapes: f ``[B, L]``; pairs ``[B, L, L]``; s and t ``[P + 1]`` by position.
    """

    config: PairDebiasConfig
    clicked: Tensor
    unclicked: Tensor

    def __init__(self, config: PairDebiasConfig, context: RankingContext) -> None:
        super().__init__(config, context)
        for name in ("clicked", "unclicked"):
            self.register_buffer(name, torch.ones(n_positions(context.train) + 1))

    def loss(self, batch: ListBatch) -> LossTerms:
        """Return ``pairs``; in training, the ratios move."""
        scores, mask, clicks = self.scorer(batch.inputs), batch.inputs.mask, batch.targets > 0
        positions = batch.positions
        assert positions is not None
        # Padded rows are no part of a pair, so that what they were scored does not matter.
        scores = scores.masked_fill(~mask, 0.0)
        pairs = (clicks & mask).unsqueeze(2) & (~clicks & mask).unsqueeze(1)
        losses = F.softplus(scores.unsqueeze(1) - scores.unsqueeze(2)) * pairs
        plus = self._ratios(self.clicked)[positions].unsqueeze(2)
        minus = self._ratios(self.unclicked)[positions].unsqueeze(1)
        weights = 1.0 / (plus * minus)
        if self.config.max_weight is not None:
            weights = weights.clamp(max=self.config.max_weight)
        if self.training:
            for means, found in (
                (self.clicked, (losses / minus).sum(dim=2)),
                (self.unclicked, (losses / plus).sum(dim=1)),
            ):
                means.lerp_(position_sums(found, positions, mask, means), self.config.ratio_step)
        return {"pairs": mean_over((losses * weights).sum(), pairs.any(dim=2).any(dim=1).sum())}

    def facts(self) -> Mapping[str, float]:
        """Return both ratios of the first positions."""
        clicked, unclicked = self._ratios(self.clicked), self._ratios(self.unclicked)
        return {**by_rank("clicked", clicked[1:]), **by_rank("unclicked", unclicked[1:])}

    def _ratios(self, means: Tensor) -> Tensor:
        """Return t of every position, from running means ``[P + 1]``."""
        ratios: Tensor = (means / means[1].clamp(min=SMALLEST)) ** (1.0 / (self.config.ratio_norm + 1.0))
        return ratios.clamp(min=SMALLEST)
