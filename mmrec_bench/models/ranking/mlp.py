"""MLP: a perceptron over each row, with the classical losses of learning to rank."""

from __future__ import annotations

from typing import Literal

from mmrec_bench.models.base import MODELS, LossTerms
from mmrec_bench.models.ranking.base import ListBatch, RankingContext
from mmrec_bench.models.ranking.objective import Objective, ObjectiveConfig
from mmrec_bench.models.ranking.scorers import RowRanker, ScorerConfig


class MLPConfig(ScorerConfig, ObjectiveConfig):
    """Settings of `MLP`."""

    name: Literal["mlp"] = "mlp"


@MODELS.add("mlp", task="ranking", config=MLPConfig, paper=None, uses_features=True)
class MLP(RowRanker):
    """``score = MLP(fields of the row)`` (`RowScorer`), learned from labels, or from clicks as if these were labels.

    From clicks it is the naive baseline of all that correct for the biases of clicks.
    Losses: `mmrec_bench.list_losses`.

    Shapes: fields ``[B, L, N, d]``; scores ``[B, L]``.
    """

    config: MLPConfig

    def __init__(self, config: MLPConfig, context: RankingContext) -> None:
        super().__init__(config, context)
        self.objective = Objective(config, context.train)

    def loss(self, batch: ListBatch) -> LossTerms:
        """Return the one term, by the name of the loss."""
        return self.objective(self.scorer(batch.inputs), batch)
