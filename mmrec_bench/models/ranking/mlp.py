"""MLP: a perceptron over each row, with the classical losses of learning to rank."""

from __future__ import annotations

from typing import Literal, Self, TypeAlias

from pydantic import PositiveInt, model_validator
from torch import Tensor

from mmrec_bench.list_losses import draws, lambdarank, listmle, pointwise, relative_gains, softmax
from mmrec_bench.models.base import MODELS, LossTerms
from mmrec_bench.models.ranking.base import ListBatch, RankingContext
from mmrec_bench.models.ranking.scorers import RowRanker, ScorerConfig
from mmrec_bench.settings import explained_error

Loss: TypeAlias = Literal["pointwise", "softmax", "listmle", "lambdarank"]


class MLPConfig(ScorerConfig):
    """Settings of `MLP`."""

    name: Literal["mlp"] = "mlp"
    loss: Loss = "softmax"
    """``pointwise``: cross-entropy of each row. ``softmax``: cross-entropy of each list, ListNet's with raw targets;
    both take ``(2^y - 1) / (2^max - 1)`` as the target, max the largest label in train. ``listmle``: likelihood of the
    order by falling label, ties in a fresh random order each step. ``lambdarank``: pairs, weighed by what their swap
    would change NDCG."""
    cutoff: PositiveInt | None = None
    """Ranks that count in the NDCG of ``lambdarank``, which alone takes it; null = all."""

    @model_validator(mode="after")
    def _has_use_of_cutoff(self) -> Self:
        if self.cutoff is not None and self.loss != "lambdarank":
            raise explained_error(f"cutoff is for loss: lambdarank; got cutoff: {self.cutoff} with loss: {self.loss}")
        return self


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
        labels = context.train.labels if config.learns_from == "labels" else None
        self._max_grade = 1.0 if labels is None else float(max(labels.max(initial=0), 1))

    def loss(self, batch: ListBatch) -> LossTerms:
        """Return the one term, by the name of the loss."""
        return {self.config.loss: self._loss(self.scorer(batch.inputs), batch.targets, batch.inputs.mask)}

    def _loss(self, scores: Tensor, grades: Tensor, mask: Tensor) -> Tensor:
        match self.config.loss:
            case "pointwise":
                return pointwise(scores, relative_gains(grades, self._max_grade), mask)
            case "softmax":
                return softmax(scores, relative_gains(grades, self._max_grade), mask)
            case "listmle":
                return listmle(scores, grades, mask, draws(mask))
            case "lambdarank":
                return lambdarank(scores, grades, mask, self.config.cutoff)
