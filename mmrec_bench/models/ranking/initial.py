"""The initial ranker: lists stay in the order in which they are shown."""

from __future__ import annotations

from typing import Any, Literal

import torch

from mmrec_bench.models.base import MODELS, ModelConfig
from mmrec_bench.models.ranking.base import Arrangement, ClosedFormRanker, ListInputs, RankingContext


class InitialConfig(ModelConfig):
    """Settings of `Initial`: there are none."""

    name: Literal["initial"] = "initial"


@MODELS.add("initial", task="ranking", config=InitialConfig, paper=None)
class Initial(ClosedFormRanker):
    """Leaves every list as it is shown; what any ranker has to beat.

    In data in which nothing was shown, such as LETOR files, that is the order of the file, which may say nothing.
    """

    def __init__(self, config: InitialConfig, context: RankingContext) -> None:
        super().__init__()
        self.config = config

    def fit(self, context: Any) -> None:
        """Nothing is to be computed."""

    def arrange(self, inputs: ListInputs) -> Arrangement:
        """Return the rows as they stand; the score of a row is the number of places from it to the end."""
        places = torch.arange(inputs.mask.shape[1], device=inputs.mask.device)
        scores = (inputs.mask.sum(dim=1, keepdim=True) - places).float()
        return Arrangement(
            places.expand(inputs.mask.shape).masked_fill(~inputs.mask, -1), scores.masked_fill(~inputs.mask, -torch.inf)
        )
