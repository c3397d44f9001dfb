"""The classical losses of learning to rank, and the base of rankers that learn scores by one of them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal, Self, TypeAlias

import torch
from pydantic import PositiveInt, model_validator
from torch import Tensor, nn

from mmrec_bench.data.lists import Lists
from mmrec_bench.list_losses import draws, lambdarank, listmle, pointwise, relative_gains, softmax
from mmrec_bench.models.base import LossTerms
from mmrec_bench.models.ranking.base import GradientRanker, ListBatch, ListInputs, RankingContext, ScoringRanker
from mmrec_bench.models.ranking.fields import FieldsConfig, RowFields
from mmrec_bench.settings import explained_error

Loss: TypeAlias = Literal["pointwise", "softmax", "listmle", "lambdarank"]


class ObjectiveConfig(FieldsConfig):
    """Which fields are read, and the loss of the scores."""

    loss: Loss = "softmax"
    """``pointwise``: cross-entropy of each row. ``softmax``: cross-entropy of each list, ListNet's with raw targets;
    both take ``(2^y - 1) / (2^max - 1)`` as the target, max the largest label in train. ``listmle``: likelihood of the
    order by falling label, ties in a fresh random order each step. ``lambdarank``: pairs, weighed by what their swap
    would change NDCG."""
    cutoff: PositiveInt | None = None
    """Ranks that count in the NDCG of ``lambdarank``, which alone takes it; null = all."""

    @model_validator(mode="after")
    def _has_use_of_everything(self) -> Self:
        if self.cutoff is not None and self.loss != "lambdarank":
            raise explained_error(f"cutoff is for loss: lambdarank; got cutoff: {self.cutoff} with loss: {self.loss}")
        if self.learns_from == "order" and self.loss != "listmle":
            raise explained_error(
                f"learns_from: order is for loss: listmle, since an order has no grades; got loss: {self.loss}"
            )
        return self


class Objective:
    """The loss of scores that a config names.

    Args:
        config: Which.
        train: Training lists, for their largest label.
    """

    def __init__(self, config: ObjectiveConfig, train: Lists) -> None:
        self._config = config
        labels = train.labels if config.learns_from == "labels" else None
        self._max_grade = 1.0 if labels is None else float(max(labels.max(initial=0), 1))

    def __call__(self, scores: Tensor, batch: ListBatch) -> LossTerms:
        """Return the one term, by the name of the loss, of scores ``[B, L]``."""
        return {self._config.loss: self._loss(scores, batch.targets, batch.inputs.mask)}

    def _loss(self, scores: Tensor, grades: Tensor, mask: Tensor) -> Tensor:
        match self._config.loss:
            case "pointwise":
                return pointwise(scores, relative_gains(grades, self._max_grade), mask)
            case "softmax":
                return softmax(scores, relative_gains(grades, self._max_grade), mask)
            case "listmle":
                return listmle(scores, grades, mask, draws(mask))
            case "lambdarank":
                return lambdarank(scores, grades, mask, self._config.cutoff)


class ObjectiveRanker(GradientRanker, ScoringRanker):
    """Base of rankers that read fields into scores, which `forward` says, and learn them by an `Objective`."""

    config: ObjectiveConfig

    def __init__(self, config: ObjectiveConfig, context: RankingContext) -> None:
        super().__init__()
        self.config = config
        self.fields = RowFields(config, context)
        self.objective = Objective(config, context.train)

    @abstractmethod
    def forward(self, inputs: ListInputs) -> Tensor:
        """Return scores, float32 ``[B, L]``; what stands at padded rows is ignored."""

    def loss(self, batch: ListBatch) -> LossTerms:
        """Return the one term, by the name of the loss."""
        return self.objective(self(batch.inputs), batch)

    @torch.no_grad()
    def score(self, inputs: ListInputs) -> Tensor:
        """Score every row."""
        scores: Tensor = self(inputs)
        return scores

    @property
    def item_representation(self) -> nn.Module | None:
        """The table of items, where there is one."""
        return self.fields.item_ids
