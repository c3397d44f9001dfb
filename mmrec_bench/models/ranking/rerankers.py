"""What rerankers share: they read a whole list in its initial order, and give every row a score."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Self

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from mmrec_bench.errors import ModelError
from mmrec_bench.list_losses import draws
from mmrec_bench.models.ranking.base import ListInputs, RankingContext
from mmrec_bench.models.ranking.objective import ObjectiveConfig, ObjectiveRanker
from mmrec_bench.row_share import RowDropout
from mmrec_bench.settings import explained_error


class RerankerConfig(ObjectiveConfig):
    """Fields, loss, and what is known of the initial order."""

    hidden_dim: PositiveInt = 64
    """Length H of what a row becomes among others."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout of rows and of what they become."""
    initial_order: bool = True
    """Whether the order in which rows are shown is known; it tells what the initial ranker thought of them. Without it,
    the order of a list hangs on its rows alone. For lists that nobody has shown, such as LETOR files, and where the
    order is what is learned (``learns_from: order``), say false."""

    @model_validator(mode="after")
    def _order_is_not_read_off(self) -> Self:
        if self.learns_from == "order" and self.initial_order:
            raise explained_error(
                "initial_order is true, and learns_from is order: what is to be learned would be read off the places "
                "of the rows. Set model.initial_order: false"
            )
        return self


class Reranker(ObjectiveRanker):
    """Base of rerankers, which `scores` tells apart: the fields of a row, side by side, become one vector.

    Raises:
        ModelError: The initial order is wanted, and train was never shown.
    """

    config: RerankerConfig

    def __init__(self, config: RerankerConfig, context: RankingContext) -> None:
        super().__init__(config, context)
        if config.initial_order and context.train.positions is None:
            raise ModelError(
                f"{config.name}: the training lists have no positions, so their order is that of a file, and says "
                "nothing. Set model.initial_order: false"
            )
        self.dropout = RowDropout(config.dropout)
        self.row = nn.Linear(self.fields.n_fields * config.embedding_dim, config.hidden_dim)

    def rows(self, inputs: ListInputs) -> Tensor:
        """Return the rows, float32 ``[B, L, H]``."""
        rows: Tensor = self.row(self.fields(inputs).flatten(-2))
        return rows

    @abstractmethod
    def scores(self, inputs: ListInputs) -> Tensor:
        """Return scores, float32 ``[B, L]``, of lists whose order may be looked at."""

    def forward(self, inputs: ListInputs) -> Tensor:
        """Return scores, float32 ``[B, L]``."""
        if self.config.initial_order:
            return self.scores(inputs)
        # Any order will do that says nothing: a fresh one each step, the canonical one at serving.
        random = draws(inputs.mask).masked_fill(~inputs.mask, 2.0) if self.training else None
        order = inputs.canonical() if random is None else random.argsort(dim=1, stable=True)
        scores = self.scores(inputs.permuted(order))
        return torch.empty_like(scores).scatter(1, order, scores)
